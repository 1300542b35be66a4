"""Samples of a fitted model, for comparison with observations."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.late import torch
from popinv.seeds import generator


@dataclass(frozen=True)
class FittedModel:
    """A fitted model and its uncertainty.

    Attributes
    ----------
    problem : Problem
        With the surrogate.
    p : ndarray of shape (n_p,)
        The estimate.
    draws : ndarray of shape (B, n_p)
        Draws about the estimate, with its own error.
    residuals : ndarray of shape (K, d_y), optional
        Solver minus surrogate on fresh solves. Each sampled system takes a random residual, since
        the observed systems come from the solver.
    """

    problem: Problem
    p: np.ndarray
    draws: np.ndarray
    residuals: np.ndarray | None = None

    def sample(
        self,
        count: int,
        stage: str,
        index: int = 0,
        conditions: Conditions | None = None,
        p: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return observations (count, d_y) at the estimate or at another p."""
        alpha, gamma = self.problem.split(self.p if p is None else p)
        return sample_model(
            self.problem, alpha, gamma, count, stage, index, conditions, self.residuals
        )

    def null_sample(
        self, count: int, stage: str, index: int, conditions: Conditions | None
    ) -> np.ndarray:
        """Return observations at a draw about the estimate, with another draw for each index."""
        return self.sample(count, stage, index, conditions, self.draws[index % len(self.draws)])


def sample_model(
    problem: Problem,
    alpha: np.ndarray,
    gamma: np.ndarray,
    count: int,
    stage: str,
    index: int = 0,
    conditions: Conditions | None = None,
    residuals: np.ndarray | None = None,
) -> np.ndarray:
    """Return observations (count, d_y) of the fitted model, noise included.

    If the scales and gaps of n systems are given, row i takes the scale and gaps of system i modulo
    n. Otherwise the noise has scale 1 and every entry is observed, whatever the problem's own
    systems have. If residuals of the simulator (K, d_y) are given, a random residual is added to
    each row.
    """
    rng = generator(problem.seed, stage, index)
    omega = torch.from_numpy(rng.standard_normal((count, problem.law.d_omega)))
    e = torch.from_numpy(rng.standard_normal((count, problem.noise.d_y)))
    given = problem.conditions.known_alone() if conditions is None else conditions
    systems = np.arange(count) % len(given)
    p = torch.from_numpy(np.concatenate([alpha, gamma]))
    simulate = problem.simulate
    if residuals is not None:
        chosen = torch.from_numpy(residuals[rng.integers(len(residuals), size=count)])

        def simulate(z: torch.Tensor) -> torch.Tensor:
            places = problem.noise.own_places
            own = z[:, z.shape[1] - places :].long().repeat(1, problem.replicates)
            return problem.simulate(z) + (chosen.gather(1, own) if places else chosen)

    with torch.no_grad():
        return (
            replace(problem, conditions=given, simulate=simulate)
            .model(p, omega, e, systems)
            .numpy()
        )


CHEAP = 5_000_000
"""Largest number of predicted observations that are drawn without a request."""


def predicted_draws(
    problem: Problem, p: np.ndarray, residuals: np.ndarray | None = None
) -> np.ndarray:
    """Return observations of the fitted model at draws of law and noise.

    Every entry is predicted, also those that were not observed.

    Parameters
    ----------
    problem : Problem
        At all places.
    p : ndarray of shape (..., n_p)
    residuals : ndarray of shape (K, d_y), optional
        As in :func:`sample_model`.

    Returns
    -------
    ndarray of shape (..., N, d_y)
    """
    conditions, count = problem.conditions.without_gaps(), len(problem.data)
    samples = np.array(
        [
            sample_model(
                problem, *problem.split(each), count, "predictive", b, conditions, residuals
            )
            for b, each in enumerate(p.reshape(-1, p.shape[-1]))
        ]
    )
    return samples.reshape(*p.shape[:-1], *samples.shape[1:])
