"""Pictures of a design: the criterion over the numbers, the chosen places, the standard errors."""

from __future__ import annotations

import numpy as np

from popinv.charts.description import (
    Axis,
    Cloud,
    Grid,
    Legend,
    Line,
    Look,
    Mark,
    Marker,
    Panel,
    Points,
    Sheet,
)
from popinv.charts.style import DATA, LIGHT, MODEL, SYSTEMS, axis_label
from popinv.late import torch
from popinv.planning.design import BestDesigns, DesignRow
from popinv.planning.information import systems_of_law
from popinv.population.known import inputs
from popinv.population.model import Model

# Numbers of systems, relative to a row's, over which a curve is drawn.
_FACTORS = np.geomspace(0.25, 4.0, 9)
# Systems whose observations are drawn behind the chosen places, and most curves of the criterion.
_SYSTEMS, _CURVES = 40, 6


def design_figures(design: BestDesigns, model: Model) -> dict[str, Sheet]:
    """Return the figures by name: ``criterion``, ``places``, and ``errors`` of the parameters."""
    found = {"criterion": draw_criterion(design), "places": draw_places(design, model)}
    if design.criterion.name != "systems":
        found["errors"] = draw_errors(design)
    return found


def draw_criterion(design: BestDesigns) -> Sheet:
    """Return the typical standard error over numbers of systems and places.

    A curve has the places of its design, and any number of systems in the same shares.
    """
    if design.criterion.name == "systems":
        rows = sorted(design.rows, key=lambda row: row.sensors)
        marks: list[Mark] = [
            Line(
                [row.sensors for row in rows],
                [float(np.exp(row.value)) for row in rows],
                marker="circle",
                label="chosen places",
                colour=MODEL,
            ),
            Points(
                [design.regular.sensors],
                [float(np.exp(design.regular.value))],
                "square",
                8,
                label="regular places",
                colour=LIGHT,
            ),
        ]
        panel = Panel(
            Axis("observations of a system", whole=True),
            Axis("share of the standard deviation that is left"),
            marks,
            legend=Legend("best"),
        )
        return Sheet("Parameters of single systems", 6.4, 4.2, Grid([panel]))
    marks = []
    sizes = sorted({(row.sensors, row.replicates) for row in design.rows})
    shown = [sizes[i] for i in np.unique(np.linspace(0, len(sizes) - 1, _CURVES).astype(int))]
    several = any(row.replicates > 1 for row in design.rows)
    for number, (sensors, replicates) in enumerate(shown):
        rows = [r for r in design.rows if (r.sensors, r.replicates) == (sensors, replicates)]
        rows.sort(key=lambda row: row.systems)
        label = f"{sensors} observations" + (f", {replicates} times" if several else "")
        look: Look = {"label": label, "colour": SYSTEMS[number % len(SYSTEMS)]}
        n, value = _curve(design, rows)
        marks.append(Line(n, value, **look))
        marks.append(
            Points(
                [row.systems for row in rows],
                [float(np.exp(row.value)) for row in rows],
                legend=False,
                **look,
            )
        )
    n, value = _curve(design, [design.regular])
    marks.append(Line(n, value, "dash", label=f"{design.regular.sensors} regular", colour=LIGHT))
    marks.append(
        Points(
            [design.chosen.systems],
            [float(np.exp(design.chosen.value))],
            "diamond",
            9,
            label="chosen",
            colour=DATA,
        )
    )
    panel = Panel(
        Axis("systems", "log", minor=False),
        Axis("typical standard error", "log"),
        marks,
        legend=Legend("best"),
    )
    return Sheet("What a design tells", 6.8, 4.6, Grid([panel]))


