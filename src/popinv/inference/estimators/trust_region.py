r"""Bounds on the change of each parameter in one step of the descent.

Logarithms of positive quantities, and correlations, have no unit, and ``max_step`` bounds their
change. A location has a unit, and the observations determine its natural size: moving parameter i
by delta moves the projected quantiles by ``delta h_i``, with mean square ``delta^2 H_ii / d_y``
(:mod:`popinv.transport.curvature`). This is compared with the distance of model and data and with
the spread of the data,

.. math::
    |\delta_i| \le \texttt{max\_step} \sqrt{\frac{2 J / d_y + v}{H_{ii} / d_y}},

with J the loss and v the mean variance of the projected data. The bound is the same in any unit.
Each parameter has its own bound, so a parameter on its way to zero does not slow the others. The
logarithm of a median has no unit; near zero its natural size has no end, and is at most 4.
"""

from __future__ import annotations

import numpy as np

from popinv.inference.density.problem import Problem
from popinv.inference.estimators.settings import DescentSettings

_LARGEST_SIZE_OF_MEDIANS = 4.0


def location_sizes(d_y: int, loss: float, spread: float, curvature: np.ndarray) -> np.ndarray:
    """Return the natural size of a change of each location.

    Parameters
    ----------
    loss : float
        J; below zero, as a debiased loss may be, it counts as zero.
    spread : float
        v, the mean variance of the projected data.
    curvature : ndarray of shape (n,)
        Diagonal of the Gauss-Newton matrix.
    """
    reach = 2 * max(loss, 0.0) / d_y + spread
    return np.sqrt(reach * d_y / np.maximum(curvature, np.finfo(float).tiny))


def longest_steps(
    problem: Problem,
    settings: DescentSettings,
    loss: float,
    spread: float,
    curvature: np.ndarray,
) -> np.ndarray:
    """Return the longest change of each entry of p, shape (n_p,).

    Parameters
    ----------
    loss, spread : float
        As in :func:`location_sizes`.
    curvature : ndarray of shape (at least d_alpha,)
        Diagonal of the Gauss-Newton matrix, with the law first.
    """
    longest = np.full(len(problem.free), settings.max_step)
    for i in np.flatnonzero(~problem.logarithmic):
        if curvature[i] > 0:
            size = location_sizes(problem.data.shape[1], loss, spread, curvature[i : i + 1])
            most = _LARGEST_SIZE_OF_MEDIANS if i in problem.law.medians else np.inf
            longest[i] = settings.max_step * min(size[0], most)
    return longest
