"""Charts of the evidence: coverage, errors against systems, designs, models compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr
from pydantic import BaseModel

from popinv.charts.page_chart import Chart
from popinv.charts.plotly_writer import page_figure
from popinv.charts.style import readable
from popinv.figures.evidence import (
    DesignCalls,
    coverage_panel,
    designs_panel,
    error_panels,
    scores_panel,
)
from popinv.report.formats import rounded


class _Calibration(BaseModel):
    """The calibration in short."""

    calibration_replications: int
    coverage_mean: float


def evidence_charts(
    loaded: Mapping[str, xr.Dataset], metrics: Mapping[str, Mapping[str, Any]]
) -> dict[str, Chart]:
    """Return a chart of each requested kind of evidence, by its name.

    Parameters
    ----------
    loaded : mapping of str to Dataset
        ``error_against_systems``, ``designs`` and ``calibration``, if they were requested.
    metrics : mapping
        Their numbers, by the same names.
    """
    kinds = {"calibration": _coverage, "error_against_systems": _errors, "designs": _designs}
    found = {name: chart for name, chart in kinds.items() if name in loaded}
    return {name: chart(loaded[name], metrics[name]) for name, chart in found.items()}


def _coverage(calibrated: xr.Dataset, metrics: Mapping[str, Any]) -> Chart:
    panel = coverage_panel(calibrated)
    parts = [part for part in ("law", "noise") if f"{part}_coverage" in calibrated]
    parameters = sum(calibrated.sizes[f"{part}_parameter"] for part in parts)
    numbers = _Calibration.model_validate(metrics)
    count = numbers.calibration_replications
    return Chart(
        "coverage",
        "Coverage of the intervals",
        f"From {count} data sets drawn from the truth. The grey band is the required coverage.",
        f"Shares of the 95 % intervals that hold the truth on {count} data sets, in the mean "
        f"{100 * numbers.coverage_mean:.0f} %.",
        page_figure([panel], min(900, 120 + 34 * parameters)),
        wide=True,
    )


def _errors(errors: xr.Dataset, metrics: Mapping[str, Any]) -> Chart:
    words = []
    for name, title in (("law_error", "law"), ("noise_error", "noise covariance")):
        slope, deviation = metrics[f"{name}_slope"], metrics[f"{name}_slope_standard_error"]
        words.append(f"{title} {rounded(slope, 2)} ± {rounded(deviation, 1)}")
    panels = error_panels(errors, metrics)
    return Chart(
        "errors",
        "Error against the number of systems",
        "Sampling errors fall with slope −1/2. Errors that level off at many systems are the "
        "surrogate's or the descent's own.",
        f"Errors fall with the number of systems; slopes: {', '.join(words)}.",
        page_figure(panels, 400, choices=True),
        control="select",
        control_label="Error of the",
        choices=tuple(panel.title for panel in panels),
    )


def _designs(curves: xr.Dataset, metrics: Mapping[str, Any]) -> Chart:
    numbers = DesignCalls.model_validate(metrics)
    active, fixed = numbers.design_calls_active, numbers.design_calls_fixed
    return Chart(
        "designs",
        "Active learning against a fixed design",
        f"To the final error of {rounded(numbers.design_error, 2)}: {active} calls with active "
        f"learning, against {fixed}.",
        "Error of the surrogate against solver calls, for active learning and one broad design: "
        f"{active} calls against {fixed}.",
        page_figure([designs_panel(curves, metrics)], 400),
    )


def comparison_chart(comparison: Mapping[str, Any]) -> Chart:
    """Return how far each model's score is behind the best, with standard errors.

    Parameters
    ----------
    comparison : mapping
        ``comparison.json``; see :func:`popinv.inference.checks.model_comparison.compare`.
    """
    models = comparison["models"]
    names = [readable(name) for name in models]
    behind = [-model["score_difference"] for model in models.values()]
    errors = [model["score_difference_error"] for model in models.values()]
    told = "; ".join(
        f"{name} {rounded(b, 3)} ± {rounded(e, 2)}"
        for name, b, e in zip(names, behind, errors, strict=True)
    )
    return Chart(
        "scores",
        "Scores of systems not seen",
        "Thick bars are one standard error, thin bars two, of the mean difference over the tested "
        "systems, in pairs.",
        f"Differences of log scores to the best model: {told}.",
        page_figure([scores_panel(comparison)], height=120 + 48 * len(models)),
        wide=True,
    )
