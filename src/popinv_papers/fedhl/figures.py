"""Federated adaptation: accuracies, losses over the rounds, and the errors of sites."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.charts.description import (
    Axis,
    Grid,
    Legend,
    Line,
    Look,
    Mark,
    Marker,
    Panel,
    Points,
    Reference,
    Sheet,
)
from popinv.charts.style import CHECK, DATA, LIGHT, MODEL, ORACLE, SYSTEMS, TRUTH, readable
from popinv_papers.fedhl.accuracies import gains
from popinv_papers.kit.claims import measured

_COLOURS = {
    "fedhl": MODEL,
    "fedhl_relative": SYSTEMS[4],
    "fedhl_q1": "#8C510A",
    "flexlora": CHECK,
    "flora": ORACLE,
    "hetlora": SYSTEMS[1],
    "uniform": DATA,
    "equal": DATA,
    "fedhl_at_client": ORACLE,
}


def draw_accuracy(result: xr.Dataset) -> Sheet:
    """Return the accuracy over the rounds, mean of the seeds, by problem and division."""
    problems, divisions = result["problem"].values, result["division"].values
    mean = result["accuracy"].mean("seed")
    panels: list[Panel | None] = []
    for problem in problems:
        for division in divisions:
            found = mean.sel(problem=problem, division=division).dropna("round", how="all")
            if not found.size:
                panels.append(None)
                continue
            panels.append(
                Panel(
                    Axis("round"),
                    Axis("accuracy" if division == divisions[0] else ""),
                    [_over_rounds(str(r), found.sel(rule=r).values) for r in found["rule"].values],
                    title=f"{problem}: {division}",
                    title_size=9,
                )
            )
    size = 3.2 * len(divisions), 0.4 + 2.8 * len(problems)
    return Sheet("Accuracy over the rounds", *size, Grid(panels, len(divisions), legend=5))


def _over_rounds(rule: str, values: np.ndarray) -> Line:
    return Line(np.arange(len(values)), values, label=readable(rule), colour=_COLOURS[rule])


def _beside(i: int, count: int, places: int) -> np.ndarray:
    """Return places beside the whole numbers for the i-th of several marks."""
    return np.arange(places) + (i - (count - 1) / 2) * 0.8 / count


def draw_gains(result: xr.Dataset) -> Sheet:
    """Return the gain of FedHL over the others, with its interval, by problem and division."""
    problems = result["problem"].values.tolist()
    others = [name for name in result["rule"].values.tolist() if name != "fedhl"]
    panels: list[Panel] = []
    for problem in problems:
        marks: list[Mark] = [Reference(0, upright=True, width=1, colour=LIGHT)]
        for i, other in enumerate(others):
            found = gains(result, problem, "fedhl", other)
            each = [measured(values) for values in found.values]
            mean, low, high = ([getattr(one, n) for one in each] for n in ("mean", "low", "high"))
            look: Look = {"label": readable(other), "colour": _COLOURS[other]}
            place = _beside(i, len(others), len(each))
            marks.append(
                Points(mean, place, size=4, low=low, high=high, across=True, bar=1.4, **look)
            )
        divisions = found["division"].values.tolist()
        last = len(divisions) - 0.5
        y = Axis(places=range(len(divisions)), names=divisions, limits=(last, -0.5), grid=False)
        panels.append(Panel(Axis("gain"), y, marks, title=problem))
    title = f"Gain in accuracy of {readable('fedhl')} over the others, with 95 % intervals"
    grid = Grid(panels, len(problems), share_x=True, legend=min(4, len(others)))
    return Sheet(title, 4.2 * len(problems), 4.8, grid)


def draw_losses(result: xr.Dataset) -> Sheet:
    """Return the regression's loss over the rounds, mean of the seeds, and the optimum."""
    result, cases = result[["loss", "optimum"]].mean("seed"), result["case"].values
    panels = []
    for number, case in enumerate(cases):
        marks: list[Mark] = []
        for rule in result["regression_rule"].values:
            losses = result["loss"].sel(case=case, regression_rule=rule).values
            marks.append(_over_rounds(str(rule), np.maximum(losses, 1e-4)))
        optimum = float(result["optimum"].sel(case=case))
        if optimum > 1e-4:
            marks.append(Reference(optimum, dash="dash", colour=TRUTH, label="optimum"))
        panels.append(
            Panel(
                Axis("round"),
                Axis("" if number else "loss", "log"),
                marks,
                title=readable(str(case)),
                legend=Legend() if number == 1 else None,
            )
        )
    title = "Linear regression: mean loss of the clients"
    return Sheet(title, 12, 4, Grid(panels, len(cases)))


_WAYS: dict[str, tuple[str, str, Marker]] = {
    "common": ("as it is", LIGHT, "level"),
    "alone": ("alone", SYSTEMS[1], "square"),
    "flexlora": ("FlexLoRA", CHECK, "triangle-up"),
    "fedhl": ("FedHL", MODEL, "circle"),
    "pooled": ("pooled", ORACLE, "diamond"),
}


def draw_sites(result: xr.Dataset) -> Sheet:
    """Return every site's error for each way to adapt the surrogate, a mark for each repeat."""
    sites = result["site"].values
    marks: list[Mark] = [
        Reference(between, upright=True, width=0.8, colour=LIGHT)
        for between in np.arange(len(sites) - 1) + 0.5
    ]
    for i, (way, (label, colour, marker)) in enumerate(_WAYS.items()):
        values = result["error"].sel(way=way).values
        x = np.broadcast_to(_beside(i, len(_WAYS), len(sites)), values.shape)
        look: Look = {"label": label, "colour": colour}
        marks.append(Points(x.ravel(), values.ravel(), marker, 6, alpha=0.8, **look))
    names = [
        f"site {site}\nrank {rank}" for site, rank in zip(sites, result["rank"].values, strict=True)
    ]
    panel = Panel(
        Axis(places=range(len(sites)), names=names, grid=False),
        Axis("error over the spread of the answers", limits=(0, None)),
        marks,
    )
    width = 3 + 1.6 * len(sites)
    return Sheet("Error of the surrogate at each site", width, 4.8, Grid([panel], legend=5))
