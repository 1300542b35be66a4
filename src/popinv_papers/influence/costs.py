r"""Number of operations for a selection, counted as in the paper's comparison.

A forward pass through a model of N weights takes 2N operations per token, a forward and a backward
pass 6N. Influence distillation passes V tangents through the first blocks of the model for every
sample of the pool, and computes the gradients of the landmarks,

    pool * 2N * V * blocks / layers + landmarks * 6N,

while a comparison of representations passes every sample through the whole model, pool * 2N, and a
method of gradients computes all gradients, pool * 6N. This reproduces the published numbers to the
last digit, but is reconstructed from them. A tangent is counted as one forward pass, although
forward mode takes at least two.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """A language model: its number of weights and of blocks."""

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
    pool, landmarks, tangents, blocks : int
        Parameters of the selection.
    tangent_passes : float
        Cost of a tangent in forward passes. The published numbers use 1.

    Returns
    -------
    dict
        ``embeddings`` and ``landmarks``, their sum ``influence``, ``representations`` and
        ``gradients``.
    """
    embeddings = pool * 2 * model.weights * tangents * tangent_passes * blocks / model.layers
    exact = landmarks * 6 * model.weights
    operations = {
        "embeddings": embeddings,
        "landmarks": exact,
        "influence": embeddings + exact,
        "representations": pool * 2 * model.weights,
        "gradients": pool * 6 * model.weights,
    }
    return {name: value / 1e12 for name, value in operations.items()}


def speed_up(operations: dict[str, float], over: str = "representations") -> float:
    """Return the ratio of the operations of another method to those of influence distillation."""
    return operations[over] / operations["influence"]
