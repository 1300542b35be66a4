"""Inputs of the selections: exact scores, landmarks' scores, representations, chance.

The test problems share this module. Each has a pool, a target, and a network that was warmed up on
a few random samples of the pool, and receives the samples that each method selects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from popinv.seeds import generator
from popinv_papers.influence import gradients, influence, landmarks
from popinv_papers.influence.gradients import Losses, Samples
from popinv_papers.influence.steps import Step

Spread = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
_SPREADS: dict[str, Spread] = {
    "kernel": landmarks.kernel_spread,
    "linear": landmarks.linear_spread,
}


@dataclass(frozen=True)
class Scores:
    """Exact scores of a pool.

    Attributes
    ----------
    of_mean : ndarray of shape (n,)
        Products with the gradient of the target's mean loss, by the optimiser's step.
    of_mean_plain : ndarray of shape (n,)
        The same for plain gradient descent.
    of_each : ndarray of shape (n, m)
        Cosines with the gradient of every target sample, by the optimiser's step.
    """

    of_mean: np.ndarray
    of_mean_plain: np.ndarray
    of_each: np.ndarray


def exact_scores(
    losses: Losses, theta: Tensor, step: Step, pool: Samples, target: Samples, rows: int = 256
) -> Scores:
    """Return exact scores. The gradients of the pool are computed ``rows`` at a time."""
    of_target = gradients.sample_gradients(losses, theta, target, rows)
    mean = of_target.mean(dim=0)
    products, plain, cosines = [], [], []
    for part in gradients.parts(pool, rows):
        of_pool = gradients.sample_gradients(losses, theta, part, rows)
        products.append(influence.scores_of(of_pool, mean, step))
        plain.append(of_pool @ mean)
        cosines.append(influence.cosine_scores(of_pool, of_target, step))
    return Scores(*(torch.cat(parts).double().numpy() for parts in (products, plain, cosines)))


def spread_scores(
    embedded: Mapping[str, Tensor],
    of_each: np.ndarray,
    sizes: Sequence[int],
    used: int,
    seed: int,
    stage: str,
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Spread scores by every embedding and rule, for every number of landmarks.

    Parameters
    ----------
    embedded : mapping of str to Tensor of shape (n, h)
    of_each : ndarray of shape (n, m)
        Exact scores.
    sizes : sequence of int
        Numbers of landmarks.
    used : int
        The number of landmarks whose scores are returned.
    seed, stage : int, str
        Address of the landmarks.

    Returns
    -------
    numbers : dict
        ``correlation_<embedding>_<rule>_<landmarks>`` with the exact scores.
    known : dict of ndarray of shape (n, m)
        Scores of the kernel rule, by embedding.
    """
    numbers, known = {}, {}
    for kind, rows in embedded.items():
        for rule, spread in _SPREADS.items():
            for size in sizes:
                rng = generator(seed, f"{stage}/landmarks", size)
                chosen = landmarks.draw_landmarks(len(rows), size, rng)
                predicted = spread(rows.double().numpy(), chosen, of_each[chosen])
                numbers[f"correlation_{kind}_{rule}_{size}"] = correlation(
                    predicted, of_each, chosen
                )
                if size == used and rule == "kernel":
                    known[kind] = predicted
    return numbers, known


def representation_scores(pool: Tensor, target: Tensor) -> np.ndarray:
    """Return the cosines of states (n, h) with states of the target (m, h), shape (n, m)."""
    unit = [rows / rows.norm(dim=1, keepdim=True) for rows in (pool, target)]
    return (unit[0] @ unit[1].T).double().numpy()


def correlation(predicted: np.ndarray, exact: np.ndarray, left_out: np.ndarray) -> float:
    """Return the mean over targets of the scores' correlation over all but the landmarks."""
    others = np.ones(len(predicted), dtype=bool)
    others[left_out] = False
    a, b = (x[others] - x[others].mean(axis=0) for x in (predicted, exact))
    norms = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    # Constant scores carry no information.
    each = np.where(norms > 0, (a * b).sum(axis=0) / np.where(norms > 0, norms, 1), 0.0)
    return float(each.mean())
