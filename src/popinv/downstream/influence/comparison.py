"""What the selections are made of: exact scores, landmarks' scores, representations, chance.

Shared by the test problems: each names a pool, a target, and a network that has been warmed up on
a few random samples of the pool, and is told which samples each method takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from popinv.downstream.influence import gradients, influence, landmarks
from popinv.downstream.influence.gradients import Losses, Samples
from popinv.downstream.influence.steps import Step

__all__ = ["SPREADS", "Scores", "correlation", "exact_scores", "spread_scores"]

Spread = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
SPREADS: dict[str, Spread] = {
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
    """Return exact scores; the gradients of the pool are formed so many rows at a time."""
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
    embeddings: Tensor,
    of_each: np.ndarray,
    size: int,
    rng: np.random.Generator,
    spread: Spread = landmarks.kernel_spread,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of all samples as random landmarks' tell, (n, m), and the landmarks."""
    chosen = landmarks.draw_landmarks(len(embeddings), size, rng)
    return spread(embeddings.double().numpy(), chosen, of_each[chosen]), chosen


def correlation(found: np.ndarray, exact: np.ndarray, left_out: np.ndarray) -> float:
    """Return the correlation of scores over all samples but the landmarks, mean over targets."""
    others = np.ones(len(found), dtype=bool)
    others[left_out] = False
    a, b = (x[others] - x[others].mean(axis=0) for x in (found, exact))
    norms = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    # Scores that do not vary tell nothing.
    each = np.where(norms > 0, (a * b).sum(axis=0) / np.where(norms > 0, norms, 1), 0.0)
    return float(each.mean())
