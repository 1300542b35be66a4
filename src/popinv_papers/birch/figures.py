"""Figures of the computation trees, and of the fastest method in each regime."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from popinv.charts.description import (
    Axis,
    Dash,
    Grid,
    Legend,
    Line,
    Look,
    Mark,
    Panel,
    Points,
    Reference,
    Segments,
    Sheet,
)
from popinv.charts.style import LIGHT, MODEL, SYSTEMS, TRUTH, readable
from popinv_papers.birch.catalogue import METHODS
from popinv_papers.birch.problem import ratios
from popinv_papers.birch.regime_names import SWEPT, VARIATION
from popinv_papers.birch.tree import Tree

_DASHES: tuple[Dash, ...] = ("solid", "dash", "dot")


def draw_trees(trees: Mapping[str, Tree]) -> Sheet:
    """Return the tree of each method: the main branch above, side branches below it."""
    columns = 3
    panels = [
        Panel(
            Axis(grid=False, whole=True),
            Axis(grid=False, places=[], margin=0.15),
            _branches(tree),
            title=METHODS[name].title,
        )
        for name, tree in trees.items()
    ]
    below = (
        "steps from the root; thin lines lead from where a gradient was taken to where it was used"
    )
    rows = -(-len(trees) // columns)
    return Sheet("Computation trees", 5.2 * columns, 2.0 * rows, Grid(panels, columns), below)


def _branches(tree: Tree) -> list[Mark]:
    depth, lane = map(np.array, _places(tree, set(tree.main)))
    marks: list[Mark] = []
    for before, node in zip(tree.main, tree.main[1:], strict=False):
        z = tree.point[tree.gradient[node]]
        if z != before:
            # Bowed upwards where both ends lie on the main branch.
            end = depth[before] + 0.5
            bow = 0.12 * (end - depth[z]) if lane[z] == 0 else 0.0
            x, y = [depth[z], (depth[z] + end) / 2, end], [-lane[z], -lane[z] / 2 + bow, 0.0]
            marks.append(Line(x, y, width=0.7, colour=LIGHT, label="where a gradient was used"))
    of_main = np.isin(np.arange(len(tree.base)), tree.main)
    base = np.array(tree.base)
    for nodes, width, colour, label in (
        (np.flatnonzero(~of_main), 1.2, SYSTEMS[1], "side branches"),
        (np.flatnonzero(of_main), 1.8, MODEL, "main branch"),
    ):
        ends = nodes[base[nodes] >= 0]
        starts = base[ends]
        pieces = depth[starts], -lane[starts], depth[ends], -lane[ends]
        marks.append(Segments(*pieces, width=width, colour=colour, label=label))
        marks.append(Points(depth[nodes], -lane[nodes], size=3, colour=colour, label=label))
    return marks


def _places(tree: Tree, main: set[int]) -> tuple[list[int], list[int]]:
    """Return each node's edges from the root, and its lane: 0 of the main branch."""
    depth = [0]
    first_child: dict[int, int] = {}
    for node in range(1, len(tree.base)):
        base = tree.base[node]
        depth.append(depth[base] + 1)
        if node not in main and base not in main:
            first_child.setdefault(base, node)
    lane, taken_until = [0], dict[int, int]()
    for node in range(1, len(tree.base)):
        base = tree.base[node]
        if node in main:
            lane.append(0)
        elif first_child.get(base) == node:
            lane.append(lane[base])
        else:
            # A new side branch: the highest lane that is free from where it leaves to its end.
            free, end = 1, node
            while end in first_child:
                end = first_child[end]
            while taken_until.get(free, -1) >= depth[base]:
                free += 1
            lane.append(free)
            taken_until[free] = depth[end]
    return depth, lane


def draw_regime(result: xr.Dataset, regime: str) -> Sheet:
    """Return the first seed's loss over simulated time of every method, by task and workers."""
    part = result.sel(regime=regime).isel(seed=0)
    tasks, counts = part["task"].values, part["workers"].values
    names = [str(name) for name in part["algorithm"].values]
    panels = []
    for task, target in zip(tasks, result.attrs["targets"], strict=True):
        for count in counts:
            cell = part.sel(task=task, workers=count)
            marks: list[Mark] = []
            for place, name in enumerate(names):
                curve = cell.sel(algorithm=name)
                x, y = curve["curve_time"].values, curve["curve_loss"].values
                marks.append(Line(x, y, _dash(place), 1.3, **_look(place, name)))
            marks.append(Reference(target, dash="dash", width=1, colour=TRUTH))
            first = count == counts[0]
            panels.append(
                Panel(
                    Axis("simulated time", "log"),
                    Axis("loss above infimum" if first else "", "log"),
                    marks,
                    title=f"{task}, {count} workers",
                )
            )
    title = f"Loss over simulated time: {readable(regime)}"
    size = 4.6 * len(counts), 3.6 * len(tasks) + 1.2
    return Sheet(title, *size, Grid(panels, len(counts), legend=5))


def _dash(place: int) -> Dash:
    return _DASHES[place // len(SYSTEMS)]


def _look(place: int, name: str) -> Look:
    return {"label": METHODS[name].title, "colour": SYSTEMS[place % len(SYSTEMS)]}


def draw_variation(result: xr.Dataset) -> Sheet:
    """Return each method's time over the fastest's, by the variation of gradient times."""
    variations = {**SWEPT, "classical": VARIATION}
    ordered = sorted(variations, key=lambda regime: variations[regime])
    places = np.array([variations[regime] for regime in ordered])
    relative = ratios(result).sel(regime=ordered)
    marks: list[Mark] = []
    for place, name in enumerate(relative["algorithm"].values):
        values = relative.sel(algorithm=name).transpose("seed", "regime").values
        look = _look(place, str(name))
        marks.append(Line(places, values.mean(axis=0), _dash(place), **look))
        x = np.broadcast_to(places, values.shape)
        marks.append(Points(x.ravel(), values.ravel(), size=1.5, legend=False, **look))
    panel = Panel(
        Axis("coefficient of variation of gradient times"),
        Axis("time to the target over the fastest", "log"),
        marks,
        legend=Legend(size=9),
    )
    return Sheet("Equal workers, messages that take no time", 6.4, 4.2, Grid([panel]))
