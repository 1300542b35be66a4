"""The covariance of the noise: at the start of a study, recovered, and true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from popinv.charts.description import (
    Axis,
    Dash,
    Grid,
    HeatMap,
    Legend,
    Line,
    Mark,
    Panel,
    Parts,
    Points,
    Reference,
    Sheet,
)
from popinv.charts.style import INK, LIGHT, MODEL, TRUTH, axis_label, squared
from popinv.figures.arrangement import NUMBER, Arrangement
from popinv.figures.noise import lag_panel, map_scale, matrix_extent, observation_axis
from popinv.figures.noise_statistics import correlation_by_lag
from popinv.inference.answer.result import relative_frobenius_error

_BEFORE, _AFTER, _TRUE = "start", "recovered", "true"
_COLOURS = {_BEFORE: LIGHT, _AFTER: MODEL, _TRUE: TRUTH}
_TITLES = {_BEFORE: "Before: the start", _AFTER: "After: recovered", _TRUE: "The truth"}
# Share of the variance down to which a curve is drawn.
_VISIBLE = 0.1
# Covariances whose negative values are below this share of the largest are drawn as if positive.
_NEGATIVE = 0.01


def draw_before_and_after(
    start: np.ndarray,
    recovered: np.ndarray,
    true: np.ndarray | None,
    layout: Arrangement,
    distance: np.ndarray | None = None,
    units: str = "1",
) -> Sheet:
    """Return covariances side by side, and as curves below.

    Colours and heights are proportional to the square root of the covariance, as standard
    deviations are. Otherwise a start with a far too large variance would leave the others without
    colour.

    Parameters
    ----------
    start, recovered : ndarray of shape (d_y, d_y)
        Covariance at the start of the study, and the recovered one.
    true : ndarray of shape (d_y, d_y), optional
        The true covariance, if it is known.
    layout : Arrangement
        Layout of the observations.
    distance : ndarray of shape (d_y, d_y), optional
        Distances between sensors, if the noise is stationary over them.
    units : str
        Units of the observations.
    """
    noises = {_BEFORE: start, _AFTER: recovered} | ({} if true is None else {_TRUE: true})
    if layout.over_time:
        curves = [_over_time(noises, layout), _deviations(noises, layout, units)]
    elif distance is None:
        curves = [_deviations(noises, layout, units)]
    else:
        curves = [_over_distance(noises, distance, squared(units))]
    maps = _heat_maps(noises, squared(units))
    body = Parts([maps, Grid(curves, len(curves))], down=True, shares=(1.35, 1))
    return Sheet("The noise, before and after", 4.2 * len(noises) + 0.8, 7.6, body)


def _heat_maps(noises: Mapping[str, np.ndarray], units: str) -> Grid:
    divisor, scale = map_scale(noises[_AFTER], units)
    shown = {name: matrix / divisor for name, matrix in noises.items()}
    largest = max(float(np.abs(matrix).max()) for matrix in shown.values())
    lowest = min(float(matrix.min()) for matrix in shown.values())
    signed = lowest < -_NEGATIVE * largest
    number = Axis(NUMBER, whole=True)
    panels = [
        Panel(
            number,
            number if name == _BEFORE else replace(number, label=""),
            [
                HeatMap(
                    matrix,
                    matrix_extent(matrix),
                    -largest if signed else 0.0,
                    largest,
                    colours="diverging" if signed else "flow",
                    root=True,
                    label="covariance",
                )
            ],
            title=_title(name, noises),
        )
        for name, matrix in shown.items()
    ]
    return Grid(panels, len(panels), share_x=True, share_y=True, scale=scale)


def _title(name: str, noises: Mapping[str, np.ndarray]) -> str:
    if name == _TRUE or _TRUE not in noises:
        return _TITLES[name]
    error = relative_frobenius_error(noises[name], noises[_TRUE])
    amount = f"{error:.0f} times the truth" if error > 2 else f"{100 * error:.2g} %"
    return f"{_TITLES[name]}, off by {amount}"


def _curve(name: str, x: np.ndarray, y: np.ndarray) -> Line:
    dash: Dash = "dash" if name == _TRUE else "solid"
    return Line(x, y, dash, 1.8 if name == _TRUE else 2.4, colour=_COLOURS[name], label=name)


def _over_distance(noises: Mapping[str, np.ndarray], distance: np.ndarray, units: str) -> Panel:
    upper = np.triu_indices(len(distance), 1)
    order = np.argsort(distance[upper], kind="stable")
    d = distance[upper][order]
    furthest = 0.0
    marks: list[Mark] = [Reference(0, width=0.8, colour=INK)]
    for name, matrix in noises.items():
        curve, variance = matrix[upper][order], float(matrix[0, 0])
        marks.append(_curve(name, d, curve))
        # A nugget lifts the variance above the curve, so distance zero is drawn separately.
        dot = Points(0, variance, size=8, clip=False, legend=False, colour=_COLOURS[name])
        marks.append(replace(dot, filled=name != _TRUE, label=f"{name}, variance"))
        furthest = max(furthest, float(d[np.abs(curve) > _VISIBLE * variance].max(initial=0)))
    largest = max(float(matrix[0, 0]) for matrix in noises.values())
    ends = (0, min(furthest, float(d[-1]))) if furthest else (None, None)
    return Panel(
        Axis("distance between sensors", limits=ends),
        Axis(axis_label("covariance", units), "root", limits=(-0.002 * largest, 1.15 * largest)),
        marks,
        title="Covariance against distance",
        legend=Legend(),
    )


def _over_time(noises: Mapping[str, np.ndarray], layout: Arrangement) -> Panel:
    marks: list[Mark] = [Reference(0, width=0.8, colour=INK)]
    for name, matrix in noises.items():
        correlation = correlation_by_lag(matrix, layout)
        marks.append(_curve(name, correlation.x, correlation.recovered))
    return lag_panel(marks, correlation.title, layout)


def _deviations(noises: Mapping[str, np.ndarray], layout: Arrangement, units: str) -> Panel:
    roots = {name: np.sqrt(np.diag(matrix)) for name, matrix in noises.items()}
    number = np.arange(1, 1 + len(roots[_AFTER]))
    marks: list[Mark] = []
    for name, values in roots.items():
        dots = Points(number, values, size=5.5, colour=_COLOURS[name], label=name)
        marks.append(replace(dots, marker="level", size=10) if name == _TRUE else dots)
    every = np.concatenate(list(roots.values()))
    wide, largest = bool(every.max() > 20 * every.min()), float(every.max())
    across = observation_axis(layout)
    return Panel(
        replace(across, whole=across.places is None),
        Axis(
            axis_label("standard deviation", units),
            "log" if wide else "linear",
            limits=(None, 3 * largest) if wide else (0, 1.3 * largest),
        ),
        marks,
        title="Standard deviation of the noise",
        legend=Legend(columns=3),
    )
