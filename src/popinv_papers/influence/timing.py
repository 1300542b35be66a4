"""Processor time compared with the count of operations, for a deep and narrow transformer.

The transformer is as deep as the published models and narrow enough for a workstation. The parts
are embeddings of the pool by forward mode through the first blocks, gradients of the landmarks, one
forward pass of the pool, and all gradients of the pool. Weights are random, as time does not depend
on them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from popinv.seeds import generator
from popinv_papers.influence import costs, gradients, landmarks
from popinv_papers.influence.gradients import Flat
from popinv_papers.influence.networks import Transformer, language_losses


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
            lambda: landmarks.tangent_embeddings(features, first.theta, (tokens,), tangents, rows)
        )
        / size.tangents,
        "gradient": by_rows(lambda: gradients.sample_gradients(losses, theta, (tokens,), rows)),
    }
    few, some = size.landmarks // 4, size.pool // 20
    rows_of = rng.standard_normal((some, 64))
    scores = rng.standard_normal((few, size.targets))
    spread = _seconds(lambda: landmarks.kernel_spread(rows_of, np.arange(few), scores), 1)
    solve = _seconds(lambda: landmarks.kernel_spread(rows_of[:few], np.arange(few), scores), 1)
    # The solve grows at worst as the cube of the landmarks, the product as pool times landmarks.
    whole_spread = 64 * solve + 80 * max(spread - solve, 0.0)
    whole = {
        "influence": size.pool * size.tangents * seconds["tangent"]
        + size.landmarks * seconds["gradient"],
        "representations": size.pool * seconds["forward"],
        "gradients": size.pool * seconds["gradient"],
    }
    counted = costs.costs(
        costs.Model("timed", 1e9, size.layers),
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
        "ratio_counted": costs.speed_up(counted),
        "ratio_measured": whole["representations"] / whole["influence"],
        "ratio_measured_with_spread": whole["representations"]
        / (whole["influence"] + whole_spread),
        "ratio_gradients_counted": costs.speed_up(counted, "gradients"),
        "ratio_gradients_measured": whole["gradients"] / whole["influence"],
    }


def _seconds(call: Callable[[], object], repeats: int) -> float:
    """Return the smallest processor time of a call, after a first call for warm-up."""
    times = []
    with torch.no_grad():
        for _ in range(repeats + 1):
            began = time.process_time()
            call()
            times.append(time.process_time() - began)
    return min(times[1:])
