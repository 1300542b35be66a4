r"""The answer of a study as a mean over its systems, from which systems can be removed.

A reference answer :math:`p_0` is fitted to other systems, the study's tested ones. With the scores
s_n of the likelihood at p_0, and the information J of one system, on average over the reference,
one step from there is

.. math::
    p = p_0 + J^{-1} \frac1N \sum_n s_n = p_0 + L^{-T} \frac1N \sum_n t_n,
    \qquad t_n = L^{-1} s_n, \quad J = L L^T .

It is as efficient as the maximum, up to the square of the distance from p_0 (Le Cam's one-step
estimator; van der Vaart, Asymptotic Statistics, 1998, section 5.7). The mean minimises the sum of
:math:`|u|^2/2 - t_n \cdot u`, in which each system's term is 1-strongly convex and 1-smooth. A
contribution t_n depends on system n alone, and is clipped to a length C, which bounds what one
system can do. In these coordinates a standard error of the answer is :math:`1/\sqrt N`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
import xarray as xr

from popinv.errors import DataError, DivergenceError
from popinv.inference.conditions import heldout_observations
from popinv.inference.estimate import restricted_inverse
from popinv.inference.likelihood.fit_marginal import fit_marginal_likelihood
from popinv.inference.likelihood.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.likelihood.marginal import MarginalSettings
from popinv.inference.likelihood.marginal_near import likelihood_near
from popinv.inference.likelihood.scores import pseudo_scores
from popinv.inference.problem import Problem


@dataclass(frozen=True)
class Contributions:
    """The contributions of N systems to the answer.

    Attributes
    ----------
    reference : ndarray of shape (n_p,)
        p_0, unconstrained.
    root : ndarray of shape (n_p, k)
        L^{-T}, zero in the rows of parameters that are held.
    each : ndarray of shape (N, k)
        t_n, not clipped.
    estimator : {"likelihood", "pseudo_likelihood"}
    """

    reference: np.ndarray
    root: np.ndarray
    each: np.ndarray
    estimator: str

    def answer(self, mean: np.ndarray) -> np.ndarray:
        """Return the answer (..., n_p), unconstrained, for means (..., k) of contributions."""
        return self.reference + mean @ self.root.T

    @property
    def standard_error(self) -> np.ndarray:
        """Standard error of the answer of all systems, unconstrained, shape (n_p,)."""
        return np.sqrt((self.root**2).sum(axis=1) / len(self.each))


def reference_and_records(
    problem: Problem, observations: xr.Dataset
) -> tuple[Problem, Problem, int]:
    """Return the problems of the reference systems and of those that can be removed.

    The latter are the first ones that the study learned from; their number is returned too.

    Raises
    ------
    DataError
        If the study has no systems aside.
    """
    folds, count = int(observations.attrs.get("folds", 0)), len(problem.data)
    if folds > 1:
        raise DataError(
            "downstream.certified_unlearning: the certificate needs a reference answer of other "
            f"systems, but all {count} are learned from and tested in turn; it takes at least 200 "
            "systems, or synthetic observations"
        )
    y, conditions = heldout_observations(observations, problem.conditions)
    reference = replace(problem, data=y, conditions=conditions, stage=f"{problem.stage}/reference")
    kept = count - (len(y) if folds else 0)
    return reference, problem.of_systems(np.arange(kept)), kept


def contributions_of(
    start: np.ndarray, reference: Problem, records: Problem, estimator: str, draws: int
) -> Contributions:
    """Fit the reference, and return the contributions of the records.

    Parameters
    ----------
    start : ndarray of shape (n_p,)
        Start of the fit, which must not depend on the records.
    reference, records : Problem
    estimator : str
        The estimator of the study's answer. The pseudo-likelihood serves for the distance, which
        has no scores of single systems.
    draws : int
        Draws for each system's integral in the likelihood.
    """
    first = fit_pseudo_likelihood(reference, [start])
    estimate, used = first, "pseudo_likelihood"
    if estimator == "likelihood":
        try:
            settings = MarginalSettings(draws=draws)
            estimate = fit_marginal_likelihood(reference, first.p, settings)
            used = "likelihood"
        except DivergenceError as error:
            print(f"the reference is that of the pseudo-likelihood: {error}")
    problem = records if used == "likelihood" else records.of_moments
    scores = _scores(problem, estimate.p, used, draws)
    free = problem.free & (np.diag(estimate.bread) > 0)
    # The curvature of the reference systems, of which the bread is the inverse, is a sum.
    information = restricted_inverse(estimate.bread, free) / len(reference.data)
    lower = np.linalg.cholesky(information[np.ix_(free, free)])
    root = np.zeros((len(free), int(free.sum())))
    root[free] = scipy.linalg.solve_triangular(lower, np.eye(len(lower)), lower=True).T
    return Contributions(estimate.p, root, scores @ root, used)


def _scores(problem: Problem, p: np.ndarray, estimator: str, draws: int) -> np.ndarray:
    if estimator == "likelihood":
        return likelihood_near(problem, p, MarginalSettings(draws=draws)).here.scores
    return pseudo_scores(problem, p)(problem)
