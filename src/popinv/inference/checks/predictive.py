r"""Log predictive densities of tested systems, by which models are compared.

The log score of a system is the log density of its observation under a model that has not seen it,

.. math:: s_n = \log p(y_n \mid \hat\alpha_{-k}, \hat\gamma_{-k})
    = \log \int N(y_n;\, G(z), s_n^2 \Gamma)\, \mu(dz),

marginal over the parameters z of the system (Gneiting and Raftery, JASA 102, 2007). The marginal
likelihood has the same integral (:mod:`popinv.inference.integrate.marginal`). If the integral is
unreliable, the *normal score* remains: the log density of the normal law with the model's mean and
covariance (Dawid and Sebastiani, Ann. Statist. 27, 1999), which is the pseudo-likelihood.

All densities are of the observations as the study reads them, so that all models of the same
observations have one scale. Only :func:`log_densities` evaluates a density: a study that transforms
its observations would add the log Jacobian of the transform there, ``sum_j log |dT_j / dy_j|`` of
each system.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.density.solver import SolverSimulator
from popinv.inference.estimators.fit_pseudo import normal_log_densities
from popinv.inference.estimators.marginal_estimate import are_poor, doubts_of_draws
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.inference.integrate.model_moments import matched_draws


@dataclass(frozen=True)
class PredictiveDensities:
    """Log predictive densities of systems.

    Attributes
    ----------
    log_score : ndarray of shape (n,)
        Marginal over z; NaN if the integrals are unreliable.
    error : ndarray of shape (n,)
        A draw of each score's error due to the draws of its integral.
    normal_score : ndarray of shape (n,)
        Log density of the normal law with the model's mean and covariance.
    reason : str
        The reason if there is no log score, or "".
    """

    log_score: np.ndarray
    error: np.ndarray
    normal_score: np.ndarray
    reason: str = ""


def log_densities(problem: Problem, p: np.ndarray, draws: int) -> tuple[np.ndarray, ...]:
    """Return log p(y_n), a draw of its error, and the effective share of the draws, each (n,).

    Raises
    ------
    DivergenceError
        If a density is not finite.
    """
    settings = MarginalSettings(draws=draws)
    evaluation = likelihood_near(problem, p, settings).here
    if not np.isfinite(evaluation.log_likelihood).all():
        raise DivergenceError("the density of a system is not finite")
    # The log Jacobian of a transform of the observations would be added to the first.
    return evaluation.log_likelihood, evaluation.value_error, evaluation.effective_share


def predictive(
    problem: Problem,
    tested: np.ndarray,
    conditions: Conditions,
    answers: np.ndarray,
    draws: int,
    solver: SolverSimulator | None = None,
    reason: str = "",
) -> PredictiveDensities:
    """Return the log predictive densities of tested systems.

    Parameters
    ----------
    problem : Problem
        With the surrogate.
    tested : ndarray of shape (n, d_y)
        Observations of the tested systems, missing entries filled.
    conditions : Conditions
        Their scales, gaps and known quantities.
    answers : ndarray of shape (K, n_p)
        The answer for each fold; system i is in fold i modulo K.
    draws : int
        Draws for the integral of each system.
    solver : SolverSimulator, optional
        The forward model in place of the surrogate.
    reason : str
        The reason if the integrals are known to be unreliable.
    """
    simulated = problem if solver is None else problem.through(solver)
    n = len(tested)
    score, error, share, normal = (np.full(n, np.nan) for _ in range(4))
    with nullcontext() if solver is None else solver.session():
        for rows, p in _folds(n, answers):
            observed = replace(simulated, data=tested[rows], conditions=conditions.of(rows))
            normal[rows] = normal_log_densities(observed, p, matched_draws(observed))
            if reason:
                continue
            try:
                score[rows], error[rows], share[rows] = log_densities(observed, p, draws)
            except DivergenceError as failure:
                reason = str(failure)
    if not reason:
        poor = float(are_poor(share, draws).mean())
        reason = "; ".join(doubts_of_draws(float(share.mean()), poor, n))
    if reason:
        score = error = np.full(n, np.nan)
    return PredictiveDensities(score, error, normal, reason)


def _folds(count: int, answers: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for fold, p in enumerate(answers):
        if fold < count:
            yield np.arange(fold, count, len(answers)), p
