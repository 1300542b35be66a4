"""The data beside data sets of the fitted model: what the figures and the pages draw of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from popinv.figures.arrangement import arrangement, seen_somewhere
from popinv.figures.bins import Bins, bins_of
from popinv.figures.quantile_ranges import QuantileRanges
from popinv.figures.replicates import each_replicate, rows_of_replicates
from popinv.figures.simulated import covariance, data_sets, moments
from popinv.inference.problem import Problem


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
