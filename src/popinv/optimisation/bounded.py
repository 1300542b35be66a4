r"""The best step of a quadratic model within bounds on single entries.

The step is

.. math:: \max_{|\delta_i| \le b_i} \; g^T \delta - \tfrac12\, \delta^T A\, \delta .

Clipping the entries of the joint step :math:`A^{-1} g` is not the same: an entry that is stopped at
its bound would move the others as if it had gone all the way. Near a variance of zero, they would
end at the maximum over negative variances. Here the entries that are stopped stay at their bounds
while the others are solved for again.
"""

from __future__ import annotations

import numpy as np


def bounded_step(matrix: np.ndarray, slope: np.ndarray, longest: np.ndarray) -> np.ndarray:
    """Return the step (n,) that gains most within the bounds.

    An active set: entries that exceed their bounds are held there, and those that the quadratic
    model pulls back inside are released.

    Parameters
    ----------
    matrix : ndarray of shape (n, n)
        A, symmetric and positive definite.
    slope : ndarray of shape (n,)
        g.
    longest : ndarray of shape (n,)
        b, positive; infinite for an entry without a bound.

    Examples
    --------
    >>> matrix = np.array([[2.0, 1.0], [1.0, 1.0]])
    >>> bounded_step(matrix, np.array([1.0, -1.0]), np.array([np.inf, 1.0]))
    array([ 1., -1.])
    """
    step, held = np.zeros(len(slope)), np.zeros(len(slope), dtype=bool)
    # Each turn holds or releases an entry. More turns than this would be a circle.
    for _ in range(4 * len(slope) + 4):
        free = ~held
        rest = slope[free] - matrix[np.ix_(free, held)] @ step[held]
        step[free] = np.linalg.solve(matrix[np.ix_(free, free)], rest)
        beyond = free & (np.abs(step) > longest)
        if beyond.any():
            held |= beyond
            step[beyond] = np.sign(step[beyond]) * longest[beyond]
            continue
        pull = np.sign(step) * (slope - matrix @ step)
        if not np.any(pull[held] < 0):
            return step
        held[np.argmin(np.where(held, pull, np.inf))] = False
    return np.clip(step, -longest, longest)
