"""The data beside data sets of the fitted model: what the figures and the pages draw of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from popinv.figures.arrangement import arrangement, seen_somewhere
from popinv.figures.bins import Bins, bins_of
from popinv.figures.replicates import each_replicate, rows_of_replicates
from popinv.figures.simulated import covariance, data_sets, middle_of, moments, range_of
from popinv.inference.problem import Problem

# The least half width of a range, relative to the spread of the data. Where the model puts a whole
# quantile on a limit of quantification, the range has no width.
_LEAST = 1e-3


@dataclass(frozen=True)
class QuantileRanges:
    """Quantiles of the data, and the ranges of the same quantiles under the fitted model.

    Attributes
    ----------
    observed : ndarray of shape (3, bins)
        Quantiles over the systems, at :data:`popinv.figures.simulated.LEVELS`.
    low, middle, high : ndarray of shape (3, bins)
        Ends of the 95 % range, and median, of each quantile over simulated data sets.
    """

    observed: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray

    @classmethod
    def of_sets(cls, observed: np.ndarray, simulated: np.ndarray) -> QuantileRanges:
        """Return the ranges of quantiles (3, bins) from those of data sets (B, 3, bins)."""
        low, high = range_of(simulated)
        return cls(observed, low, middle_of(simulated), high)

    @property
    def outside(self) -> np.ndarray:
        """Whether each quantile lies outside its range, (3, bins); 1 in 20 of a right model's."""
        return np.asarray((self.observed < self.low) | (self.observed > self.high))

    def departure(self, spread: np.ndarray) -> np.ndarray:
        """Return the quantiles less the middle of their range, in units of its half, (3, bins).

        Below -1 and above 1 a quantile is outside its range.

        Parameters
        ----------
        spread : ndarray of shape (bins,)
            Standard deviations of the data. A range is taken to be no narrower than a thousandth.
        """
        up, down = self.high - self.middle, self.middle - self.low
        away = self.observed - self.middle
        half = np.maximum(np.where(away > 0, up, down), _LEAST * spread)
        return np.asarray(away / half)

    def scaled(self, mean: np.ndarray, spread: np.ndarray) -> QuantileRanges:
        """Return the quantiles of (y - mean) / spread, for each bin."""
        each = (self.observed, self.low, self.middle, self.high)
        return QuantileRanges(*((values - mean) / spread for values in each))

    def of(self, bins: np.ndarray) -> QuantileRanges:
        """Return the quantiles of some bins."""
        each = (self.observed, self.low, self.middle, self.high)
        return QuantileRanges(*(values[:, bins] for values in each))


@dataclass(frozen=True)
class PredictiveCheck:
    """The data, and statistics of B data sets of the fitted model.

    Attributes
    ----------
    observations : Dataset
        ``y`` (system, observation) with those observations that some system has, and each replicate
        as a system.
    bins : Bins
        Of these observations.
    ranges : QuantileRanges
        Quantiles of each bin, and their ranges.
    means, deviations : ndarray of shape (B, d)
        Mean and standard deviation of each of these observations.
    covariances : ndarray of shape (B, d_y, d_y)
        Covariances of all observations of the first replicate, noise and signal together.
    """

    observations: xr.Dataset
    bins: Bins
    ranges: QuantileRanges
    means: np.ndarray
    deviations: np.ndarray
    covariances: np.ndarray

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of the data in each bin, (bins,)."""
        return self.bins.spread(self.observations["y"].values)

    @classmethod
    def of(
        cls, observations: xr.Dataset, sets: Iterable[np.ndarray], replicates: int = 1
    ) -> PredictiveCheck:
        """Return the statistics of data sets.

        Parameters
        ----------
        observations : Dataset
            ``y`` (system, observation), NaN if an observation is missing.
        sets : iterable of ndarray of shape (N, R d_y)
            Data sets of the fitted model with the gaps of the data, R replicates side by side.
        replicates : int
            R.
        """
        shown = each_replicate(observations)
        seen = seen_somewhere(shown)
        shown = shown.isel(observation=seen)
        bins = bins_of(arrangement(shown), shown["y"].values)
        found: tuple[list[np.ndarray], ...] = ([], [], [], [])
        for y in sets:
            rows = rows_of_replicates(y, replicates)
            # The first replicate, which every system has.
            first = covariance(y[:, : rows.shape[1]]).astype(np.float32)
            each = bins.quantiles(rows[:, seen]), *moments(rows[:, seen]), first
            for values, value in zip(found, each, strict=True):
                values.append(value)
        quantiles, *others = map(np.array, found)
        observed = bins.quantiles(shown["y"].values)
        return cls(shown, bins, QuantileRanges.of_sets(observed, quantiles), *others)


def predictive_check(problem: Problem, loaded: Mapping[str, xr.Dataset]) -> PredictiveCheck:
    """Return the data of a study beside data sets of its fitted model.

    Parameters
    ----------
    problem : Problem
        The fitted problem.
    loaded : mapping of str to Dataset
        ``observations``, ``population`` and ``check``.
    """
    sets = data_sets(problem, loaded["population"], loaded["check"])
    return PredictiveCheck.of(loaded["observations"], sets, problem.replicates)
