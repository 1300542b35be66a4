r"""The choice of the next solves, one by one, where the surrogate is most uncertain.

Candidates are drawn from the current population. The uncertainty of a candidate is the predictive
variance in units of the noise, mean over observations,

.. math::
    U(x) = \sum_c w_c\,v_c(x, x),

with w the squares of the components' units. After each choice the covariances are conditioned on a
solve there. Its value is not needed:

.. math::
    v_c(x, x') \leftarrow v_c(x, x') -
        \frac{v_c(x, x_*)\,v_c(x_*, x')}{v_c(x_*, x_*) + \nu_c}.

This is a partial Cholesky factorisation with pivots; see Krause, Singh and Guestrin, J. Mach.
Learn. Res. 9 (2008), for the greedy choice.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.gaussian_process.emulator import Emulator


def chosen_rows(
    surrogate: xr.Dataset, estimate: xr.Dataset, candidates: np.ndarray, count: int
) -> np.ndarray:
    """Return the numbers of the candidates to solve, in the order of the choice, shape (count,).

    Parameters
    ----------
    surrogate : Dataset
        A Gaussian process.
    estimate : Dataset
        With ``noise_covariance``, whose deviations are the unit of the uncertainty.
    candidates : ndarray of shape (m, d_z)
    count : int
        At most m.
    """
    process: Emulator = surrogate_of(surrogate)
    return most_uncertain(
        process.candidate_covariances(candidates),
        process.processes.nugget.numpy(),
        process.component_sizes(estimate["noise_covariance"].values),
        count,
    )


def most_uncertain(
    covariances: np.ndarray, nugget: np.ndarray, sizes: np.ndarray, count: int
) -> np.ndarray:
    """Return the numbers of the chosen candidates, in the order of the choice, shape (count,).

    Parameters
    ----------
    covariances : ndarray of shape (q, m, m)
        Posterior covariances of the components between the candidates.
    nugget, sizes : ndarray of shape (q,)
        nu and w.
    count : int
        At most m.
    """
    left = covariances.copy()
    chosen: list[int] = []
    for _ in range(count):
        uncertainty = np.einsum("c,cii->i", sizes, left)
        # A candidate is solved once, even where the nugget leaves it uncertain.
        uncertainty[chosen] = -np.inf
        best = int(np.argmax(uncertainty))
        chosen.append(best)
        column = left[:, :, best].copy()
        pivot = column[:, best] + nugget
        left -= column[:, :, None] * (column / pivot[:, None])[:, None, :]
    return np.array(chosen, dtype=int)
