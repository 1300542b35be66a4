r"""Uncertainty of an answer due to the error of a surrogate that has a posterior law of the solves.

A Gaussian process S is conditioned on the fresh solves, with its hyperparameters unchanged. Joint
draws :math:`G_j` of its posterior at K parameters :math:`z_k` drawn from the law stand in for the
solver. Each gives a push on the mean score,

.. math::
    b_j = \frac1K \sum_k \bigl[ s(p;\, G_j(z_k) + \xi_k) - s(p;\, S(z_k) + \xi_k) \bigr].

The mean square of :math:`N A^{-1} b_j` is added to the covariance of the answer. To first order it
is the delta method with the posterior covariance of G between all pairs of systems, which is what
counts: errors that all systems share do not average out. Adding the predictive variance to the
noise of each system would leave these out.

Nothing is subtracted from the answer. The mean of :math:`b_j` holds the part of the noise that
would be an error of S, which follows from the predictive variance and is as uncertain as this. With
few solves its subtraction moves an answer farther from the truth.

The predictive deviations are multiplied by :math:`\max(1, c)`, where :math:`c^2` is the mean
square of the fresh solves' errors in predictive deviations. This makes up for hyperparameters that
few solves make too certain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from popinv.inference.problem import Problem
from popinv.inference.surrogate_bias import FreshSolves, Scores, observe_again
from popinv.population.known import inputs
from popinv.population.places import at_places
from popinv.seeds import generator, standard_normal_rows
from popinv.surrogate.simulator import UncertainSurrogate

# Draws of the posterior, and parameters of each.
_DRAWS, _PLACES = 24, 96


def inflation_of(surrogate: UncertainSurrogate, fresh: FreshSolves) -> float:
    """Return the factor of the predictive deviations, from solves that S has not seen."""
    if not len(fresh.z):
        return 1.0
    errors = (fresh.y - surrogate.predict(fresh.z)) / surrogate.deviation(fresh.z)
    square = float(np.mean(np.square(errors)))
    return float(np.sqrt(max(1.0, square)))


@dataclass(frozen=True)
class PosteriorSolves:
    """Draws from the posterior law of solves that have not been made.

    Parameters
    ----------
    posterior : UncertainSurrogate
        Conditioned on the fresh solves.
    inflation : float
        Factor of its deviations.
    """

    posterior: UncertainSurrogate
    inflation: float

    @classmethod
    def given(cls, surrogate: UncertainSurrogate, fresh: FreshSolves) -> PosteriorSolves:
        """Return the posterior given fresh solves."""
        inflation = inflation_of(surrogate, fresh)
        return cls(surrogate.conditioned(fresh.z, fresh.y), inflation)

    def pushes(
        self,
        problem: Problem,
        p: np.ndarray,
        scores: Scores,
        stage: str,
        pairs: int,
        gamma: np.ndarray,
    ) -> np.ndarray:
        """Return the push of each draw, mean over the parameters, (J, n_p)."""
        (z, systems), count = _places(problem, p, stage), problem.own_places
        normal = generator(problem.seed, f"{stage}/posterior").standard_normal(
            (_DRAWS, self.posterior.components, len(z))
        )
        with torch.no_grad():
            through = problem.simulate(torch.from_numpy(z)).numpy()
        solved = self.posterior.draws(z[:, : z.shape[1] - count], normal, self.inflation)
        if count:
            solved = np.stack([at_places(each, z[:, -count:].astype(int), 1) for each in solved])
        own = problem.split(p)[1]
        reference = scores(observe_again(problem, own, through, stage, pairs, systems))
        found = [
            scores(observe_again(problem, gamma, drawn, stage, pairs, systems)) - reference
            for drawn in solved
        ]
        return np.stack(found).reshape(_DRAWS, -1, len(p)).mean(axis=1)

    def best(self, pushes: np.ndarray) -> np.ndarray:
        """Return zeros: nothing is subtracted."""
        return np.zeros(pushes.shape[1])

    def covariance(self, pushes: np.ndarray) -> np.ndarray:
        """Return the mean square of the draws' pushes (J, n_p)."""
        return pushes.T @ pushes / len(pushes)


def _places(problem: Problem, p: np.ndarray, stage: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return inputs of the forward model drawn from the law, and the systems they stand for."""
    alpha = torch.from_numpy(problem.split(p)[0].copy())
    half = standard_normal_rows(
        problem.seed, f"{stage}/places", 0, _PLACES // 2, problem.law.d_omega
    )
    # With its opposite, each draw has no first moment, and few draws suffice.
    omega = torch.from_numpy(np.concatenate([half, -half]))
    systems = problem.random_systems(f"{stage}/systems", 0, _PLACES)
    known = problem.known_in_turns(_PLACES, systems)
    with torch.no_grad():
        return inputs(problem.law, alpha, omega, known).numpy(), systems
