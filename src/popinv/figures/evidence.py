"""Charts of the evidence: errors by number of systems, designs, calibration, models compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from pydantic import BaseModel

from popinv.charts.description import (
    Axis,
    Grid,
    Legend,
    Line,
    Marker,
    Panel,
    Parts,
    Points,
    Reference,
    Segments,
    Sheet,
    Stretch,
)
from popinv.charts.style import LIGHT, MODEL, ORACLE, TRUTH, readable
from popinv.judgement.judgements import COVERAGE_WANTED

# Largest number of named parameters; more parameters are numbered.
_MOST_NAMED = 30
# Two or three decades have too few powers of ten to read values from.
_STEPS = (1.0, 2.0, 5.0)


class DesignCalls(BaseModel):
    """The error at the end of active learning, and the solver calls with which designs reach it.

    Bounds are text such as ``> 4000``.
    """

    design_error: float
    design_calls_active: int | float | str
    design_calls_fixed: int | float | str
    design_calls_ratio: int | float | str


def draw_error_against_systems(errors: xr.Dataset, metrics: Mapping[str, Any]) -> Sheet:
    """Return the errors of every data set against its number of systems, and the fitted power law.

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
    title = f"Errors against the number of systems, observed through the {through}"
    parts = [Grid([panel]) for panel in error_panels(errors, metrics)]
    return Sheet(title, 11, 4.8, Parts(parts))


def error_panels(errors: xr.Dataset, metrics: Mapping[str, Any]) -> list[Panel]:
    """Return the errors of the law and of the noise covariance against the number of systems."""
    panels = []
    for name, title in (("law_error", "Law"), ("noise_error", "Noise covariance")):
        slope = metrics[f"{name}_slope"]
        deviation = metrics[f"{name}_slope_standard_error"]
        numbers, rms = errors["size_systems"].values, errors[f"{name}_rms"].values
        line = np.array([numbers[0], numbers[-1]], dtype=float)
        fitted = np.exp(metrics[f"{name}_intercept"]) * line**slope
        half = fitted[0] * (line / line[0]) ** -0.5
        fit = f"fit, slope {slope:.2f} ± {deviation:.2f}".replace("-", "−")
        systems, each = errors["systems"].values.astype(float), errors[name].values
        panels.append(
            Panel(
                Axis("systems", "log", steps=_STEPS),
                Axis(errors[name].attrs["long_name"], "log", steps=_STEPS),
                [
                    Points(systems, each, colour=LIGHT, size=5, label="one data set"),
                    Points(numbers, rms, "diamond", 7, colour=MODEL, label="root mean square"),
                    Line(line, fitted, colour=MODEL, width=1.6, label=fit),
                    Line(line, half, "dash", 1.4, colour=TRUTH, label="slope −1/2"),
                ],
                title,
                legend=Legend("lower left"),
            )
        )
    return panels


def draw_designs(curves: xr.Dataset, metrics: Mapping[str, Any]) -> Sheet:
    """Return the surrogate's error against solver calls, for both designs.

    Parameters
    ----------
    curves : Dataset
        ``active_calls``, ``active_error``, ``fixed_calls`` and ``fixed_error``.
    metrics : mapping
        The fields of :class:`DesignCalls`.
    """
    title = "Active learning against a fixed design"
    return Sheet(title, 7.5, 5.2, Grid([designs_panel(curves, metrics)]))


def designs_panel(curves: xr.Dataset, metrics: Mapping[str, Any]) -> Panel:
    """Return the panel of :func:`draw_designs`."""
    numbers = DesignCalls.model_validate(metrics)
    target = numbers.design_error

    def curve(name: str, colour: str, marker: Marker, label: str) -> Line:
        calls, error = curves[f"{name}_calls"].values, curves[f"{name}_error"].values
        return Line(calls, error, width=1.6, marker=marker, colour=colour, label=label)

    marks = [
        curve("active", MODEL, "circle", "active learning, by round"),
        curve("fixed", ORACLE, "square", "one broad design"),
        Reference(target, dash="dash", colour=TRUTH, label=f"final error, {target:.2g}"),
    ]
    return Panel(
        Axis("solver calls", "log", steps=_STEPS),
        Axis(
            "error on fresh solves of the population,\nnoise standard deviations",
            "log",
            steps=_STEPS,
        ),
        marks,
        f"To the final error: {numbers.design_calls_active} calls, against "
        f"{numbers.design_calls_fixed} (ratio {numbers.design_calls_ratio})",
        legend=Legend(),
    )