def _curve(design: BestDesigns, rows: list[DesignRow]) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers of systems, and the criterion there with the design of the nearest row."""
    low, high = rows[0].systems * _FACTORS[0], rows[-1].systems * _FACTORS[-1]
    n = np.geomspace(max(1.0, low), high, 30)
    values = []
    for count in n:
        nearest = min(rows, key=lambda row: abs(np.log(row.systems / count)))
        values.append(design.value_of(nearest, count))
    return n, np.exp(values)


def draw_places(design: BestDesigns, model: Model) -> Sheet:
    """Return the chosen places among the candidates, with observations of some systems."""
    experiment = design.experiment
    described = model.forward.observed(experiment.problem.seed)
    coordinates, names = described.coordinates, tuple(described.coordinate_names)
    panels = []
    plane = len(names) == 2 and names[-1] != "t"
    for group in design.chosen.groups:
        arm = experiment.arms[group.arm].name
        title = f"{group.systems} systems" + (f", {arm}" if arm else "")
        chosen = list(group.places)
        if plane:
            panels.append(_plane(coordinates, chosen, names, title))
            continue
        x = coordinates[:, -1]
        if len(np.unique(x)) < len(x):
            x = np.arange(len(x), dtype=float)
            label = "number of the candidate"
        else:
            label = axis_label(_axis(names[-1]), described.coordinate_units)
        y = _signals(design, group.arm)
        marks: list[Mark] = [
            Line(x, row, width=0.8, colour=LIGHT, alpha=0.5, label="systems", legend=i == 0)
            for i, row in enumerate(y)
        ]
        low, high = float(np.nanmin(y)), float(np.nanmax(y))
        marks.append(
            Points(
                x[chosen],
                np.full(len(chosen), low - 0.06 * (high - low)),
                "triangle-up",
                9,
                label="chosen",
                colour=MODEL,
            )
        )
        quantity = described.long_name or described.name
        panels.append(Panel(Axis(label), Axis(axis_label(quantity, described.units)), marks, title))
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    return Sheet(
        "Where to observe",
        6.4 if columns == 1 else 4.2 * columns,
        0.9 + 3.4 * rows,
        Grid(panels, columns, legend=2),
    )


def _axis(name: str) -> str:
    return {"t": "time"}.get(name, name)


def _plane(coordinates: np.ndarray, chosen: list[int], names: tuple[str, ...], title: str) -> Panel:
    marks: list[Mark] = [
        Cloud(coordinates[:, 0], coordinates[:, 1], size=4, label="candidates", colour=LIGHT),
        Points(
            coordinates[chosen, 0], coordinates[chosen, 1], size=9, label="chosen", colour=MODEL
        ),
    ]
    return Panel(Axis(names[0]), Axis(names[1]), marks, title, equal=True)


def _signals(design: BestDesigns, arm: int) -> np.ndarray:
    """Return the noise-free observations of some systems at all candidates."""
    problem = design.experiment.of_arm(arm)
    omega = systems_of_law(problem, _SYSTEMS, "design/picture")
    alpha, _ = problem.tensors(design.experiment.p)
    with torch.no_grad():
        z = inputs(problem.law, alpha, omega, problem.known.in_turns(len(omega)))
        found: np.ndarray = problem.simulate(z).numpy()
    return found


def draw_errors(design: BestDesigns) -> Sheet:
    """Return the standard errors of all parameters, of the chosen and of the regular design."""
    names = design.experiment.names
    regular = design.regular.errors
    if design.checked.regular is not None:
        regular = design.checked.regular
    free = np.flatnonzero(design.criterion.free)
    scale = design.criterion.scale
    y = np.arange(len(free), dtype=float)
    marks: list[Mark] = []
    drawn: tuple[tuple[float, np.ndarray, str, str, Marker], ...] = (
        (0.12, design.errors, "chosen", MODEL, "circle"),
        (-0.12, regular, "regular", LIGHT, "square"),
    )
    for shift, errors, label, colour, marker in drawn:
        relative = errors[free] / scale[free]
        seen = np.isfinite(relative)
        marks.append(Points(relative[seen], y[seen] + shift, marker, 7, label=label, colour=colour))
    panel = Panel(
        Axis("standard error (of means: in standard deviations of the population)", "log"),
        Axis(places=y, names=[names[i] for i in free]),
        marks,
        legend=Legend("best"),
    )
    return Sheet("How well each parameter is known", 7.2, 1.4 + 0.36 * len(free), Grid([panel]))
