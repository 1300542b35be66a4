"""Figures of the scores of samples, and of the trainings on selected samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from popinv.charts.description import (
    Axis,
    Dash,
    Grid,
    Legend,
    Line,
    Mark,
    Panel,
    Points,
    Reference,
    Sheet,
)
from popinv.charts.style import CHECK, DATA, LIGHT, MODEL, SYSTEMS, readable
from popinv_papers.influence.claims import MERITS, WORDS, merit

_ORDERS: dict[str, tuple[str, Dash, str]] = {
    "influence": (MODEL, "solid", "their worth for the answer"),
    "random": (LIGHT, "dash", "chance"),
}
_TRAININGS = {
    "selected": "selected by exact scores",
    "landmarks": "selected by landmarks",
    "random": "as many, random",
    "all": "all, weighed alike",
    "target": "the target itself",
    "all_as_weighed": "all, later rounds\nweighing more",
}


def draw_selections(result: xr.Dataset) -> Sheet:
    """Return accuracy, or loss, after training on each method's selection, a dot for each draw.

    Means over the targets of a part.
    """
    panels = []
    for part, kind in MERITS.items():
        names = [str(n) for n in result[f"{part}_name"].values]
        methods = list(dict.fromkeys(_method(n, part) for n in names if n.startswith(kind)))
        values = np.array([merit(result, part, method) for method in methods])
        order = np.argsort(values.mean(axis=1) * (1 if kind == "accuracy" else -1))
        marks: list[Mark] = []
        for place, index in enumerate(order):
            name = methods[index]
            colour = MODEL if name.startswith("landmarks") else LIGHT
            colour = CHECK if name == "exact" else colour
            marks += _draws_and_mean(values[index], place, colour, colour, readable(name))
        ways = Axis(places=range(len(order)), names=[readable(methods[i]) for i in order])
        panels.append(Panel(Axis(f"{kind} on the target"), ways, marks, title=WORDS[part]))
    return Sheet("After training on a selection", 15, 4.8, Grid(panels, 3))


def _draws_and_mean(
    values: np.ndarray, place: int, colour: str, of_mean: str, label: str
) -> list[Mark]:
    """Return a dot for each value at a height, and their mean."""
    mean = Points(values.mean(), place, "upright", 16, colour=of_mean, label=f"{label}, mean")
    return [Points(values, place, size=4, colour=colour, label=label), mean]


def _method(name: str, part: str) -> str:
    """Return the selection of a number's name, without the target."""
    rest = name.partition("_")[2]
    return rest if part == "mixture" else rest.partition("_")[2]


def draw_landmarks(result: xr.Dataset) -> Sheet:
    """Return the correlation of spread and exact scores against the number of landmarks."""
    panels: list[Panel] = []
    for part in WORDS:
        mean = result[part].mean(f"{part}_draw")
        lines: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for name, value in zip(result[f"{part}_name"].values, mean.values, strict=True):
            if str(name).startswith("correlation_"):
                embedding, rule, count = str(name).removeprefix("correlation_").rsplit("_", 2)
                lines.setdefault((embedding, rule), []).append((int(count), float(value)))
        kinds = list(dict.fromkeys(embedding for embedding, _ in lines))
        marks: list[Mark] = []
        for (embedding, rule), points in lines.items():
            x, y = zip(*points, strict=True)
            colour, label = SYSTEMS[kinds.index(embedding) % len(SYSTEMS)], readable(embedding)
            if rule == "kernel":
                marks.append(Line(x, y, marker="circle", size=4, colour=colour, label=label))
                continue
            told: dict[str, Any] = {"label": f"{label}, {readable(rule)}", "legend": False}
            marks.append(Line(x, y, "dash", marker="circle", size=4, colour=colour, **told))
        height = Axis("" if panels else "correlation with the exact scores")
        legend = Legend(size=9)
        panels.append(Panel(Axis("landmarks", "log"), height, marks, WORDS[part], legend=legend))
    grid, below = Grid(panels, 3, share_y=True), "solid: kernel regression, dashed: linear"
    return Sheet("Scores spread from a few landmarks", 14, 4.4, grid, below)


def draw_study(result: xr.Dataset) -> Sheet:
    """Return the surrogate's error by its training set, and the answer's by the solved candidates.

    The second is there if the result has ``candidate_error``.
    """
    curves = "candidate_error" in result
    names = [_TRAININGS[str(name)] for name in result["training"].values]
    marks: list[Mark] = []
    for place, (name, values) in enumerate(zip(names, result["error"].values, strict=True)):
        both = _draws_and_mean(values, place, LIGHT, MODEL, name.replace("\n", " "))
        marks += [replace(mark, legend=False) for mark in both]
    before = result.attrs["error_before"]
    marks.append(Reference(before, upright=True, width=1, colour=DATA, label="before"))
    trained = Panel(
        Axis("error, noise standard deviations", limits=(0, None)),
        Axis(places=range(len(names)), names=names),
        marks,
        title="trained further on",
        legend=Legend("upper center"),
    )
    panels = [trained, _candidates(result)] if curves else [trained]
    return Sheet("Selection of solves", 11 if curves else 6, 4.4, Grid(panels, len(panels)))


def _candidates(result: xr.Dataset) -> Panel:
    solved = result["candidates"].values
    marks: list[Mark] = []
    for name, values in zip(result["order"].values, result["candidate_error"].values, strict=True):
        colour, dash, label = _ORDERS[str(name)]
        mean = values.mean(axis=0)
        marks.append(Line(solved, mean, dash, marker="circle", size=5, colour=colour, label=label))
        x = np.broadcast_to(solved, values.shape)
        own: dict[str, Any] = {"label": f"{label}, each draw", "legend": False}
        marks.append(Points(x.ravel(), values.ravel(), size=2, colour=colour, alpha=0.6, **own))
    without = float(result["error_without"])
    marks.append(Reference(without, width=1, colour=DATA, label="without any"))
    counts = [str(count) for count in solved]
    return Panel(
        Axis("solved", "log", places=solved, names=counts, minor=False),
        Axis("error of the answer, standard errors"),
        marks,
        title="candidates in the order of",
        legend=Legend(),
    )
