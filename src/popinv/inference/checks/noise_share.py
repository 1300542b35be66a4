r"""Size of the recovered noise beside the spread of the observations over the systems.

For observation j the share is

.. math:: \rho_j = \sqrt{\Gamma_{jj}} \,/\, \sqrt{\operatorname{Var}_n\, y^{(n)}_j}.

A likelihood has no maximum where the model can pass exactly through the observations of every
system: it grows without bound as Gamma_jj goes to zero, and the search stops wherever rounding or
the surrogate's error stops it. A share close to zero is the sign of this.

The covariance of a discrepancy of each system's own (:class:`~popinv.population.noise.discrepancy.
OwnDiscrepancy`) counts in Gamma. It may take the place of the measurement's noise, which then has a
share of it that is close to zero.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.forward.datasets import observation_names
from popinv.inference.answer.result import estimate_of
from popinv.inference.density.problem import Problem
from popinv.judgement.measures import LeastNoise
from popinv.late import torch
from popinv.store.rows import row_blocks


def noise_shares(problem: Problem, covariance: np.ndarray) -> np.ndarray:
    """Return the share of each observation of a replicate, shape (d,).

    Parameters
    ----------
    covariance : ndarray of shape (d, d)
        The noise of one replicate. Known noise scales of systems count by their mean square.

    Returns
    -------
    ndarray
        NaN where fewer than two values were observed.
    """
    variance = np.diag(covariance) * problem.conditions.mean_square_scale
    count, spread = _spread(problem, len(covariance))
    varies = (count > 1) & (spread > 0)
    shares = np.full(len(covariance), np.nan)
    shares[varies] = np.sqrt(variance[varies]) / spread[varies]
    return shares


def _spread(problem: Problem, d_y: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of observed values of each observation, and their standard deviation."""
    present = problem.conditions.present
    centre: np.ndarray | None = None
    count, total, square = np.zeros(d_y), np.zeros(d_y), np.zeros(d_y)
    for block, y in row_blocks(problem.data):
        values = y.reshape(-1, d_y)
        seen = np.isfinite(values) & present[block].reshape(-1, d_y)
        if centre is None:
            # Sums about a value of each avoid cancellation, and are zero if all are the same.
            first = np.take_along_axis(values, seen.argmax(axis=0)[None], axis=0)[0]
            centre = np.nan_to_num(first)
        difference = np.where(seen, values - centre, 0.0)
        count, total = count + seen.sum(axis=0), total + difference.sum(axis=0)
        square = square + np.square(difference).sum(axis=0)
    mean = total / np.maximum(count, 1)
    return count, np.sqrt(np.maximum(square / np.maximum(count, 1) - mean**2, 0.0))


def least_noise(
    problem: Problem, population: xr.Dataset, observations: xr.Dataset
) -> LeastNoise | None:
    """Return the smallest share and its observation; None if no observation was seen twice.

    Parameters
    ----------
    population : Dataset
        The answer, with ``noise_covariance``.
    observations : Dataset
        With the coordinates of the observations.
    """
    shares = noise_shares(problem.at_all_places, population["noise_covariance"].values)
    if not np.isfinite(shares).any():
        return None
    least = int(np.nanargmin(shares))
    name = observation_names(observations)[least].removesuffix(" of replicate 1")
    return LeastNoise(float(shares[least]), name, _beside_own(problem.at_all_places, population))


def _beside_own(problem: Problem, population: xr.Dataset) -> float | None:
    """Return the smallest share of the measurement in the noise with an error of each system.

    None without such an error, and with replicates, which tell the two apart.
    """
    noise = problem.noise
    if noise.own is None or noise.replicates > 1:
        return None
    gamma = torch.from_numpy(estimate_of(population)[problem.d_alpha :])
    measured = noise.family.covariance(noise.within(gamma)).diagonal()
    return float(torch.sqrt(measured / noise.covariance(gamma).diagonal()).min())
