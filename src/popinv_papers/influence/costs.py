r"""Number of operations for a selection, counted as in the paper's comparison, and processor time.

A forward pass through a model of N weights takes 2N operations per token, a forward and a backward
pass 6N. Influence distillation passes V tangents through the first blocks of the model for every
sample of the pool, and computes the gradients of the landmarks,

    pool * 2N * V * blocks / layers + landmarks * 6N,

while a comparison of representations passes every sample through the whole model, pool * 2N, and a
method of gradients computes all gradients, pool * 6N. This reproduces the published numbers to the
last digit, but is reconstructed from them. A tangent is counted as one forward pass, although
forward mode takes at least two.

Time is measured for a transformer that is as deep as the published models and narrow enough for a
workstation. The parts are embeddings of the pool by forward mode through the first blocks,
gradients of the landmarks, one forward pass of the pool, and all gradients of the pool. Weights are
random, as time does not depend on them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from popinv.seeds import generator
from popinv_papers.influence import influence
from popinv_papers.influence.influence import Flat
from popinv_papers.influence.networks import Transformer, language_losses
from popinv_papers.influence.pool_scores import kernel_spread, tangent_embeddings


@dataclass(frozen=True)
class LanguageModelSize:
    """A language model: its number of weights and of blocks."""

    name: str
    weights: float
    layers: int


MODELS = (
    LanguageModelSize("Llama2-7B", 7e9, 32),
    LanguageModelSize("Llama3.2-3B", 3e9, 28),
    LanguageModelSize("Qwen2.5-1.5B", 1.5e9, 28),
    LanguageModelSize("Qwen2.5-3B", 3e9, 36),
)


def costs(
    model: LanguageModelSize,
    pool: int = 200_000,
    landmarks: int = 4096,
    tangents: int = 2,
    blocks: int = 4,
    tangent_passes: float = 1.0,
) -> dict[str, float]:
    """Return operations per token of sequence, in units of 10^12.

    A tangent costs ``tangent_passes`` passes forward. The published numbers use 1.

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
    """Return the operations of another method relative to influence distillation."""
    return operations[over] / operations["influence"]


@dataclass(frozen=True)
class Timing:
    """Size of the model, and number of timed samples. The pool's size enters the sum only."""

    layers: int = 36
    blocks: int = 4
    width: int = 128
    length: int = 64
    vocabulary: int = 500
    samples: int = 16
    repeats: int = 3
    pool: int = 200_000
    landmarks: int = 4096
    tangents: int = 2
    targets: int = 100


def measure(size: Timing, seed: int) -> dict[str, float]:
    """Return processor seconds per sample, ratios of whole selections, and counted ratios.

    Returns
    -------
    dict
        ``seconds_<part>`` for one sample; ``seconds_spread`` for the kernel regression's solve
        and product with all target samples, at a quarter of the landmarks and a twentieth of the
        pool, scaled up by the operations; ``tangent_passes``, the cost of one tangent in forward
        passes through the same blocks; ``ratio_measured`` and ``ratio_counted``, of one forward
        pass of the pool to embeddings and landmarks; ``ratio_gradients_...``, of all gradients;
        ``ratio_measured_with_spread``, with the regression.
    """
    rng = generator(seed, "influence/timing")
    model = Transformer(size.vocabulary, size.length, size.width, 4, size.layers)
    flat = Flat.of(model.requires_grad_(False))
    tokens = torch.from_numpy(rng.integers(1, size.vocabulary, (size.samples, size.length + 1)))
    losses, theta = language_losses(flat), flat.theta
    # The released code cuts the model before it takes tangents.
    cut = model.first_blocks(size.blocks)
    first = Flat.of(cut)
    tangents = torch.from_numpy(rng.standard_normal((size.tangents, len(first.theta)))).float()

    def features(weights: Tensor, tokens: Tensor) -> Tensor:
        return first(weights, tokens[:, :-1], features=True)[:, -1]

    def forward(network: Transformer) -> Callable[[], object]:
        return lambda: network(tokens[:, :-1], features=True)

    rows = 8

    def by_rows(call: Callable[[], object]) -> float:
        return _seconds(call, size.repeats) / size.samples

    seconds = {
        "forward": by_rows(forward(model)),
        "forward_blocks": by_rows(forward(cut)),
        "tangent": by_rows(
            lambda: tangent_embeddings(features, first.theta, (tokens,), tangents, rows)
        )
        / size.tangents,
        "gradient": by_rows(lambda: influence.sample_gradients(losses, theta, (tokens,), rows)),
    }
    few, some = size.landmarks // 4, size.pool // 20
    rows_of = rng.standard_normal((some, 64))
    scores = rng.standard_normal((few, size.targets))
    spread = _seconds(lambda: kernel_spread(rows_of, np.arange(few), scores), 1)
    solve = _seconds(lambda: kernel_spread(rows_of[:few], np.arange(few), scores), 1)
    # The solve grows at worst as the cube of the landmarks, the product as pool times landmarks.
    whole_spread = 64 * solve + 80 * max(spread - solve, 0.0)
    whole = {
        "influence": size.pool * size.tangents * seconds["tangent"]
        + size.landmarks * seconds["gradient"],
        "representations": size.pool * seconds["forward"],
        "gradients": size.pool * seconds["gradient"],
    }
    counted = costs(
        LanguageModelSize("timed", 1e9, size.layers),
        size.pool,
        size.landmarks,
        size.tangents,
        size.blocks,
    )
    return {
        **{f"seconds_{name}": value for name, value in seconds.items()},
        "seconds_spread": whole_spread,
        "tangent_passes": seconds["tangent"] / seconds["forward_blocks"],
        "gradient_passes": seconds["gradient"] / seconds["forward"],
        "ratio_counted": speed_up(counted),
        "ratio_measured": whole["representations"] / whole["influence"],
        "ratio_measured_with_spread": whole["representations"]
        / (whole["influence"] + whole_spread),
        "ratio_gradients_counted": speed_up(counted, "gradients"),
        "ratio_gradients_measured": whole["gradients"] / whole["influence"],
    }


def _seconds(call: Callable[[], object], repeats: int) -> float:
    """Return the smallest processor time of a call, after a first call for warm-up.

    A small call may end within a tick of the clock, so that no time seems to pass. It is repeated
    until some time does.
    """
    times = []
    with torch.no_grad():
        for _ in range(repeats + 1):
            began, taken, calls = time.process_time(), 0.0, 0
            while taken <= 0:
                call()
                taken, calls = time.process_time() - began, calls + 1
            times.append(taken / calls)
    return min(times[1:])
