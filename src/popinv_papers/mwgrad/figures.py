"""Figures of particles that serve several objectives, of groups of systems, and of ensembles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from popinv.charts.description import (
    Axis,
    Bars,
    Cloud,
    Contours,
    Grid,
    HeatMap,
    Legend,
    Line,
    Look,
    Mark,
    Marker,
    Note,
    Panel,
    Points,
    Sheet,
)
from popinv.charts.style import DATA, LIGHT, MODEL, SYSTEMS, TRUTH, readable
from popinv_papers.kit.claims import measured
from popinv_papers.mwgrad.ensemble_problem import LOGS, accuracies
from popinv_papers.mwgrad.ensemble_runs import METHODS, EnsembleTraining
from popinv_papers.mwgrad.velocities import NormalMixture


def draw_particles(result: xr.Dataset, targets: Sequence[NormalMixture]) -> Sheet:
    """Return the last particles of every run over the targets' level lines."""
    line = np.linspace(-7, 7, 81)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    lines: list[Mark] = [
        Contours(
            line,
            line,
            np.exp(target.log_density(grid)).reshape(len(line), -1),
            3,
            width=0.8,
            colour=colour,
            alpha=0.7,
            label="contour",
        )
        for target, colour in zip(targets, SYSTEMS, strict=False)
    ]
    panels = [
        Panel(
            Axis(limits=(-7, 7)),
            Axis(limits=(-7, 7)),
            [*lines, Points(particles[:, 0], particles[:, 1], size=3.5, label="particles")],
            title=readable(str(name)),
            equal=True,
        )
        for name, particles in zip(result["run"].values, result["particles"].values, strict=True)
    ]
    rows = -(-len(panels) // 3)
    body = Grid(panels, 3, share_x=True, share_y=True)
    return Sheet("Particles that serve four mixtures", 9.5, 3.1 * rows, body)


def draw_accelerated(result: xr.Dataset) -> Sheet:
    """Return plain and accelerated descents, each at its own best rate, for all seeds."""
    panels: list[Panel] = []
    for case, title, y in (
        ("ill_conditioned", "normal targets of condition number 100", Axis("gap, nats", "log")),
        ("mixtures", "four mixtures", Axis("mean of −log p, nats")),
    ):
        marks: list[Mark] = []
        for moves, colour in (("plain", LIGHT), ("accelerated", MODEL)):
            curves = result[f"curve_{case}"].sel(moves=moves).values
            steps = np.arange(1, curves.shape[1] + 1)
            marks += [Line(steps, c, width=1, colour=colour, label=moves) for c in curves]
        legend = None if panels else Legend()
        panels.append(Panel(Axis("steps"), y, marks, title=title, legend=legend))
    title = "Plain and accelerated descent, each at its best rate"
    return Sheet(title, 9, 4.2, Grid(panels, 2))


def draw_group(result: xr.Dataset) -> Sheet:
    """Return the particles of a group and of its systems alone, and the cost to each system.

    The plane has the two parameters in which the systems differ most, in units of their
    own spread.
    """
    z_alone = result["z_alone"].values
    spread = z_alone.std(axis=1).mean(axis=0)
    apart = z_alone.mean(axis=1).std(axis=0)
    # A parameter that all systems share has no spread but rounding.
    varies = spread > 1e-12 * np.maximum(np.abs(z_alone).max(axis=(0, 1)), 1e-300)
    order = np.argsort(-np.where(varies, apart / np.where(varies, spread, 1), -1.0))[:2]
    names = [readable(str(result["parameter"].values[index])) for index in order]
    systems = [str(number) for number in result["group"].values]
    place = np.arange(len(systems))

    def plane(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return z[:, order[0]], z[:, order[1]] if len(order) > 1 else np.zeros(len(z))

    dots: list[Mark] = []
    costs: list[Mark] = []
    numbers: list[Mark] = []
    for index, number in enumerate(systems):
        colour = SYSTEMS[index % len(SYSTEMS)]
        x, y = plane(z_alone[index])
        told: dict[str, Any] = {"label": f"system {number} alone", "legend": False}
        dots.append(Cloud(x, y, size=3, alpha=0.35, colour=colour, **told))
        middle = float(x.mean()), float(y.mean())
        numbers.append(Note(number, *middle, bold=True, framed=False, shift=(0, 0), colour=colour))
    rules = {"minnorm": (DATA, "weights of least norm"), "fixed": (LIGHT, "equal weights")}
    for index, rule in enumerate(result["rule"].values):
        colour, label = rules[str(rule)]
        together = plane(result["z"].values[index])
        dots.append(Points(*together, size=3, colour=colour, label=label))
        regret = result["regret"].values[index]
        at = place + 0.4 * index - 0.2
        costs.append(Bars(at, 0 * regret, regret, 0.38, colour=colour, label=label))
    left = Panel(
        Axis(names[0]),
        Axis(names[1] if len(names) > 1 else ""),
        [*dots, *numbers],
        title="particles, and of each system alone",
    )
    of_each = Axis("system", places=place, names=systems)
    right = Panel(of_each, Axis("rise of −log p"), costs, title="cost to each system")
    grid = Grid([left, right], 2, legend=3)
    return Sheet("One set of parameters for a group of systems", 10, 4.8, grid)


def draw_front(result: xr.Dataset) -> Sheet:
    """Return the front of the two systems farthest apart, and where descents of the group end."""
    group = result["group"].values.tolist()
    two = [group.index(number) for number in result["front_system"].values.tolist()]
    rules = dict(zip(result["rule"].values.tolist(), result["regret"].values, strict=True))
    ends: dict[str, tuple[np.ndarray, str, Marker]] = {
        "equal weights": (rules["fixed"][None], DATA, "square"),
        "least norm": (rules["minnorm"][None], MODEL, "circle"),
        "least norm, other starts": (result["regret_from"].values, SYSTEMS[1], "circle"),
    }
    place = np.arange(len(group))
    x, y = result["front"].values.T
    plane: list[Mark] = [Line(x, y, colour=LIGHT, label="front of these two alone")]
    costs: list[Mark] = []
    for label, (regrets, colour, marker) in ends.items():
        look: Look = {"label": label, "colour": colour}
        x, y = regrets[:, two].T
        plane.append(Points(x, y, marker, **look))
        costs += [Line(place, each, width=1, marker=marker, **look) for each in regrets]
    axes = [Axis(f"regret of system {group[index]}") for index in two]
    left = Panel(axes[0], axes[1], plane, title="two systems")
    of_each = Axis("system", places=place, names=[str(number) for number in group])
    right = Panel(of_each, Axis("regret, rise of −log p"), costs, title="all systems")
    return Sheet("Trade-offs in the group", 10, 4.6, Grid([left, right], 2, legend=4))


# Methods of this name are MWGraD's.
_OURS = ("svgd", "gfsd", "neural")


def _kinds(trained: Mapping[EnsembleTraining, xr.Dataset]) -> list[str]:
    return list(dict.fromkeys(run.kind for run in trained))


def draw_examples(trained: Mapping[EnsembleTraining, xr.Dataset]) -> Sheet:
    """Return some test images of each kind with both labels."""
    kinds = _kinds(trained)
    panels = []
    for kind in kinds:
        result = next(one for run, one in trained.items() if run.kind == kind)
        for number, (image, labels) in enumerate(
            zip(result["example"].values, result["example_label"].values, strict=True)
        ):
            rows, columns = image.shape
            extent = (-0.5, columns - 0.5, rows - 0.5, -0.5)
            y = Axis("" if number else readable(kind), places=[])
            picture = HeatMap(image, extent, 0, 1, colours="grey")
            panels.append(Panel(Axis(places=[]), y, [picture], "{}, {}".format(*labels)))
    columns = len(panels) // len(kinds)
    size = 1.5 * columns, 1.9 * len(kinds) + 0.5
    return Sheet("Pairs of overlapping images", *size, Grid(panels, columns))


def draw_accuracies(trained: Mapping[EnsembleTraining, xr.Dataset]) -> Sheet:
    """Return the accuracies of all methods on unseen pairs, with 95 % intervals over seeds."""
    panels: list[Panel] = []
    names = [readable(name) for name in METHODS]
    x = Axis(places=range(len(names)), names=names, slanted=True)
    for kind in _kinds(trained):
        marks: list[Mark] = []
        for colour, label, chosen in (
            (MODEL, "MWGraD", [name in _OURS for name in METHODS]),
            (LIGHT, "others", [name not in _OURS for name in METHODS]),
        ):
            place = np.flatnonzero(chosen)
            found = [measured(accuracies(trained, kind, "own", METHODS[k])[:, -1]) for k in place]
            mean, low, high = ([getattr(one, n) for one in found] for n in ("mean", "low", "high"))
            look: Look = {"label": label, "colour": colour}
            marks.append(Points(place, mean, low=low, high=high, bar=1.6, **look))
        panels.append(Panel(x, Axis("" if panels else "accuracy, %"), marks, readable(kind)))
    title = "Accuracy on unseen pairs, mean of both tasks"
    return Sheet(title, 4 * len(panels) + 1, 4.4, Grid(panels, len(panels)))


def draw_logs(trained: Mapping[EnsembleTraining, xr.Dataset]) -> Sheet:
    """Return the accuracies by epoch of the authors' update on both splits, beside their logs."""
    pairs = [
        (kind, method)
        for kind in _kinds(trained)
        for method in LOGS[kind]
        if accuracies(trained, kind, "authors_on_test", method).size
    ]
    looks = {
        ("authors_on_test", "trained"): (DATA, "trained on the scored pairs, as their script"),
        ("authors_on_test", "unseen"): (LIGHT, "the same, scored on others"),
        ("authors", "unseen"): (MODEL, "training split, scored on test pairs"),
    }
    panels: list[Panel] = []
    for kind, method in pairs:
        marks: list[Mark] = []
        for (recipe, part), (colour, label) in looks.items():
            curves = accuracies(trained, kind, recipe, method, part)
            if not curves.size:
                continue
            epochs = np.arange(1, curves.shape[1] + 1)
            for curve in curves:
                look: Look = {"label": label, "colour": colour}
                marks.append(Line(epochs, curve, width=1, marker="circle", size=3, **look))
        log = {epoch + 1: value for epoch, value in LOGS[kind][method].items()}
        told = [epoch for epoch in log if epoch <= max(epochs[-1], 3)]
        theirs: Look = {"label": "the authors' log", "colour": TRUTH}
        marks.append(Line(told, [log[epoch] for epoch in told], "dash", marker="x", **theirs))
        title = f"{readable(kind)}, {readable(method)}"
        y = Axis("" if panels else "accuracy, %")
        panels.append(Panel(Axis("epochs of 20,000 pairs"), y, marks, title=title))
    grid = Grid(panels, max(1, len(panels)), legend=2)
    return Sheet("The authors' update and their logs", 4 * len(panels) + 1, 4.2, grid)
