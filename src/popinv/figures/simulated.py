r"""Data sets simulated from the fitted model, and the ranges of their statistics.

A statistic of the data is compared with its own distribution over data sets of the fitted model: a
visual predictive check with intervals (Bergstrand et al., AAPS J. 13, 2011). Each simulated data
set has the systems of the data: their number, known quantities, noise scales, gaps and limits. With
B of them, the ends of the 95 % range are the order statistics of rank 0.025 (B + 1) and
0.975 (B + 1), between which a further data set of the model lies in 95 of 100 cases.

The parameters are the answer's, which was estimated from the same data. The data therefore lie a
little closer to a well estimated model, and the ranges are slightly too wide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from popinv.inference.answer.result import parameters_of
from popinv.inference.checks.fitted_samples import sample_model
from popinv.inference.density.problem import Problem
from popinv.inference.uncertainty.surrogate_bias import solver_residuals
from popinv.seeds import generator

LEVELS = (0.05, 0.5, 0.95)
"""Levels of the quantiles over the systems."""

# Ranks 0.025 (B + 1) are whole numbers: there are 40 k - 1 data sets, k from 3 to 5. Large data
# sets have a smaller k.
_FEWEST, _MOST, _ENTRIES = 3, 5, 2e7
# Largest number of compared systems. Ranges of their quantiles are narrower than a tenth of a
# standard deviation (0.06 for the lowest level of a normal law).
_SYSTEMS = 20_000
# Largest number of observed values: fewer systems are compared if each has more than 100.
_NUMBERS = 2_000_000


def some_systems(
    problem: Problem, loaded: Mapping[str, xr.Dataset]
) -> tuple[Problem, dict[str, xr.Dataset]]:
    """Return a problem and its ``observations`` with some of its systems, drawn at random.

    There are at most 20,000 systems, and at most 2 million observed numbers.
    """
    count, d_y = problem.data.shape
    most = min(_SYSTEMS, max(1, _NUMBERS // d_y))
    if count <= most:
        return problem, dict(loaded)
    rng = generator(problem.seed, "figures/systems")
    chosen = np.sort(rng.choice(count, most, replace=False))
    observations = loaded["observations"].isel(system=chosen)
    return problem.of_systems(chosen), {**loaded, "observations": observations}


@dataclass(frozen=True)
class DataSets(Sequence[np.ndarray]):
    """Data sets of the fitted model, each simulated on access.

    A data set is (N, R d_y) for N systems of R replicates, with NaN where the data have gaps.

    Attributes
    ----------
    problem : Problem
        With the surrogate and the data.
    population : Dataset
        ``alpha`` and ``gamma``.
    residuals : ndarray of shape (n, d_y), optional
        Errors of the surrogate. Each simulated system is given a random one of them.
    """

    problem: Problem
    population: xr.Dataset
    residuals: np.ndarray | None

    @classmethod
    def of(cls, problem: Problem, loaded: Mapping[str, xr.Dataset]) -> DataSets:
        """Return the data sets of a study, with the surrogate's errors on the last round."""
        return cls(problem, loaded["population"], solver_residuals(problem, loaded["check"]))

    def __len__(self) -> int:
        return 40 * int(np.clip(_ENTRIES / self.problem.data.size / 40, _FEWEST, _MOST)) - 1

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        conditions = self.problem.conditions
        y = sample_model(
            self.problem,
            *parameters_of(self.population),
            len(self.problem.data),
            "figures/data_sets",
            index,
            conditions,
            self.residuals,
        )
        return np.where(conditions.present, y, np.nan) if conditions.gaps else y


def moments(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each column, of the entries that are not NaN."""
    seen = ~np.isnan(y)
    # A column that only held-out systems have is empty.
    count = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, y, 0.0).sum(axis=0) / count
    return mean, np.sqrt(np.where(seen, (y - mean) ** 2, 0.0).sum(axis=0) / count)


def covariance(y: np.ndarray) -> np.ndarray:
    """Return the covariance (d, d) of observations (N, d), each entry over systems with both.

    An entry is NaN if fewer than two systems have both.
    """
    missing = np.isnan(y)
    if len(y) > 1 and not missing.any():
        return np.atleast_2d(np.cov(y, rowvar=False))
    seen = (~missing).astype(float)
    centred = np.nan_to_num(y - moments(y)[0])
    both, sums = seen.T @ seen, centred.T @ seen
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((centred.T @ centred - sums * sums.T / both) / (both - 1))


def quantiles(values: np.ndarray, levels: tuple[float, ...] = LEVELS) -> np.ndarray:
    """Return quantiles of the entries of each column that are not NaN, (levels, columns).

    They equal ``numpy.nanquantile`` along the first axis, which treats each column by itself and is
    slow.
    """
    ordered = np.sort(values, axis=0)
    last = np.maximum((~np.isnan(values)).sum(axis=0) - 1, 0)
    place = np.multiply.outer(np.asarray(levels), last)
    below = np.floor(place).astype(int)
    low, high = (
        np.take_along_axis(ordered, rows, axis=0) for rows in (below, np.minimum(below + 1, last))
    )
    return np.asarray(low + (place - below) * (high - low))


def range_of(statistic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the 95 % range of a statistic over simulated data sets, along axis 0."""
    low, high = np.quantile(statistic, (0.025, 0.975), axis=0, method="weibull")
    return low, high


def middle_of(statistic: np.ndarray) -> np.ndarray:
    """Return the median of a statistic over simulated data sets, along axis 0."""
    return np.asarray(np.median(statistic, axis=0))
