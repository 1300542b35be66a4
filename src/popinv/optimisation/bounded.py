r"""The best step of a quadratic model within bounds on single entries.

The step is

.. math:: \max_{|\delta_i| \le b_i} \; g^T \delta - \tfrac12\, \delta^T A\, \delta .

Clipping the entries of the joint step :math:`A^{-1} g` gives a worse step: an entry that is stopped
at its bound would move the others as if it had not been stopped. Near a variance of zero, they
would end at the maximum over negative variances. Here the stopped entries stay at their bounds, and
the step solves for the other entries again.
"""

from __future__ import annotations

import numpy as np

# Largest number of turns for each entry. Rounding may hold and release a negligible entry forever.
_TURNS = 10


def bounded_step(matrix: np.ndarray, slope: np.ndarray, longest: np.ndarray) -> np.ndarray:
    """Return the step (n,) that gains most within the bounds.

    The method keeps an active set: the step goes towards the best step with some entries held, as
    far as the first bound, where that entry is held too. At the best step, an entry that the
    quadratic model pulls back inside is released. The gain never falls, so that no set occurs
    twice.

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
    # Each turn holds or releases an entry.
    for _ in range(_TURNS * len(slope) + _TURNS):
        free = ~held
        rest = slope[free] - matrix[np.ix_(free, held)] @ step[held]
        best = step.copy()
        best[free] = np.linalg.solve(matrix[np.ix_(free, free)], rest)
        beyond = np.flatnonzero(free & (np.abs(best) > longest))
        if len(beyond):
            sides = np.sign(best[beyond]) * longest[beyond]
            shares = (sides - step[beyond]) / (best[beyond] - step[beyond])
            first = np.argmin(shares)
            step += shares[first] * (best - step)
            step[beyond[first]] = sides[first]
            held[beyond[first]] = True
            continue
        step = best
        pull = np.sign(step) * (slope - matrix @ step)
        if not np.any(pull[held] < 0):
            break
        held[np.argmin(np.where(held, pull, np.inf))] = False
    return np.clip(step, -longest, longest)
