"""Curves of a noise covariance: against distance, against lag, and standard deviations."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from popinv.figures.marginals import is_wide
from popinv.figures.noise_statistics import Curve, NoiseComparison
from popinv.figures.style import DATA, LIGHT, MODEL, TRUTH

# Below this share of the variance, a covariance looks like zero.
_VISIBLE = 0.05


def draw_against_distance(ax: Axes, noise: NoiseComparison, curve: Curve) -> None:
    """Draw the covariance of each pair of sensors against their distance."""
    _draw(ax, curve, "empirical, mean of many pairs")
    # A nugget lifts the variance above the curve, so distance zero is drawn separately.
    ax.plot(0, noise.estimate[0, 0], "o", color=MODEL, clip_on=False, zorder=3)
    if noise.true is not None:
        ax.plot(0, noise.true[0, 0], "o", mfc="none", mew=1.8, ms=9, color=TRUTH, clip_on=False)
    ax.plot(0, np.diag(noise.empirical).mean(), "s", color=DATA, ms=4, clip_on=False)
    # Beyond a few lengths all values are zero and would fill the plot.
    curves = [(curve.recovered, noise.estimate)]
    if curve.true is not None and noise.true is not None:
        curves.append((curve.true, noise.true))
    far = max(curve.x[np.abs(c) > _VISIBLE * m[0, 0]].max(initial=0) for c, m in curves)
    furthest = curve.x[-1] if len(curve.x) else 1.0
    ax.set_xlim(0, min(1.02 * furthest, 2 * far) if far else furthest)


def draw_autocorrelation(ax: Axes, curve: Curve, across: str) -> None:
    """Draw the correlation against the lag at one place; ``across`` names the times."""
    _draw(ax, curve, "empirical, over the recovered variance")
    where = f" at {curve.title}" if curve.title else ""
    ax.set(title=f"Autocorrelation{where}", ylabel="correlation")
    ax.set_xlabel(across.replace("t, time", "lag in time"))
    ax.legend()


def _draw(ax: Axes, curve: Curve, empirical: str) -> None:
    x = curve.x
    if curve.low is not None and curve.high is not None:
        label = "95 % range of the empirical"
        ax.fill_between(
            curve.places, curve.low, curve.high, color=LIGHT, alpha=0.25, lw=0, label=label
        )
    if curve.half is not None:
        low, high = curve.recovered - curve.half, curve.recovered + curve.half
        ax.fill_between(x, low, high, color=MODEL, alpha=0.25, lw=0, label="95 % interval")
    ax.plot(x, curve.recovered, color=MODEL, label="recovered")
    if curve.true is not None:
        ax.plot(x, curve.true, color=TRUTH, ls="--", label="true")
    ax.plot(curve.places, curve.empirical, "s", color=DATA, ms=3.5, label=empirical)
    ax.axhline(0, color="#4D4D4D", lw=0.8)


def draw_deviations(ax: Axes, curve: Curve) -> None:
    """Draw the standard deviation of each observation's noise, with intervals and ranges."""
    x, size = curve.x, 5 if len(curve.x) <= 60 else 3
    if curve.low is not None and curve.high is not None:
        label = "95 % range of the empirical"
        height = curve.high - curve.low
        ax.bar(curve.places, height, 0.7, curve.low, color=LIGHT, alpha=0.3, lw=0, label=label)
    label = "recovered" if curve.half is None else "recovered, 95 % interval"
    ax.errorbar(x, curve.recovered, curve.half, fmt="o", ms=size, lw=1.2, color=MODEL, label=label)
    if curve.true is not None:
        ax.plot(x, curve.true, "_", color=TRUTH, ms=2 * size, mew=2, label="true")
    # A noisy estimate of a small variance may be negative.
    label = "empirical" + (", 0 where negative" if np.any(curve.empirical == 0) else "")
    ax.plot(curve.places, curve.empirical, "s", mfc="none", color=DATA, ms=size, label=label)
    # Room for the legend above.
    if is_wide(curve.recovered):
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        ax.set_ylim(low, high * (high / low) ** 0.3)
    else:
        ax.set_ylim(0, 1.3 * ax.get_ylim()[1])
    ax.set_xlim(0.4, len(x) + 0.6)
    ax.legend(loc="upper center", ncols=2)
