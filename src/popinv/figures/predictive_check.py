"""The data beside data sets of the fitted model, for the figures and the pages.

Where systems have times of their own, few of them share a time, and quantiles at each time would
have no information. Neighbouring times are then pooled, as in visual predictive checks.

Systems also differ because their known quantities differ. Their observations can be corrected by
their predictions before quantiles are taken (Bergstrand et al., AAPS J. 13, 2011): an observation
is multiplied by the median prediction of its bin over its own prediction or, where observations may
be negative or predictions are near zero, shifted by the difference of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from popinv.figures.arrangement import (
    Arrangement,
    ObservedCurve,
    arrangement,
    each_replicate,
    rows_of_replicates,
    seen_somewhere,
)
from popinv.figures.simulated import (
    LEVELS,
    DataSets,
    covariance,
    middle_of,
    moments,
    quantiles,
    range_of,
)
from popinv.inference.density.problem import Problem
from popinv.workers import parallel

# A bin has at least this number of values, or half the number of the fullest observation.
_FILLED = 10


@dataclass(frozen=True)
class Bins:
    """Bins of observations.

    Attributes
    ----------
    layout : Arrangement
        The layout of the observations, with a point of a panel for each bin.
    groups : tuple of ndarray of int
        The observations of each bin.
    """

    layout: Arrangement
    groups: tuple[np.ndarray, ...]

    @property
    def pooled(self) -> bool:
        """Whether some bin has several observations."""
        return max(map(len, self.groups)) > 1

    def quantiles(self, y: np.ndarray) -> np.ndarray:
        """Return the quantiles (3, bins) of observations (N, d_y), all of a bin taken together."""
        if not self.pooled:
            return quantiles(y[:, np.concatenate(self.groups)], LEVELS)
        each = [quantiles(y[:, group].reshape(-1, 1), LEVELS) for group in self.groups]
        return np.concatenate(each, axis=1)

    def mean(self, y: np.ndarray) -> np.ndarray:
        """Return the mean (bins,) of all values of a bin."""
        return np.array([np.nanmean(y[:, group]) for group in self.groups])

    def spread(self, y: np.ndarray) -> np.ndarray:
        """Return the standard deviation (bins,) of all values of a bin, 1 where there is none."""
        each = np.array([np.nanstd(y[:, group]) for group in self.groups])
        return np.where(each > 0, each, 1.0)


def bins_of(layout: Arrangement, y: np.ndarray) -> Bins:
    """Return the bins of observations (N, d_y), each seen in at least one system.

    Separate quantities, and observations on a map, are each a bin.
    """
    counts = (~np.isnan(y)).sum(axis=0)
    least = min(_FILLED, -(-int(counts.max()) // 2))
    if layout.names or layout.map is not None or counts.min() >= least:
        return Bins(layout, tuple(np.arange(y.shape[1])[:, None]))
    panels: list[ObservedCurve] = []
    groups: list[np.ndarray] = []
    for panel in layout.panels:
        own = counts[panel.rows]
        runs = _neighbours(panel.x, own, least)
        places = np.array([np.average(panel.x[run], weights=own[run]) for run in runs])
        panels.append(ObservedCurve(panel.title, len(groups) + np.arange(len(runs)), places))
        groups += [panel.rows[run] for run in runs]
    return Bins(replace(layout, panels=tuple(panels)), tuple(groups))


def _neighbours(x: np.ndarray, counts: np.ndarray, least: int) -> list[np.ndarray]:
    """Return runs of neighbours, in order, with at least ``least`` values each if possible.

    The run with the fewest values joins the nearer of its neighbours, until no run has too few.
    """
    runs = [np.array([i]) for i in range(len(x))]
    while len(runs) > 1:
        filled = [int(counts[run].sum()) for run in runs]
        i = int(np.argmin(filled))
        if filled[i] >= least:
            break
        before = x[runs[i][0]] - x[runs[i - 1][-1]] if i > 0 else np.inf
        after = x[runs[i + 1][0]] - x[runs[i][-1]] if i + 1 < len(runs) else np.inf
        first = i - 1 if before <= after else i
        runs[first : first + 2] = [np.concatenate(runs[first : first + 2])]
    return runs


# A prediction below this share of the median of its bin corrects by difference.
_LEAST_RATIO = 0.02


@dataclass(frozen=True)
class Correction:
    """The prediction correction of observations (n, d): ``factor * y + shift``."""

    factor: np.ndarray
    shift: np.ndarray

    @classmethod
    def of(cls, bins: Bins, y: np.ndarray, predicted: np.ndarray) -> Correction:
        """Return the correction of observations y (n, d) with these predictions (n, d)."""
        middle = np.empty_like(predicted)
        seen = np.where(np.isnan(y), np.nan, predicted)
        for group in bins.groups:
            middle[:, group] = np.nanmedian(seen[:, group])
        used = ~np.isnan(y)
        near_zero = (predicted < _LEAST_RATIO * middle) | (middle < _LEAST_RATIO * predicted)
        by_ratio = np.nanmin(y) >= 0 and not (used & near_zero & (middle > 0)).any()
        one, none = np.ones_like(predicted), np.zeros_like(predicted)
        if not by_ratio:
            return cls(one, middle - predicted)
        positive = (predicted > 0) & (middle > 0)
        return cls(np.where(positive, middle / np.where(positive, predicted, 1.0), one), none)

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """Return corrected observations (n, d)."""
        return self.factor * y + self.shift


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
        """Return the ranges of quantiles (3, bins) from the quantiles of data sets (B, 3, bins)."""
        low, high = range_of(simulated)
        return cls(observed, low, middle_of(simulated), high)

    @property
    def outside(self) -> np.ndarray:
        """Whether each quantile lies outside its range, (3, bins): 1 in 20 under a right model."""
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
        Bins of these observations.
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
        cls,
        observations: xr.Dataset,
        sets: Sequence[np.ndarray],
        replicates: int = 1,
        predicted: np.ndarray | None = None,
    ) -> PredictiveCheck:
        """Return the statistics of data sets.

        Parameters
        ----------
        observations : Dataset
            ``y`` (system, observation), NaN if an observation is missing.
        sets : sequence of B ndarrays of shape (N, R d_y)
            Data sets of the fitted model with the gaps of the data, R replicates side by side.
        replicates : int
            R.
        predicted : ndarray of shape (N, d_y), optional
            Predictions, by which observations are corrected before quantiles are taken.
        """
        shown = each_replicate(observations)
        seen = seen_somewhere(shown)
        shown = shown.isel(observation=seen)
        bins = bins_of(arrangement(shown), shown["y"].values)
        # Rows of replicates that no system has are left out above.
        whole = np.isfinite(rows_of_replicates(observations["y"].values, replicates)).any(axis=1)
        kept = whole if replicates > 1 else slice(None)
        correct: Callable[[np.ndarray], np.ndarray] = np.asarray
        if predicted is not None:
            own = np.repeat(predicted[:, seen], replicates, axis=0)[kept]
            correct = Correction.of(bins, shown["y"].values, own)
            corrected = shown["y"].copy(data=correct(shown["y"].values))
            name = str(corrected.attrs.get("long_name", "y")).removeprefix("observed ")
            shown = shown.assign(y=corrected.assign_attrs(long_name=f"prediction-corrected {name}"))

        def statistics(index: int) -> tuple[np.ndarray, ...]:
            y = sets[index]
            rows = rows_of_replicates(y, replicates)
            # The first replicate, which every system has.
            first = covariance(y[:, : rows.shape[1]]).astype(np.float32)
            own = rows[kept][:, seen]
            return bins.quantiles(correct(own)), *moments(own), first

        found = parallel(statistics, range(len(sets)), "data sets of the model", unit="set")
        quantiles, *others = map(np.array, zip(*found, strict=True))
        observed = bins.quantiles(shown["y"].values)
        return cls(shown, bins, QuantileRanges.of_sets(observed, quantiles), *others)


def predictive_check(
    problem: Problem, loaded: Mapping[str, xr.Dataset], predicted: np.ndarray | None = None
) -> PredictiveCheck:
    """Return the data of a study beside data sets of its fitted model.

    Parameters
    ----------
    problem : Problem
        The fitted problem.
    loaded : mapping of str to Dataset
        ``observations``, ``population`` and ``check``.
    predicted : ndarray of shape (N, d_y), optional
        Predictions of all systems, by which observations are corrected.
    """
    sets = DataSets.of(problem, loaded)
    return PredictiveCheck.of(loaded["observations"], sets, problem.replicates, predicted)
