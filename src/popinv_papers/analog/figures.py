"""Figures of training on analog devices and of an accelerator: errors that are left, and shifts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from popinv.charts.description import (
    Axis,
    Grid,
    Legend,
    Line,
    Look,
    Mark,
    Panel,
    Points,
    Reference,
    Sheet,
)
from popinv.charts.style import LIGHT, SYSTEMS, TRUTH, readable
from popinv_papers.analog import quadratic
from popinv_papers.analog.deployment import FAR, TOLERANCE, Shift, by_draw
from popinv_papers.analog.digits import PAPER, RANGES
from popinv_papers.analog.levels import ERRORS

_COLOURS = dict(zip(("digital", "analog", "tiki_taka", "residual"), SYSTEMS, strict=False))
_LABELS = {
    "digital": "digital descent",
    "analog": "analog descent",
    "tiki_taka": "Tiki-Taka",
    "residual": "residual learning",
}


def draw_floor(numbers: Mapping[str, float]) -> Sheet:
    """Return the error on a quadratic problem against rate, dynamic range and noise."""
    lines: tuple[tuple[str, tuple[float, ...]], ...] = (
        ("digital", quadratic.RATES),
        ("analog", quadratic.RATES),
        ("tiki_taka", quadratic.TRANSFERS),
        ("residual", quadratic.TRANSFERS),
    )
    rates = Panel(
        Axis("rate (of transfer, where there are two arrays)", "log"),
        Axis("mean squared gradient", "log", limits=(None, 0.2)),
        [
            _line(name, values, [numbers[f"{name}_{v:g}_squared_gradient"] for v in values])
            for name, values in lines
        ],
        legend=Legend("upper left"),
    )
    panels = [rates]
    for name, places, label in (
        ("range", quadratic.RANGES, "dynamic range"),
        ("noise", quadratic.NOISES, "standard deviation of the gradient noise"),
    ):
        offs = [numbers[f"analog_{name}_{place:g}_bias"] for place in places]
        panels.append(
            Panel(
                _at(places, label, "log"),
                Axis("distance of the mean iterate", "log"),
                [_line("analog", places, offs)],
                legend=Legend(),
            )
        )
    return Sheet("Quadratic problem: the error that devices leave", 12, 4, Grid(panels, 3))


def _line(method: str, x: ArrayLike, y: ArrayLike) -> Line:
    look: Look = {"label": _LABELS[method], "colour": _COLOURS[method]}
    return Line(x, y, marker="circle", size=4, **look)


def _at(places: Sequence[float], label: str, scale: Literal["linear", "log"] = "linear") -> Axis:
    """Return an axis that is marked at the places alone."""
    names = [f"{place:g}" for place in places]
    return Axis(label, scale, places=places, names=names, minor=False)


def draw_accuracies(reached: Mapping[str, Mapping[str, list[float]]]) -> Sheet:
    """Return the test accuracy of every training, and the paper's."""
    panels: list[Panel] = []
    for kind, by_method in reached.items():
        marks: list[Mark] = []
        for name, accuracies in by_method.items():
            last = accuracies[-1]
            if name == "digital":
                marks.append(replace(_line(name, RANGES[kind], last), marker=None))
                continue
            method, _, reach = name.rpartition("_")
            look: Look = {"label": _LABELS[method], "colour": _COLOURS[method]}
            marks.append(Points([float(reach)], [last], **look))
        for method, expected in PAPER[kind].items():
            paper = expected if len(expected) > 1 else expected[0]
            own: dict[str, Any] = {"label": f"{_LABELS[method]}, the paper's", "legend": False}
            colour = _COLOURS[method]
            marks.append(_of_paper(RANGES[kind], paper, colour=colour, alpha=0.6, **own))
        # What stands for all of them in the legend.
        marks.append(_of_paper([], [], colour=LIGHT, label="the paper's"))
        panels.append(
            Panel(
                _at(RANGES[kind], "dynamic range"),
                Axis("test accuracy in per cent"),
                marks,
                title=kind.upper(),
                legend=None if panels else Legend("center right"),
            )
        )
    grid = Grid(panels, len(panels))
    return Sheet("MNIST on analog devices", 5.5 * len(reached), 4.2, grid)


