r"""Descent of a stack of classifiers, each on its own subset of the points.

A batch is drawn by Poisson sampling: it contains each of the n points with probability q = b / n. A
model that must not see some points takes the same batch without them, and still divides the sum of
gradients by b. Training with and without a point then differs only in this point's gradients:

.. math:: \theta \leftarrow \theta - \frac{\eta}{b} \sum_{i \in B} m_i \nabla \ell_i(\theta)
    - \eta \gamma_t\, \mathrm{sign}(\theta) + \sqrt{2 \eta \sigma^2}\, N(0, I).

Langevin descent has sigma > 0, and may shorten gradients to a length (`clip`), which bounds what a
point can do. Plain descent has neither noise nor gamma. Sparse unlearning (Jia et
al., NeurIPS 2023) has a penalty gamma_t |theta|_1 that falls to zero along the run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from popinv.seeds import generator
from popinv_papers.instance_unlearning.networks import Network, Weights
from popinv_papers.kit.kept import continued

Look = Callable[[int, Weights], Mapping[str, np.ndarray]]
"""Maps the number of past steps and the weights to what is recorded then, by name."""


@dataclass(frozen=True)
class Data:
    """Points: images (n, channels, rows, columns) and integer labels (n,)."""

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.labels.max()) + 1

    def of(self, rows: np.ndarray) -> Data:
        """Return some of the points."""
        index = torch.from_numpy(np.asarray(rows, dtype=np.int64))
        return Data(self.images[index], self.labels[index])


@dataclass(frozen=True)
class Rule:
    """Settings of a step.

    Attributes
    ----------
    rate, batch : float
        eta and b.
    sigma : float
        sigma of Langevin descent.
    penalty : float
        gamma_0 of sparse unlearning.
    clip : float
        The length to which the gradient of a point is shortened; 0 leaves it as it is.
    """

    rate: float
    batch: float
    sigma: float = 0.0
    penalty: float = 0.0
    clip: float = 0.0


@dataclass(frozen=True)
class Steps:
    """The length of a run and the address of its random draws.

    The batches and the noise of step k are determined by (seed, stage, k).
    """

    count: int
    seed: int
    stage: str


def batch(points: int, share: float, steps: Steps, k: int) -> np.ndarray:
    """Draw the rows of batch k, each with probability ``share``."""
    draws = generator(steps.seed, f"{steps.stage}/batch", k).random(points)
    return np.flatnonzero(draws < share)


def step(
    weights: Weights,
    network: Network,
    data: Data,
    kept: torch.Tensor,
    rule: Rule,
    penalty: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Weights:
    """Take one step with a batch; return the new weights.

    Parameters
    ----------
    kept : Tensor of shape (models, points of the batch)
        1 if a model sees a point, else 0.
    penalty : float
        gamma_t.
    rng : numpy.random.Generator, optional
        Draws the noise, the same for all models; needed if the rule has noise.
    """
    if rule.clip:
        # A loss that is weighed by a constant has its gradient weighed by it.
        norms = network.norms(weights, data.images, data.labels)
        kept = kept * (rule.clip / norms.clamp_min(1e-12)).clamp_max(1.0)

    def total(one: Weights, mask: torch.Tensor) -> torch.Tensor:
        return (mask * network.losses(one, data.images, data.labels)).sum() / rule.batch

    gradients = torch.func.vmap(torch.func.grad(total))(weights, kept)
    moved = {}
    for name, values in weights.items():
        new = values - rule.rate * gradients[name]
        if penalty:
            new -= rule.rate * penalty * values.sign()
        if rule.sigma:
            if rng is None:
                raise ValueError("a rule with noise needs a generator")
            noise = rng.standard_normal(values.shape[1:], dtype=np.float32)
            new += math.sqrt(2 * rule.rate) * rule.sigma * torch.from_numpy(noise)
        moved[name] = new
    return moved


def descend(
    weights: Weights,
    network: Network,
    data: Data,
    kept: np.ndarray,
    rule: Rule,
    steps: Steps,
    look: Look | None = None,
    part: str = "",
) -> tuple[Weights, dict[str, np.ndarray]]:
    """Take all steps of a run, which goes on from its last stored state within a test problem.

    Parameters
    ----------
    kept : ndarray of bool, shape (models, n)
        The points that each model of the stack trains on.
    look : callable, optional
        Maps the number of past steps and the weights to arrays to be recorded by name, or to
        nothing. It is called before the first step and after each.
    part : str
        What distinguishes this run from others with the same draws.

    Returns
    -------
    weights : dict
        The last ones.
    recorded : dict of ndarray, shape (records, ...)
    """
    mask = torch.from_numpy(np.asarray(kept, dtype=np.float32))

    def state(k: int, weights: Weights, before: Mapping[str, np.ndarray]) -> dict[str, Any]:
        seen = {} if look is None else look(k, weights)
        recorded = {
            name: np.concatenate([before[name], value[None]]) if name in before else value[None]
            for name, value in seen.items()
        }
        return {**before, **weights, **recorded}

    def take_step(k: int, before: Mapping[str, np.ndarray]) -> dict[str, Any]:
        rows = batch(len(data), rule.batch / len(data), steps, k)
        rng = generator(steps.seed, f"{steps.stage}/noise", k) if rule.sigma else None
        penalty = rule.penalty * (1 - k / steps.count)
        weights = _weights(network, before)
        after = step(weights, network, data.of(rows), mask[:, rows], rule, penalty, rng)
        return state(k + 1, after, before)

    name = f"{steps.stage} {part}".strip()
    end = continued(name, lambda: state(0, weights, {}), take_step, steps.count)
    recorded = {name: values for name, values in end.items() if name not in network.shapes}
    return _weights(network, end), recorded


def _weights(network: Network, state: Mapping[str, np.ndarray]) -> Weights:
    return {name: torch.tensor(state[name]) for name in network.shapes}