def draw_calibration(replications: xr.Dataset) -> Sheet:
    """Return the coverage of the 95 % intervals, and the ranks of the truth, for each parameter.

    Parameters
    ----------
    replications : Dataset
        From :func:`popinv.evidence.calibration.calibration`.
    """
    coverage = coverage_panel(replications)
    count = replications.sizes["replication"]
    parameters = replications["rank"].shape[1]
    height = min(9.0, 2.6 + 0.4 * parameters)
    panels = [coverage, _ranks_panel(replications["rank"].values)]
    return Sheet(f"Calibration on {count} new data sets", 12, height, Grid(panels, 2, legend=3))


def coverage_panel(replications: xr.Dataset) -> Panel:
    """Return the shares of the 95 % intervals that hold the truth, for each parameter."""
    names: list[str] = []
    rows: list[np.ndarray] = []
    for part in ("law", "noise"):
        if f"{part}_coverage" in replications:
            parameters = replications[f"{part}_parameter"].values
            names += [f"{part}: {readable(str(name))}" for name in parameters]
            ends = [
                replications[f"{part}_coverage{end}"].values for end in ("", "_lower", "_upper")
            ]
            rows.append(100 * np.column_stack(ends))
    share, lower, upper = np.concatenate(rows).T
    place = np.arange(len(names))
    low, high = (100 * end for end in COVERAGE_WANTED)
    few = len(names) <= _MOST_NAMED
    return Panel(
        Axis("95 % intervals that hold the truth [%]", limits=(min(60.0, lower.min() - 3), 101)),
        Axis(
            "" if few else "number of the parameter, law before noise",
            limits=(len(names) - 0.5, -0.5),
            places=place if few else None,
            names=names if few else None,
        ),
        [
            Stretch(
                low,
                high,
                upright=True,
                colour=LIGHT,
                alpha=0.2,
                label=f"wanted, {low:.0f} to {high:.0f} %",
            ),
            Reference(95, upright=True, dash="dash", colour=TRUTH, label="95 %"),
            Segments(
                lower, place, upper, place, width=1.6, colour=MODEL, label="its 95 % interval"
            ),
            Points(share, place, size=7, colour=MODEL, label="share that holds the truth"),
        ],
        "Coverage",
    )


def _ranks_panel(rank: np.ndarray) -> Panel:
    """Return the distribution function of the ranks of each parameter, minus the uniform one."""
    count = len(rank)
    steps = (np.arange(count) + 0.5) / count
    # The 95 % band of the Kolmogorov-Smirnov statistic.
    band = 1.358 / np.sqrt(count)
    ordered = [np.sort(column) for column in rank.T if np.isfinite(column).all()]
    end = max(3 * band, 0.2)
    return Panel(
        Axis("probability integral transform of the truth", limits=(0, 1)),
        Axis("distribution function less uniform", limits=(-end, end)),
        [
            Stretch(-band, band, colour=LIGHT, alpha=0.2, label="95 % of uniform ranks"),
            *(
                Line(x, steps - x, width=1, steps="half way", colour=MODEL, alpha=0.7)
                for x in ordered
            ),
            Reference(0, dash="dash", colour=TRUTH),
        ],
        "Ranks of the truth, a line a parameter",
    )


def scores_panel(comparison: Mapping[str, Any]) -> Panel:
    """Return how far the log score of each model is behind the best, with standard errors.

    Parameters
    ----------
    comparison : mapping
        ``comparison.json``; see :func:`popinv.inference.checks.model_comparison.compare`.
    """
    models = comparison["models"]
    places = np.arange(len(models))
    behind = np.array([-model["score_difference"] for model in models.values()])
    error = np.array([model["score_difference_error"] for model in models.values()])
    by = "" if comparison["scored_by"] == "likelihood" else ", by the normal law"
    intervals = [
        Points(
            behind,
            places,
            low=behind - factor * error,
            high=behind + factor * error,
            across=True,
            shown=factor == 1,
            bar=bar,
            size=7,
            colour=MODEL,
        )
        for factor, bar in ((2, 1.2), (1, 3.0))
    ]
    return Panel(
        Axis(f"log score per system, minus the best model's{by}; thick 1, thin 2 standard errors"),
        Axis(
            places=places,
            names=[readable(model) for model in models],
            limits=(len(models) - 0.4, -0.6),
            grid=False,
        ),
        [Reference(0.0, upright=True, width=1.2, colour=LIGHT), *intervals],
    )


def draw_comparison(name: str, comparison: Mapping[str, Any]) -> Sheet:
    """Return the scores of the models of a comparison of this name."""
    title = f"{readable(name)}: scores of systems not seen"
    height = 1.9 + 0.5 * len(comparison["models"])
    return Sheet(title, 8, height, Grid([scores_panel(comparison)]))