def _of_paper(x: ArrayLike, y: ArrayLike, **look: Any) -> Line:
    return Line(x, y, "dash", 0.8, "x", **look)


def draw_errors(
    errors: Mapping[tuple[str, str, float], float], digital: float, before: float
) -> Sheet:
    """Return the surrogate's whitened error by device, method and dynamic range.

    The errors by (device, method, range) stand beside the errors of digital training and of the
    study's surrogate.
    """
    finite = [e for e in (*errors.values(), digital, before) if np.isfinite(e)]
    # Errors that hardly differ are drawn as differences.
    near = before > 0 and max(finite) < 2 * min(finite)

    def height(error: float) -> float:
        return 100 * (error / before - 1) if near else error

    y = Axis(
        f"error against the surrogate's {before:.3g}, in per cent"
        if near
        else "error in standard deviations of the noise",
        "linear" if near or min(finite) <= 0 else "log",
    )
    devices = list(dict.fromkeys(device for device, _, _ in errors))
    panels = []
    for number, device in enumerate(devices):
        own: Look = {"label": _LABELS["digital"], "colour": _COLOURS["digital"]}
        marks: list[Mark] = [
            Reference(height(before), dash="dash", colour=TRUTH, label="the study's surrogate"),
            Reference(height(digital), width=1.2, **own),
        ]
        chosen = [(method, reach) for one, method, reach in errors if one == device]
        for method in dict.fromkeys(method for method, _ in chosen):
            ranges = [reach for other, reach in chosen if other == method]
            heights = [height(errors[device, method, reach]) for reach in ranges]
            marks.append(_line(method, ranges, heights))
        last = device == devices[-1]
        panels.append(
            Panel(
                _at(sorted({r for _, r in chosen}), "dynamic range over the largest weight"),
                replace(y, label="") if number else y,
                marks,
                title=readable(device),
                legend=Legend() if last else None,
            )
        )
    title = "The surrogate's last layers on devices"
    return Sheet(title, 4 * len(devices), 4.2, Grid(panels, len(devices), share_y=True))


def draw_deployment(shifts: Sequence[Shift]) -> Sheet:
    """Return the largest shift of the answer by error and level, one line for each draw.

    A refit that was lost is a cross at the shift up to which refits are followed.
    """
    panels: list[Panel] = []
    for kind, own in ERRORS.items():
        of_kind = [one for one in shifts if one.kind == kind]
        marks: list[Mark] = [
            Line(levels, sizes, width=1, marker="circle", size=3, colour=SYSTEMS[0])
            for levels, sizes in by_draw(of_kind)
        ]
        lost = [one.level for one in of_kind if not np.isfinite(one.shift).all()]
        if lost:
            marks.append(Points(lost, np.full(len(lost), FAR), "x", 5, colour=SYSTEMS[0]))
        told = "half a standard error"
        marks.append(Reference(TOLERANCE, dash="dash", width=1.2, colour=TRUTH, label=told))
        first, last = own.place(own.levels[0]), own.place(own.levels[-1])
        margin = 0.05 * (last - first)
        # All levels are shown, so that an axis has limits where every refit was lost.
        ends = own.level(first - margin), own.level(last + margin)
        panels.append(
            Panel(
                Axis(own.unit, "linear" if own.in_bits else "log", limits=ends),
                Axis("" if panels else "largest shift in standard errors", "log"),
                marks,
                title=readable(kind),
                legend=None if panels else Legend(),
            )
        )
    title = "The surrogate on an accelerator: shift of the answer"
    return Sheet(title, 4 * len(ERRORS), 4, Grid(panels, len(ERRORS), share_y=True))
