"""Scaling laws of gradient and sign descent: collapse, the map of who wins, curves on text."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr

from popinv.charts.description import Axis, Grid, HeatMap, Legend, Line, Look, Mark, Panel, Sheet
from popinv.charts.style import CHECK, MODEL, ORACLE, TRUTH, shades

_COLOURS = {"gradient": MODEL, "sign": ORACLE, "adam": CHECK}


def draw_collapse(result: xr.Dataset) -> Sheet:
    """Return relative losses against scaled time for every exponent and size, with their limits."""
    exponents = np.unique(result["collapse_exponent"].values)
    sizes = np.unique(result["collapse_size"].values)
    greys = shades("grey", np.linspace(0.75, 0.1, len(sizes)))
    panels = []
    for row, method in enumerate(("gradient", "sign")):
        for exponent in exponents:
            chosen = (result["collapse_method"] == row) & (result["collapse_exponent"] == exponent)
            part = result.isel(collapse_point=np.flatnonzero(chosen.values))
            marks: list[Mark] = []
            for size, grey in zip(sizes, greys, strict=True):
                here = part.isel(collapse_point=part["collapse_size"].values == size)
                tau, loss = here["collapse_tau"].values, here["collapse_relative_loss"].values
                look: Look = {"label": f"{size:.0e} symbols", "colour": grey}
                marks.append(Line(tau, loss, width=1.2, marker="circle", size=3, **look))
            limit = here["collapse_limit"].values
            marks.append(Line(tau, limit, "dash", label="limit", colour=TRUTH))
            scale: Literal["log", "linear"] = "log" if tau.max() > 50 else "linear"
            first = exponent == exponents[0]
            panels.append(
                Panel(
                    Axis("scaled time", scale),
                    Axis("relative loss" if first else "", scale),
                    marks,
                    title=f"{method} descent, exponent {exponent:g}",
                )
            )
    grid = Grid(panels, len(exponents), share_y="row", legend=len(sizes) + 1)
    return Sheet("Relative loss in scaled time", 3.2 * len(exponents), 6.4, grid)


def draw_map(result: xr.Dataset) -> Sheet:
    """Return who wins, by how much: gradient over sign descent's steps, a panel per accuracy."""
    exponents = [f"{a:g}" for a in result["map_exponent"].values]
    sizes = [f"{d:.0e}".replace("e+0", "e") for d in result["map_size"].values.astype(float)]
    ratio = result["steps_gradient"] / np.maximum(1, result["steps_sign"])
    largest = float(np.abs(np.log10(ratio)).max())
    panels: list[Panel] = []
    for target in result["target"].values:
        values = ratio.sel(target=target).values
        rows, columns = values.shape
        cells = HeatMap(
            np.log10(values),
            (0, columns, 0, rows),
            -largest,
            largest,
            colours="diverging",
            texts=[[f"{v:.2g}" if v < 100 else f"{v:.0f}" for v in row] for row in values],
            square=False,
        )
        panels.append(
            Panel(
                Axis("symbols of the vocabulary", places=np.arange(columns) + 0.5, names=sizes),
                Axis(
                    "" if panels else "exponent of Zipf's law",
                    places=np.arange(rows) + 0.5,
                    names=exponents,
                ),
                [cells],
                title=f"to {target:g} of the loss",
            )
        )
    scale = "logarithm to base 10 (below 0: gradient descent wins)"
    grid = Grid(panels, len(panels), share_y=True, scale=scale)
    return Sheet("Steps of gradient descent over those of sign descent", 14, 6.4, grid)


def draw_curves(curves: xr.Dataset, title: str) -> Sheet:
    """Return measured and predicted curves, a panel for each vocabulary where there are several."""
    parts = (
        [(f"{v} tokens", curves.sel(vocabulary=v)) for v in curves["vocabulary"].values]
        if "vocabulary" in curves.dims
        else [("", curves)]
    )
    panels: list[Panel] = []
    for name, part in parts:
        panels.append(
            Panel(
                Axis("steps (sign descent and Adam: the horizon)", "log"),
                Axis("" if panels else "relative loss", "log", limits=(1e-4, 1.2)),
                _curves(part),
                title=name,
                legend=None if panels else Legend("lower left"),
            )
        )
    return Sheet(title, 4.6 * len(panels) + 1, 4.8, Grid(panels, len(panels), share_y=True))


def _curves(curves: xr.Dataset) -> list[Mark]:
    horizons = curves["horizon"].values
    marks: list[Mark] = []
    for name, label in (
        ("gradient", "gradient descent"),
        ("sign", "sign descent"),
        ("adam", "Adam"),
    ):
        look: Look = {"label": label, "colour": _COLOURS[name]}
        marks.append(Line(horizons, curves[name].values, marker="circle", size=4, **look))
    for name in ("gradient", "sign"):
        look = {"label": f"{name}, power law", "colour": _COLOURS[name]}
        marks.append(Line(horizons, curves[f"predicted_{name}"].values, "dash", 1.4, **look))
    return marks
