r"""Convergence of a descent, and the Monte-Carlo error of its estimate.

A step of the descent is ``p_{k+1} = p_k - r_k x_k``, with r_k the learning rate and x_k the
gradient preconditioned by the descent's matrix H, which is estimated from few draws. Let M be the
matrix of :mod:`popinv.inference.distance_influence`, estimated from many draws. Then
``M^{-1} H x_k`` is close to ``p_k - p*`` plus the noise of the draws. Over the averaging window,

.. math::
    \bar x = M^{-1} H \frac{\sum_k (p_k - p_{k+1})}{\sum_k r_k}

estimates the remaining distance, with a standard error from the spread of x_k. The descent has
arrived if this is small compared with the sampling standard error of every parameter, or does not
differ significantly from zero. The error of the window's mean is then the mean of the noise, of
variance ``Var(M^{-1} H x_k) / window``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popinv.inference.descent import learning_rate
from popinv.inference.distance_influence import DistanceInfluence
from popinv.inference.problem import DescentState
from popinv.inference.settings import DescentSettings

# Largest remaining distance in standard errors, and in deviations of the noise of the draws.
_MOST_LEFT, _DOUBT = 0.5, 2.0


@dataclass(frozen=True)
class Arrival:
    """Diagnostics of the end of a descent.

    Attributes
    ----------
    remaining : ndarray of shape (n_p,)
        Remaining distance, in standard errors of each parameter.
    drift : ndarray of shape (n_p,)
        Mean of the second half of the window less the mean of the first, in standard errors.
    monte_carlo : ndarray of shape (n_p, n_p)
        Covariance of the answer's error due to the descent's own draws.
    """

    remaining: np.ndarray
    drift: np.ndarray
    monte_carlo: np.ndarray
    arrived: bool


def judge_arrival(
    state: DescentState,
    settings: DescentSettings,
    influence: DistanceInfluence | None,
    errors: np.ndarray,
    free: np.ndarray,
) -> Arrival:
    """Judge the last part of a descent's path.

    Parameters
    ----------
    state : DescentState
        The state at the end of its iterations.
    influence : DistanceInfluence or None
        The influence at the answer. Without it the descent's own matrix is used.
    errors : ndarray of shape (n_p,)
        Sampling standard error of each parameter.
    free : ndarray of bool, shape (n_p,)
        Whether each parameter moves.
    """
    window = max(4, round(settings.averaging * state.iteration))
    path = state.path[state.iteration - window - 1 : state.iteration]
    rates = np.array(
        [learning_rate(settings, k) for k in range(state.iteration - window, state.iteration)]
    )
    steps = -np.diff(path, axis=0) / rates[:, None]
    gradients = steps
    if influence is not None:
        gradients = steps @ (influence.inverse @ state.curvature).T
    share = rates / rates.sum()
    left = share @ gradients
    spread = np.atleast_2d(np.cov(gradients, rowvar=False))
    doubt = np.sqrt(np.diag(spread) * (share**2).sum())
    size = np.where(free & (errors > 0), errors, np.inf)
    half = window // 2
    drift = (path[-half:].mean(axis=0) - path[-2 * half : -half].mean(axis=0)) / size
    excess = np.maximum(np.abs(left) - _DOUBT * doubt, 0.0) / size
    return Arrival(left / size, drift, spread / window, bool(np.all(excess <= _MOST_LEFT)))
