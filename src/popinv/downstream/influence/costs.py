r"""Operations that selecting needs, counted as the paper's comparison appears to count them.

A pass forward through a model of N weights takes 2N operations per token, one forward and
backward 6N. Influence distillation passes V tangents through the first blocks of the model for
every sample of the pool, and forms the gradients of the landmarks,

    pool * 2N * V * blocks / layers + landmarks * 6N,

while a comparison of representations passes every sample forward through the whole model,
pool * 2N, and a method of gradients forms all of them, pool * 6N. This reproduces the published
numbers to the last digit but is reconstructed from them; a tangent is charged as one pass forward,
which forward mode does not do for less than two.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MODELS", "Model", "costs", "speed_up"]


@dataclass(frozen=True)
class Model:
    """A language model: its weights, and the blocks that they stand in."""

    name: str
    weights: float
    layers: int


MODELS = (
    Model("Llama2-7B", 7e9, 32),
    Model("Llama3.2-3B", 3e9, 28),
    Model("Qwen2.5-1.5B", 1.5e9, 28),
    Model("Qwen2.5-3B", 3e9, 36),
)


def costs(
    model: Model,
    pool: int = 200_000,
    landmarks: int = 4096,
    tangents: int = 2,
    blocks: int = 4,
    tangent_passes: float = 1.0,
) -> dict[str, float]:
    """Return operations per token of sequence, in units of 10^12.

    Parameters
    ----------
    model : Model
    pool, landmarks, tangents, blocks : int
        Of the selection.
    tangent_passes : float
        What a tangent costs in passes forward; the published numbers charge 1.

    Returns
    -------
    dict
        ``embeddings`` and ``landmarks``, their sum ``influence``, ``representations`` and
        ``gradients``.
    """
    embeddings = pool * 2 * model.weights * tangents * tangent_passes * blocks / model.layers
    exact = landmarks * 6 * model.weights
    found = {
        "embeddings": embeddings,
        "landmarks": exact,
        "influence": embeddings + exact,
        "representations": pool * 2 * model.weights,
        "gradients": pool * 6 * model.weights,
    }
    return {name: value / 1e12 for name, value in found.items()}


def speed_up(found: dict[str, float], over: str = "representations") -> float:
    """Return how many times fewer operations influence distillation needs."""
    return found[over] / found["influence"]
