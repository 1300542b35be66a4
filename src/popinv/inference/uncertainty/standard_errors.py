r"""Two kinds of standard errors, and which of them an answer has.

An estimate with scores s_n and curvature A has the covariance :math:`A^{-1} B A^{-1}`. The matrix B
is estimated in two ways:

- *robust*: by the sum of the outer products of the observed scores (the sandwich; White,
  Econometrica 50, 1982). It is right whatever the model. With few systems it is too small, and
  varies much: the error of its entry for a standard deviation is about :math:`\sqrt{14 / N}` of its
  size.
- *by the model*: from the fitted model. For a likelihood, B is the observed information A itself.
  For other estimates, B is the mean over systems that are simulated from the fitted model.

With fewer systems than :data:`FEW_SYSTEMS`, standard errors are by the model; with more systems
they are robust. If both kinds differ much with many systems, the model does not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from popinv.inference.checks.fitted_samples import sample_model
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import Estimate
from popinv.sections.systems import FEWEST_TESTED

FEW_SYSTEMS = 200
"""With fewer systems, standard errors are by the model."""

# Systems that are simulated for B.
_SIMULATED = 4000


def by_information(problem: Problem) -> bool:
    """Return whether the standard errors of a problem's estimates are by the model."""
    return problem.count < FEW_SYSTEMS


def has_robust_errors(problem: Problem) -> bool:
    """Return whether there are enough systems for robust errors.

    The scores of a single system are zero at its maximum, and say nothing of their spread.
    """
    return problem.count >= FEWEST_TESTED


def simulated(
    problem: Problem, p: np.ndarray, count: int, stage: str, residuals: np.ndarray | None = None
) -> Problem:
    """Return the problem with observations of ``count`` systems drawn from its model at p.

    They take the conditions of the observed systems in turns. If residuals of the simulator (K,
    d_y) are given, a random residual is added to each system.
    """
    conditions = problem.conditions
    data = sample_model(
        problem,
        *problem.split(np.asarray(p, dtype=float)),
        count,
        f"{problem.stage}/{stage}",
        conditions=conditions,
        residuals=residuals,
    )
    own = conditions.of(np.arange(count) % len(conditions))
    return replace(problem, data=data, conditions=own)


def with_model_errors(
    problem: Problem,
    estimate: Estimate,
    scores: Callable[[Problem], np.ndarray],
    penalty: np.ndarray,
) -> Estimate:
    """Return an estimate, not by a likelihood, with both kinds of standard errors.

    Parameters
    ----------
    estimate : Estimate
        With the robust covariance.
    scores : callable
        Maps a problem to the scores (n, n_p) of its systems at the estimate.
    penalty : ndarray of shape (n_p, n_p)
        Curvature of the penalties; see :class:`~popinv.inference.estimators.estimate.Estimate`.
    """
    found = scores(simulated(problem, estimate.p, _SIMULATED, "model_errors"))
    found = found[np.isfinite(found).all(axis=1)]
    # Squares have no negative variance by rounding if nothing is determined.
    moved = found @ estimate.bread
    model = len(problem.data) / len(found) * moved.T @ moved
    model = model + estimate.bread @ penalty @ estimate.bread
    robust = estimate.covariance
    return replace(
        estimate,
        covariance=model if by_information(problem) else robust,
        model_covariance=model,
        robust_covariance=robust if has_robust_errors(problem) else None,
    )
