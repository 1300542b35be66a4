"""Charts of the evidence: coverage, errors against systems, active against fixed design."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from pydantic import BaseModel

from popinv.figures.evidence import DesignCalls
from popinv.judgement.judgements import COVERAGE_WANTED
from popinv.report.look import (
    LIGHT,
    MODEL,
    ORACLE,
    TRUTH,
    Chart,
    faint,
    new_chart,
)
from popinv.report.words import readable, rounded


class _Calibration(BaseModel):
    """The calibration in short."""

    calibration_replications: int
    coverage_mean: float


def evidence_charts(
    loaded: Mapping[str, xr.Dataset], metrics: Mapping[str, Mapping[str, Any]]
) -> list[Chart]:
    """Return a chart of each requested kind of evidence.

    Parameters
    ----------
    loaded : mapping of str to Dataset
        ``error_against_systems``, ``designs`` and ``calibration``, if they were requested.
    metrics : mapping
        Their numbers, by the same names.
    """
    kinds = {"calibration": _coverage, "error_against_systems": _errors, "designs": _designs}
    return [chart(loaded[name], metrics[name]) for name, chart in kinds.items() if name in loaded]


def _coverage(calibrated: xr.Dataset, metrics: Mapping[str, Any]) -> Chart:
    names: list[str] = []
    ends: list[np.ndarray] = []
    for part in ("law", "noise"):
        if f"{part}_coverage" in calibrated:
            names += [f"{part}: {readable(str(n))}" for n in calibrated[f"{part}_parameter"].values]
            columns = [
                calibrated[f"{part}_coverage{end}"].values for end in ("", "_lower", "_upper")
            ]
            ends.append(100 * np.column_stack(columns))
    share, low, high = np.concatenate(ends).T
    figure = new_chart("intervals that hold the truth [%]", "", min(900, 120 + 34 * len(names)))
    figure.add_vrect(
        *(100 * end for end in COVERAGE_WANTED), fillcolor=faint(LIGHT, 0.25), line_width=0
    )
    figure.add_vline(95, line={"color": TRUTH, "dash": "dash", "width": 1.5})
    figure.add_scatter(
        x=share,
        y=names,
        mode="markers",
        name="share, with its 95 % interval",
        marker={"color": MODEL, "size": 9},
        error_x={"type": "data", "array": high - share, "arrayminus": share - low, "width": 0},
    )
    figure.update_yaxes(autorange="reversed", ticks="")
    numbers = _Calibration.model_validate(metrics)
    count = numbers.calibration_replications
    return Chart(
        "coverage",
        "Coverage of the intervals",
        f"From {count} data sets drawn from the truth. The grey band is the required coverage.",
        f"Shares of the 95 % intervals that hold the truth on {count} data sets, in the mean "
        f"{100 * numbers.coverage_mean:.0f} %.",
        figure,
        wide=True,
    )


def _errors(errors: xr.Dataset, metrics: Mapping[str, Any]) -> Chart:
    figure = new_chart("systems", "relative error", 400)
    figure.update_xaxes(type="log")
    figure.update_yaxes(type="log")
    words = []
    for meta, (name, title) in enumerate(
        (("law_error", "law"), ("noise_error", "noise covariance"))
    ):
        slope, deviation = metrics[f"{name}_slope"], metrics[f"{name}_slope_standard_error"]
        numbers = errors["size_systems"].values
        figure.add_scatter(
            x=errors["systems"].values,
            y=errors[name].values,
            mode="markers",
            meta=meta,
            name="one data set",
            marker={"color": LIGHT, "size": 6},
        )
        figure.add_scatter(
            x=numbers,
            y=errors[f"{name}_rms"].values,
            mode="markers",
            meta=meta,
            name="root mean square",
            marker={"color": MODEL, "size": 10, "symbol": "diamond"},
        )
        line = np.array([numbers[0], numbers[-1]], dtype=float)
        figure.add_scatter(
            x=line,
            y=np.exp(metrics[f"{name}_intercept"]) * line**slope,
            mode="lines",
            meta=meta,
            name=f"fit, slope {rounded(slope, 2)} ± {rounded(deviation, 1)}",
            line={"color": MODEL},
        )
        words.append(f"{title} {rounded(slope, 2)} ± {rounded(deviation, 1)}")
    return Chart(
        "errors",
        "Error against the number of systems",
        "Sampling errors fall with slope −1/2. Errors that level off at many systems are the "
        "surrogate's or the descent's own.",
        f"Errors fall with the number of systems; slopes: {', '.join(words)}.",
        figure,
        control="select",
        control_label="Error of the",
        choices=("Law", "Noise covariance"),
    )


def _designs(curves: xr.Dataset, metrics: Mapping[str, Any]) -> Chart:
    figure = new_chart("solver calls", "error, in noise deviations", 400)
    figure.update_xaxes(type="log")
    figure.update_yaxes(type="log")
    for name, colour, symbol, label in (
        ("active", MODEL, "circle", "active learning"),
        ("fixed", ORACLE, "square", "one broad design"),
    ):
        figure.add_scatter(
            x=curves[f"{name}_calls"].values,
            y=curves[f"{name}_error"].values,
            name=label,
            mode="lines+markers",
            line={"color": colour},
            marker={"symbol": symbol, "size": 8},
        )
    numbers = DesignCalls.model_validate(metrics)
    active, fixed = numbers.design_calls_active, numbers.design_calls_fixed
    return Chart(
        "designs",
        "Active learning against a fixed design",
        f"To the final error of {rounded(numbers.design_error, 2)}: {active} calls with active "
        f"learning, against {fixed}.",
        "Error of the surrogate against solver calls, for active learning and one broad design: "
        f"{active} calls against {fixed}.",
        figure,
    )
