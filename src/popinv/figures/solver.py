"""Place and number of the solver calls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter

from popinv.charts.description import (
    Axis,
    Bars,
    Cloud,
    Contours,
    Frame,
    Grid,
    Line,
    Mark,
    Note,
    Panel,
    Points,
    Sheet,
)
from popinv.charts.style import CHECK, DATA, FAILURE, MODEL, ORACLE, evenly

_COLUMNS = 3
_MOST = 8
_BINS = 60
# Contours hold these shares of the population.
_SHARES = (0.9, 0.5)

_POPULATION = "50 and 90 % of the population estimated at the end of the round"

View = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Plane:
    """Two quantities of every system, in which solves are shown.

    Parameters
    ----------
    labels : (str, str)
    title : str
        The choice of the two quantities; empty if there are no others.
    solves : ndarray of shape (samples, 2)
        Quantities of the solved systems, in the order of the record.
    populations : tuple of ndarray of shape (m, 2)
        Quantities of systems drawn from the law estimated at the end of every round and, last, from
        the law of the answer.
    """

    labels: tuple[str, str]
    title: str
    solves: np.ndarray
    populations: tuple[np.ndarray, ...]


def draw_solver_calls(check: xr.Dataset, plane: Plane) -> Sheet:
    """Return the solves of each round, and the numbers of calls and failures.

    Parameters
    ----------
    check : Dataset
        ``round`` and ``reason`` by sample; ``solver_calls`` and ``solver_failures`` by round. The
        last round is the final check.
    """
    count = check.sizes["round_number"]
    # If not all rounds fit, some are chosen evenly, with the first and the last among them.
    shown = evenly(count, _MOST)
    panels = [*round_panels(check, plane, shown), _counts(check)]
    keys: list[Mark] = [
        Points([], [], size=4, colour=MODEL, label="solve"),
        Line([], [], width=1.3, colour=DATA, label=_POPULATION),
        Points([], [], "square", 9, filled=False, colour=ORACLE, label="view of the later rounds"),
    ]
    if np.any(check["reason"].values != 0):
        keys.insert(1, Points([], [], "x", colour=FAILURE, label="failed solve"))
    height = 1 + 3.1 * -(-len(panels) // _COLUMNS)
    grid = Grid(panels, _COLUMNS, legend=4, keys=keys)
    return Sheet(f"Where the solver was called{plane.title}", 11, height, grid)


def round_panels(check: xr.Dataset, plane: Plane, shown: np.ndarray) -> list[Panel]:
    """Return the solves of some rounds over the population estimated at the end of each."""
    last = check.sizes["round_number"] - 1
    of_round, failed = check["round"].values, check["reason"].values != 0
    # The first design is broad. The other rounds share a closer view, which is marked in the first.
    everyone = np.concatenate([plane.populations[number] for number in shown])
    broad = _limits(plane.solves, everyone)
    close = _limits(plane.solves[of_round > 0], everyone)
    panels = []
    for number in shown:
        here = of_round == number
        good, bad = (plane.solves[here & mask].T for mask in (~failed, failed))
        colour = CHECK if number == last else MODEL
        x, y, density, levels = _contour(plane.populations[number], close)
        marks: list[Mark] = [
            Cloud(good[0], good[1], colour=colour, alpha=0.35, label="solved"),
            Cloud(bad[0], bad[1], marker="x", size=5.3, colour=FAILURE, label="failed"),
            Contours(
                x,
                y,
                density,
                levels,
                colour=DATA,
                label="contour",
                legend="50 and 90 % of the population",
            ),
        ]
        if not here.any():
            marks.append(Note("no new solves:\nthe surrogate was good enough", y=0.1))
        if number == shown[0]:
            marks.append(Frame(*close, width=1.5, colour=ORACLE))
        name = "final check" if number == last else f"round {number}"
        view = broad if number == 0 else close
        across, up = (
            Axis(label, limits=ends) for label, ends in zip(plane.labels, view, strict=True)
        )
        title = f"{name.capitalize()}: {int(here.sum())} solves"
        panels.append(Panel(across, up, marks, title))
    return panels


def _limits(solves: np.ndarray, population: np.ndarray) -> View:
    # A few solves lie far out, and a common view would reduce all others to a dot.
    ends = [np.quantile(population, [0.005, 0.995], axis=0)]
    if len(solves):
        ends.append(np.nanquantile(solves, [0.005, 0.995], axis=0))
    low, high = np.min(ends, axis=(0, 1)), np.max(ends, axis=(0, 1))
    pad = np.where(high > low, 0.08 * (high - low), 0.5)
    return (low[0] - pad[0], high[0] + pad[0]), (low[1] - pad[1], high[1] + pad[1])


def _contour(
    population: np.ndarray, limits: View
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[float]]:
    """Return x, y, a smoothed density, and the levels that contain the population's shares."""
    density, x, y = np.histogram2d(
        population[:, 0], population[:, 1], bins=_BINS, range=np.array(limits)
    )
    # The smoothing also gives width to a population that lies on a line.
    density = gaussian_filter(density, 1.5)
    ranked = np.sort(density.ravel())[::-1]
    held = np.cumsum(ranked) / ranked.sum()
    levels = [float(ranked[np.searchsorted(held, share)]) for share in _SHARES]
    return (x[:-1] + x[1:]) / 2, (y[:-1] + y[1:]) / 2, density.T, levels


def _counts(check: xr.Dataset) -> Panel:
    calls, failures = check["solver_calls"].values, check["solver_failures"].values
    number = np.arange(len(calls))
    texts = [
        f"{call}" if not failure else f"{call}\n{failure} failed"
        for call, failure in zip(calls, failures, strict=True)
    ]
    colours = [MODEL] * (len(calls) - 1) + [CHECK]
    label = f"failed, {failures.sum()} in all"
    return Panel(
        Axis("round", places=number, names=[*map(str, number[:-1]), "check"], grid=False),
        Axis("solver calls", limits=(0, 1.25 * max(1, calls.max()))),
        [
            Bars(number, 0 * calls, calls, 0.7, colours=colours, texts=texts, alpha=0.75),
            Bars(number, 0 * failures, failures, 0.7, colour=FAILURE, label=label),
        ],
        f"{calls.sum()} calls, {failures.sum()} failed",
    )
