"""Curves of a noise covariance: against distance, against lag, and standard deviations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from popinv.figures.arrangement import Arrangement
from popinv.figures.marginals import is_wide
from popinv.figures.noise_growth import NoiseGrowth
from popinv.figures.style import DATA, MODEL, TRUTH

__all__ = [
    "Autocorrelation",
    "NoiseComparison",
    "autocorrelation",
    "draw_against_distance",
    "draw_autocorrelation",
    "draw_deviations",
]

_BINS = 40
# Below this share of the variance, a covariance looks like zero.
_VISIBLE = 0.05
# Lags that differ by less than this share of the longest count as equal.
_SAME_LAG = 1e-6


@dataclass(frozen=True)
class NoiseComparison:
    """The recovered covariance and its reference.

    Parameters
    ----------
    estimate : ndarray of shape (d_y, d_y)
    reference : ndarray of shape (d_y, d_y)
        The true covariance. If it is not known, the data's covariance minus that of the fitted
        model without noise, which need not be positive definite.
    reference_is_true : bool
    resampled : ndarray of shape (resamples, d_y, d_y), optional
        Covariances estimated from resampled systems, for intervals.
    growth : NoiseGrowth, optional
        The standard deviation against the signal, if the noise grows.
    """

    estimate: np.ndarray
    reference: np.ndarray
    reference_is_true: bool
    resampled: np.ndarray | None = None
    growth: NoiseGrowth | None = None

    @property
    def reference_name(self) -> str:
        """Name of the reference."""
        return "true" if self.reference_is_true else "empirical"

    def half_width(self, statistic: np.ndarray) -> np.ndarray:
        """Return half the 95 % interval of a statistic of the resamples, given along axis 0."""
        return 1.96 * np.std(statistic, axis=0, ddof=1)


def _band(ax: Axes, x: np.ndarray, centre: np.ndarray, half: np.ndarray) -> None:
    ax.fill_between(
        x, centre - half, centre + half, color=MODEL, alpha=0.2, lw=0, label="95 % interval"
    )


def draw_against_distance(ax: Axes, noise: NoiseComparison, distance: np.ndarray) -> None:
    """Draw the covariance of each pair of sensors against their distance (d_y, d_y)."""
    estimate, reference = noise.estimate, noise.reference
    upper = np.triu_indices(len(distance), 1)
    d = distance[upper]
    order = np.argsort(d, kind="stable")
    d = d[order]

    def pairs(matrix: np.ndarray) -> np.ndarray:
        return matrix[..., upper[0], upper[1]][..., order]

    if noise.resampled is not None:
        _band(ax, d, pairs(estimate), noise.half_width(pairs(noise.resampled)))
    ax.plot(d, pairs(estimate), color=MODEL, label="recovered")
    # A nugget lifts the variance above the curve, so distance zero is drawn separately.
    ax.plot(0, estimate[0, 0], "o", color=MODEL, clip_on=False, zorder=3)
    if noise.reference_is_true:
        ax.plot(d, pairs(reference), color=TRUTH, ls="--", label="true")
        ax.plot(0, reference[0, 0], "o", mfc="none", mew=1.8, ms=9, color=TRUTH, clip_on=False)
    else:
        # Two sensors that were never observed together have no empirical covariance.
        seen = np.flatnonzero(~np.isnan(pairs(reference)))
        groups = [g for g in np.array_split(seen, _BINS) if len(g)]
        centres = [float(d[g].mean()) for g in groups]
        means = [float(pairs(reference)[g].mean()) for g in groups]
        ax.plot(centres, means, "s", color=DATA, ms=5, label="empirical, mean of many pairs")
        ax.plot(0, np.diag(reference).mean(), "s", color=DATA, ms=5, clip_on=False)
    ax.axhline(0, color="#4D4D4D", lw=0.8)
    # Beyond a few lengths all values are zero and would fill the plot.
    curves = [estimate, reference] if noise.reference_is_true else [estimate]
    far = max(d[np.abs(pairs(c)) > _VISIBLE * c[0, 0]].max(initial=0) for c in curves)
    furthest = d[-1] if len(d) else 1.0
    ax.set_xlim(0, min(1.02 * furthest, 2 * far) if far else furthest)


@dataclass(frozen=True)
class Autocorrelation:
    """Correlation against the lag at one place, averaged over pairs of equal lag.

    Parameters
    ----------
    lags : ndarray of shape (n,)
    recovered, reference : ndarray of shape (n,)
        An empirical reference is divided by the recovered variance.
    every : ndarray of shape (resamples, n), optional
    title : str
        Name of the place.
    """

    lags: np.ndarray
    recovered: np.ndarray
    reference: np.ndarray
    every: np.ndarray | None
    title: str


def autocorrelation(noise: NoiseComparison, layout: Arrangement) -> Autocorrelation:
    """Return the noise's correlation against the lag at the middle place."""
    panel = layout.panels[len(layout.panels) // 2]
    later, earlier = np.tril_indices(len(panel.x))
    lag = panel.x[later] - panel.x[earlier]
    # Times on a grid give lags that are equal up to rounding.
    step = max(_SAME_LAG * float(np.ptp(panel.x)), 1e-300)
    lags, group = np.unique(np.round(lag / step), return_inverse=True)
    members = np.bincount(group)

    def correlation(matrix: np.ndarray, by: np.ndarray) -> np.ndarray:
        block = matrix[np.ix_(panel.rows, panel.rows)]
        # The empirical variance may not be positive, so the recovered variance is the unit.
        variance = np.diag(by)[panel.rows]
        scaled = block / np.sqrt(np.outer(variance, variance))
        return np.bincount(group, scaled[later, earlier]) / members

    every = None
    if noise.resampled is not None:
        every = np.array([correlation(matrix, matrix) for matrix in noise.resampled])
    by = noise.reference if noise.reference_is_true else noise.estimate
    return Autocorrelation(
        lags * step,
        correlation(noise.estimate, noise.estimate),
        correlation(noise.reference, by),
        every,
        panel.title,
    )


def draw_autocorrelation(ax: Axes, noise: NoiseComparison, layout: Arrangement) -> None:
    """Draw the correlation against the lag at one place, averaged over pairs of equal lag."""
    correlation = autocorrelation(noise, layout)
    if correlation.every is not None:
        _band(ax, correlation.lags, correlation.recovered, noise.half_width(correlation.every))
    ax.plot(correlation.lags, correlation.recovered, ".-", color=MODEL, label="recovered")
    if noise.reference_is_true:
        ax.plot(correlation.lags, correlation.reference, color=TRUTH, ls="--", label="true")
    else:
        label = "empirical, over the recovered variance"
        ax.plot(correlation.lags, correlation.reference, "s", color=DATA, ms=4, label=label)
    ax.axhline(0, color="#4D4D4D", lw=0.8)
    where = f" at {correlation.title}" if correlation.title else ""
    ax.set(title=f"Autocorrelation{where}", ylabel="correlation")
    ax.set_xlabel(layout.x_label.replace("t, time", "lag in time"))
    ax.legend()


def draw_deviations(ax: Axes, noise: NoiseComparison) -> None:
    """Draw the standard deviation of each observation's noise, with intervals."""
    number = np.arange(1, len(noise.estimate) + 1)
    estimate, reference = np.sqrt(np.diag(noise.estimate)), np.diag(noise.reference)
    size = 5 if len(number) <= 60 else 3
    half = None
    if noise.resampled is not None:
        half = noise.half_width(np.sqrt(np.diagonal(noise.resampled, axis1=1, axis2=2)))
    label = "recovered" if half is None else "recovered, 95 % interval"
    ax.errorbar(number, estimate, half, fmt="o", ms=size, lw=1.2, color=MODEL, label=label)
    true = np.sqrt(np.maximum(reference, 0.0))
    if noise.reference_is_true:
        ax.plot(number, true, "_", color=TRUTH, ms=2 * size, mew=2, label="true")
    else:
        # A noisy estimate of a small variance may be negative.
        label = "empirical" + (", 0 where negative" if np.any(reference < 0) else "")
        ax.plot(number, true, "s", mfc="none", color=DATA, ms=size, label=label)
    # Room for the legend above.
    if is_wide(estimate):
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        ax.set_ylim(low, high * (high / low) ** 0.3)
    else:
        ax.set_ylim(0, 1.3 * ax.get_ylim()[1])
    ax.set_xlim(0.4, len(number) + 0.6)
    ax.legend(loc="upper center", ncols=2)
