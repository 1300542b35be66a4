"""Figures of the evidence: convergence in the number of systems, designs, and calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from pydantic import BaseModel

from popinv.figures.style import LIGHT, MODEL, ORACLE, TRUTH, new_figure, readable, styled
from popinv.judgement.judgements import COVERAGE_WANTED

# More parameters are numbered instead of named.
_MOST_NAMED = 30


class DesignCalls(BaseModel):
    """The error at the end of active learning, and the solver calls with which designs reach it.

    Bounds are text such as ``> 4000``.
    """

    design_error: float
    design_calls_active: int | float | str
    design_calls_fixed: int | float | str
    design_calls_ratio: int | float | str


@styled
def draw_error_against_systems(errors: xr.Dataset, metrics: Mapping[str, Any]) -> Figure:
    """Draw the errors of every data set against its number of systems, and the fitted power law.

    Parameters
    ----------
    errors : Dataset
        ``systems``, ``law_error`` and ``noise_error`` along ``data_set``; ``size_systems``,
        ``law_error_rms`` and ``noise_error_rms`` along ``size``.
    metrics : mapping
        ``law_error_slope``, ``law_error_slope_standard_error``, ``law_error_intercept``, the same
        for ``noise_error``, and ``error_observed_through``.
    """
    through = metrics["error_observed_through"]
    figure = new_figure(
        f"Errors against the number of systems, observed through the {through}", 11, 4.8
    )
    systems = errors["systems"].values.astype(float)
    titles = {"law_error": "Law", "noise_error": "Noise covariance"}
    for part, (name, title) in zip(
        np.asarray(figure.subfigures(1, 2)).flat, titles.items(), strict=True
    ):
        ax = part.subplots()
        slope = metrics[f"{name}_slope"]
        deviation = metrics[f"{name}_slope_standard_error"]
        intercept = metrics[f"{name}_intercept"]
        values = errors[name].values
        ax.plot(systems, values, "o", color=LIGHT, ms=5, label="one data set")
        numbers, rms = errors["size_systems"].values, errors[f"{name}_rms"].values
        ax.plot(numbers, rms, "D", color=MODEL, ms=7, label="root mean square")
        line = np.array([numbers[0], numbers[-1]])
        fitted = np.exp(intercept) * line**slope
        label = f"fit, slope {slope:.2f} ± {deviation:.2f}".replace("-", "−")
        ax.plot(line, fitted, color=MODEL, lw=1.6, label=label)
        half = fitted[0] * (line / line[0]) ** -0.5
        ax.plot(line, half, color=TRUTH, ls="--", lw=1.4, label="slope −1/2")
        _logarithmic(ax)
        ax.set(title=title, xlabel="systems", ylabel=errors[name].attrs["long_name"])
        ax.legend(loc="lower left")
    return figure


@styled
def draw_designs(curves: xr.Dataset, metrics: Mapping[str, Any]) -> Figure:
    """Draw the surrogate's error against solver calls, for both designs.

    Parameters
    ----------
    curves : Dataset
        ``active_calls``, ``active_error``, ``fixed_calls`` and ``fixed_error``.
    metrics : mapping
        The fields of :class:`DesignCalls`.
    """
    figure = new_figure("Active learning against a fixed design", 7.5, 5.2)
    ax = figure.subplots()
    for name, colour, marker, label in (
        ("active", MODEL, "o", "active learning, by round"),
        ("fixed", ORACLE, "s", "one broad design"),
    ):
        calls, error = curves[f"{name}_calls"].values, curves[f"{name}_error"].values
        ax.plot(calls, error, color=colour, marker=marker, ms=6, lw=1.6, label=label)
    numbers = DesignCalls.model_validate(metrics)
    target = numbers.design_error
    ax.axhline(target, color=TRUTH, ls="--", lw=1.4, label=f"final error, {target:.2g}")
    _logarithmic(ax)
    ax.set(
        title=f"To the final error: {numbers.design_calls_active} calls, against "
        f"{numbers.design_calls_fixed} (ratio {numbers.design_calls_ratio})",
        xlabel="solver calls",
        ylabel="error on fresh solves of the population,\nstandard deviations of the noise",
    )
    ax.legend(loc="best")
    return figure


@styled
def draw_calibration(replications: xr.Dataset) -> Figure:
    """Draw the coverage of the 95 % intervals, and the ranks of the truth, for each parameter.

    Parameters
    ----------
    replications : Dataset
        From :func:`popinv.evidence.calibration.calibration`.
    """
    names: list[str] = []
    rows: list[np.ndarray] = []
    for part in ("law", "noise"):
        if f"{part}_coverage" in replications:
            names += [
                f"{part}: {readable(str(n))}" for n in replications[f"{part}_parameter"].values
            ]
            ends = [
                replications[f"{part}_coverage{end}"].values for end in ("", "_lower", "_upper")
            ]
            rows.append(np.column_stack(ends))
    share, lower, upper = np.concatenate(rows).T
    count = replications.sizes["replication"]
    height = min(9.0, 2.6 + 0.4 * len(names))
    figure = new_figure(f"Calibration on {count} new data sets", 12, height)
    ax, ranks = figure.subplots(1, 2)
    place = np.arange(len(names))
    low, high = COVERAGE_WANTED
    wanted = f"wanted, {100 * low:.0f} to {100 * high:.0f} %"
    ax.axvspan(100 * low, 100 * high, color=LIGHT, alpha=0.2, lw=0, label=wanted)
    ax.axvline(95, color=TRUTH, ls="--", lw=1.4, label="95 %")
    ax.hlines(place, 100 * lower, 100 * upper, color=MODEL, lw=1.6, label="its 95 % interval")
    ax.plot(100 * share, place, "o", color=MODEL, ms=7, label="share that holds the truth")
    if len(names) <= _MOST_NAMED:
        ax.set_yticks(place, names)
    else:
        ax.set_ylabel("number of the parameter, law before noise")
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(min(60.0, 100 * lower.min() - 3), 101)
    ax.set(title="Coverage", xlabel="95 % intervals that hold the truth [%]")
    _draw_ranks(ranks, replications["rank"].values)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _draw_ranks(ax: Axes, rank: np.ndarray) -> None:
    """Draw the distribution function of the ranks of each parameter, minus the uniform one."""
    count = len(rank)
    steps = (np.arange(count) + 0.5) / count
    # The 95 % band of the Kolmogorov-Smirnov statistic.
    band = 1.358 / np.sqrt(count)
    ax.axhspan(-band, band, color=LIGHT, alpha=0.2, lw=0, label="95 % of uniform ranks")
    for column in rank.T:
        if np.isfinite(column).all():
            ordered = np.sort(column)
            ax.step(ordered, steps - ordered, color=MODEL, lw=1, alpha=0.7, where="mid")
    ax.axhline(0, color=TRUTH, ls="--", lw=1.4)
    ax.set_xlim(0, 1)
    ax.set_ylim(-max(3 * band, 0.2), max(3 * band, 0.2))
    ax.set(
        title="Ranks of the truth, a line a parameter",
        xlabel="probability integral transform of the truth",
        ylabel="distribution function less uniform",
    )


def _logarithmic(ax: Axes) -> None:
    ax.set(xscale="log", yscale="log")
    for axis in (ax.xaxis, ax.yaxis):
        # Two or three decades have too few powers of ten to read values from.
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
