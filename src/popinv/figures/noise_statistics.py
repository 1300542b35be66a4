r"""Statistics of the noise: recovered with their intervals, true, and empirical with their ranges.

The empirical covariance of the noise is the covariance of the data minus the covariance of the
fitted model without noise. It scatters, and the interval of the recovered covariance does not
describe its scatter. Its range comes from the same statistic over data sets of the fitted model
(:mod:`popinv.figures.simulated`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from popinv.figures.arrangement import Arrangement
from popinv.figures.simulated import range_of
from popinv.inference.density.problem import Problem
from popinv.late import torch

# Lags or distances that differ by less than this share of the longest count as equal. If more than
# `_MOST` differ, pairs are averaged in bins.
_SAME, _MOST, _BINS = 1e-6, 60, 40
# Widest range of an empirical correlation that is shown.
_WIDEST = 1.0
# Points at which the growth of the noise is evaluated.
_POINTS = 60


@dataclass(frozen=True)
class NoiseGrowth:
    """The standard deviation against the signal, as root mean square over the observations.

    Parameters
    ----------
    signal, recovered : ndarray of shape (n,)
    half : ndarray of shape (n,), optional
        Half the 95 % interval.
    true : ndarray of shape (n,), optional
    """

    signal: np.ndarray
    recovered: np.ndarray
    half: np.ndarray | None = None
    true: np.ndarray | None = None


@dataclass(frozen=True)
class NoiseComparison:
    """The covariance of the noise: recovered, true and empirical, each (d_y, d_y).

    Parameters
    ----------
    empirical : ndarray
        The covariance of the data minus the covariance of the fitted model without noise, which
        need not be positive definite. NaN for two observations that no two systems share.
    drawn : ndarray of shape (draws, d_y, d_y), optional
        Covariances at draws about the estimate, for intervals.
    simulated : ndarray of shape (B, d_y, d_y), optional
        Empirical covariances of data sets of the fitted model, for ranges.
    growth : NoiseGrowth, optional
        The standard deviation against the signal, if the noise grows.
    counts : ndarray of shape (d_y, d_y), optional
        The number of systems that have both observations, if some have gaps.
    """

    estimate: np.ndarray
    empirical: np.ndarray
    true: np.ndarray | None = None
    drawn: np.ndarray | None = None
    simulated: np.ndarray | None = None
    growth: NoiseGrowth | None = None
    counts: np.ndarray | None = None

    @property
    def reference(self) -> np.ndarray:
        """The truth if it is known, otherwise the empirical covariance."""
        return self.empirical if self.true is None else self.true

    @property
    def reference_name(self) -> str:
        """Name of the reference."""
        return "empirical" if self.true is None else "true"


@dataclass(frozen=True)
class Curve:
    """A statistic of the noise along an axis.

    Attributes
    ----------
    x, recovered : ndarray of shape (n,)
    half : ndarray of shape (n,), optional
        Half the 95 % interval of the recovered statistic.
    true : ndarray of shape (n,), optional
    places, empirical : ndarray of shape (m,)
        The statistic of the data.
    low, high : ndarray of shape (m,), optional
        Ends of the 95 % range of the empirical statistic under the fitted model.
    title : str
        The place to which it belongs, "" for all.
    """

    x: np.ndarray
    recovered: np.ndarray
    half: np.ndarray | None
    true: np.ndarray | None
    places: np.ndarray
    empirical: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    title: str = ""

    def at(self, kept: np.ndarray) -> Curve:
        """Return the curve with some places of the empirical statistic, a mask (m,)."""
        low, high = (None if end is None else end[kept] for end in (self.low, self.high))
        places, empirical = self.places[kept], self.empirical[kept]
        return replace(self, places=places, empirical=empirical, low=low, high=high)


def noise_growth(problem: Problem, loaded: Mapping[str, xr.Dataset]) -> NoiseGrowth | None:
    """Return the growth of a study's noise over the range of its data; None if it has none.

    Covariates are at their mean.
    """
    noise = problem.noise
    if noise.grows == "constant":
        return None
    data = np.asarray(problem.data)
    low, high = float(data.min()), float(data.max())
    signal = np.linspace(min(low, 0.0), high, _POINTS)
    rows = torch.from_numpy(np.repeat(signal[:, None], noise.d_y, axis=1))
    centre = torch.zeros_like(problem.known.covariates[:1]).expand(_POINTS, -1)

    def curve(gamma: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            d = noise.deviations(torch.from_numpy(gamma), rows, centre)
        return np.sqrt((d.numpy() ** 2).mean(axis=1))

    population, truth = loaded["population"], loaded.get("truth")
    draws = np.array([curve(gamma) for gamma in population["gamma_draws"].values])
    half = 1.96 * draws.std(axis=0, ddof=1) if len(draws) > 1 else None
    true = None
    # The true noise may be of another family, whose parameters have other names.
    if truth is not None and tuple(truth["noise_parameter"].values) == noise.names:
        true = curve(truth["gamma"].values)
    return NoiseGrowth(signal, curve(population["gamma"].values), half, true)


Statistic = Callable[[np.ndarray], np.ndarray]


def _curve(
    noise: NoiseComparison,
    x: np.ndarray,
    model: Statistic,
    places: np.ndarray,
    data: Statistic,
    title: str = "",
) -> Curve:
    """Return a statistic of all covariances; ``data`` computes it from empirical ones."""
    half = low = high = None
    if noise.drawn is not None:
        half = 1.96 * np.std([model(matrix) for matrix in noise.drawn], axis=0, ddof=1)
    empirical = data(noise.empirical)
    # Two observations that no systems share have no empirical covariance.
    seen = ~np.isnan(empirical)
    if noise.simulated is not None:
        low, high = range_of(np.array([data(matrix)[seen] for matrix in noise.simulated]))
    true = None if noise.true is None else model(noise.true)
    return Curve(
        x, model(noise.estimate), half, true, places[seen], empirical[seen], low, high, title
    )


def deviations(noise: NoiseComparison) -> Curve:
    """Return the standard deviation of each observation; 0 where an empirical variance is below.

    Empirical deviations whose range is wider than twice the recovered deviation are left out: the
    data do not determine them.
    """
    number = np.arange(1, len(noise.estimate) + 1)

    def deviation(matrix: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(np.diag(matrix), 0.0))

    curve = _curve(noise, number, deviation, number, deviation)
    if curve.low is None or curve.high is None:
        return curve
    return curve.at(curve.high - curve.low <= 2 * curve.recovered[curve.places - 1])


def against_distance(noise: NoiseComparison, distance: np.ndarray) -> Curve:
    """Return the covariance of pairs of sensors against their distance (d_y, d_y).

    The empirical one is the mean over pairs of about equal distance.
    """
    one, other = np.triu_indices(len(distance), 1)
    order = np.argsort(distance[one, other], kind="stable")
    one, other = one[order], other[order]
    d = distance[one, other]
    groups = _Groups.of(d, _MOST)
    return _curve(
        noise,
        d,
        lambda matrix: matrix[one, other],
        groups.mean(d),
        lambda matrix: groups.mean(matrix[one, other]),
    )


def autocorrelation(noise: NoiseComparison, layout: Arrangement) -> Curve:
    """Return the correlation against the lag at the middle place, the mean over pairs of each lag.

    The empirical one is divided by the recovered variance, as the empirical variance may not be
    positive, and held between -1 and 1. Pairs count by their systems. If there are many lags, it is
    the mean over pairs of about equal lag. Lags at which its range is wider than 1 are left out:
    the data do not determine them.
    """
    panel = layout.panels[len(layout.panels) // 2]
    lag, later, earlier = _lags(panel.x)
    every, few = _Groups.of(lag), _Groups.of(lag, _MOST)
    weights = None
    if noise.counts is not None:
        weights = noise.counts[np.ix_(panel.rows, panel.rows)][later, earlier]

    def pairs(matrix: np.ndarray, by: np.ndarray) -> np.ndarray:
        variance = np.diag(by)[panel.rows]
        block = matrix[np.ix_(panel.rows, panel.rows)]
        return np.asarray((block / np.sqrt(np.outer(variance, variance)))[later, earlier])

    curve = _curve(
        noise,
        every.mean(lag),
        lambda matrix: every.mean(pairs(matrix, matrix)),
        few.mean(lag, weights),
        lambda matrix: few.mean(pairs(matrix, noise.estimate), weights),
        panel.title,
    )
    if curve.low is not None and curve.high is not None:
        curve = curve.at(curve.high - curve.low <= _WIDEST)
    low, high = (None if end is None else np.clip(end, -1, 1) for end in (curve.low, curve.high))
    return replace(curve, empirical=np.clip(curve.empirical, -1, 1), low=low, high=high)


def correlation_by_lag(covariance: np.ndarray, layout: Arrangement) -> Curve:
    """Return the autocorrelation of a covariance (d_y, d_y) alone."""
    return autocorrelation(NoiseComparison(covariance, covariance), layout)


def _lags(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    later, earlier = np.tril_indices(len(x))
    return x[later] - x[earlier], later, earlier


@dataclass(frozen=True)
class _Groups:
    """Groups of pairs with about the same lag or distance, the number of each pair's group."""

    number: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, most: int | None = None) -> _Groups:
        """Return groups of equal values, or bins of equally many if more than ``most`` differ."""
        # Times on a grid give lags that are equal up to rounding.
        step = max(_SAME * float(np.ptp(values)) if len(values) else 0.0, 1e-300)
        different, number = np.unique(np.round(values / step), return_inverse=True)
        if most is not None and len(different) > most:
            # Lag zero is a bin of its own: its correlation is 1.
            apart = values > step
            order = np.argsort(values[apart], kind="stable")
            bins = np.empty(len(order), dtype=int)
            bins[order] = 1 + np.arange(len(order)) * _BINS // len(order)
            number = np.zeros(len(values), dtype=int)
            number[apart] = bins
            _, number = np.unique(number, return_inverse=True)
        return cls(number)

    def mean(self, values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Return the mean of the values of each group that are not NaN."""
        weight = np.where(np.isnan(values), 0.0, 1.0 if weights is None else weights)
        count = np.bincount(self.number, weight)
        total = np.bincount(self.number, weight * np.nan_to_num(values))
        return np.where(count > 0, total / np.where(count > 0, count, 1.0), np.nan)
