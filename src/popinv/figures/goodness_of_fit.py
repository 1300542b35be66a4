"""Goodness of fit: individual fits, observed against predicted, residuals, and covariates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from popinv.charts.description import (
    Axis,
    Cloud,
    Dash,
    Grid,
    Line,
    Look,
    Mark,
    Marker,
    Note,
    Panel,
    Parts,
    Points,
    Reference,
    Sheet,
    labelled_outside,
)
from popinv.charts.style import DATA, INK, LIGHT, MODEL, axis_label, evenly, readable
from popinv.figures.arrangement import (
    NUMBER,
    Arrangement,
    ObservedCurve,
    arrangement,
    each_replicate,
)
from popinv.figures.individuals import Individuals, individuals
from popinv.figures.observations import spread_of
from popinv.inference.density.problem import Problem
from popinv.seeds import generator

# Curves of one system that are drawn together, each with a mark of its own.
_MARKERS: tuple[Marker, ...] = ("circle", "square", "diamond")
# Observations that are drawn as dots, bins of the mean of all residuals, and the fewest in a bin.
DOTS, _BINS, _LEAST = 600, 15, 12
# Parameters and known quantities that are drawn against each other.
_PARAMETERS, _KNOWN = 4, 6
# Labels along an axis.
_LABELS = 6
# Share of a panel that inputs over time take.
_INPUTS = 0.25
# Largest size of a dot of a map, and sizes of dots that fill a panel side by side.
_DOT, _PANEL = 8.0, 45.0
# Share of the range of the data that axes leave free on each side.
_MARGIN, _ABOUT_DOTS = 0.05, 0.15
SHOWN, COLUMNS = 9, 3
"""Systems with the best and with the worst fits that are shown, and columns of their panels."""


@dataclass(frozen=True)
class Goodness:
    """The systems of a study, with the layout and the names of their observations.

    Attributes
    ----------
    systems : Individuals
    layout : Arrangement
        Layout of the observations of one replicate.
    quantity : str
        Label of observations.
    seed : int
        For the random choice of the drawn observations, where there are many.
    """

    systems: Individuals
    layout: Arrangement
    quantity: str
    seed: int

    @classmethod
    def of(
        cls, systems: Individuals, layout: Arrangement, about: Mapping[str, str], seed: int
    ) -> Goodness:
        """Return the systems; quantities of different sizes are standardised.

        Parameters
        ----------
        about : mapping
            ``long_name`` and ``units`` of the observations.
        """
        name = about["long_name"]
        if layout.shared_scale:
            return cls(systems, layout, axis_label(name, about["units"]), seed)
        y = systems.observed.reshape(-1, systems.observed.shape[2])
        seen = np.isfinite(y).any(axis=0)
        mean, spread = np.zeros(y.shape[1]), np.ones(y.shape[1])
        mean[seen], spread[seen] = np.nanmean(y[:, seen], axis=0), spread_of(y[:, seen])
        return cls(systems.scaled(mean, spread), layout, f"{name}, standardised", seed)

    @property
    def curves(self) -> list[str]:
        """The titles of the curves of a system that are drawn."""
        return [self.layout.panels[i].title for i in self._curves]

    @property
    def _curves(self) -> np.ndarray:
        return evenly(len(self.layout.panels), len(_MARKERS))

    @property
    def places(self) -> np.ndarray:
        """Place, time or number of each observation, (d,)."""
        x = np.empty(self.systems.population.shape[1])
        for panel in self.layout.panels:
            x[panel.rows] = panel.x
        return x

    def fits(self, chosen: np.ndarray) -> list[Panel]:
        """Return a panel for each of some systems, in rows of :data:`COLUMNS`.

        All have the same axes, whose numbers the outer ones alone have. Observations with places in
        the plane are drawn at these.
        """
        if self.layout.map is not None:
            return self._maps(chosen, self.layout.map)
        panels = [self._fit(i) for i in chosen]
        y = [v for i in chosen for v in self._values(i)]
        x = np.concatenate([self.layout.panels[c].x for c in self._curves])
        across = Axis(self.layout.x_label, limits=_limits(x), ticks=3)
        if self.layout.names and len(self.layout.names) <= 6:
            across = replace(across, places=x, names=self.layout.names, slanted=True)
        upwards = Axis(self.quantity, limits=_limits(y), ticks=4)
        for i, panel in enumerate(panels):
            marks = [*self._inputs(chosen[i], upwards), *panel.marks]
            whole = replace(panel, marks=marks, x=across, y=upwards)
            panels[i] = labelled_outside(whole, i, len(panels), COLUMNS)
        return panels

    def _maps(self, chosen: np.ndarray, places: np.ndarray) -> list[Panel]:
        """Return a map of each system: a dot of its observation on one of its prediction.

        Of replicates, the mean is drawn. Where the fit is good, both have about the same colour.
        """
        given, (x, y) = self.systems, places.T
        y_of, counts = given.observed[chosen], np.isfinite(given.observed[chosen]).sum(axis=1)
        means = np.where(counts > 0, np.nansum(y_of, axis=1) / np.maximum(counts, 1), np.nan)
        both = np.stack([given.individual[chosen], means])
        ends = float(np.nanmin(both)), float(np.nanmax(both))
        # Of many sensors, dots must not hide each other.
        size = min(_DOT, _PANEL / np.sqrt(len(places)))
        across, up = self.layout.map_labels
        panels = []
        for number, i in enumerate(chosen):
            seen = np.flatnonzero(counts[number] > 0)
            marks = [
                Cloud(
                    x[seen],
                    y[seen],
                    size=share * size,
                    values=each[seen],
                    least=ends[0],
                    largest=ends[1],
                    edge=edge,
                    label=label,
                    legend=False,
                )
                for each, share, edge, label in (
                    (both[0, number], 1.0, None, "individual prediction"),
                    (both[1, number], 0.5, LIGHT, "observed"),
                )
            ]
            panel = Panel(
                Axis(across, limits=_limits(x, _ABOUT_DOTS), ticks=3),
                Axis(up, limits=_limits(y, _ABOUT_DOTS), ticks=4),
                marks,
                given.names[i],
            )
            panels.append(labelled_outside(panel, number, len(chosen), COLUMNS))
        return panels

    def _inputs(self, i: int, upwards: Axis) -> list[Mark]:
        """Return the inputs over time of a system, as bars at the lower end of its panel.

        Of several quantities the first is drawn, up to a quarter of the panel.
        """
        if not (self.systems.timed and self.layout.over_time):
            return []
        (_, times), (name, values), *_ = self.systems.timed.items()
        low, high = upwards.limits
        largest = float(np.nanmax(np.abs(values), initial=0.0))
        seen = np.isfinite(values[i])
        if low is None or high is None or not largest or not seen.any():
            return []
        base = np.full(int(seen.sum()), low)
        tops = base + _INPUTS * (high - low) * np.abs(values[i][seen]) / largest
        label = f"{readable(name)}, at most {largest:.3g}"
        look = Look(label=label, colour=INK)
        return [Points(times[i][seen], tops, size=0.5, low=base, high=tops, bar=1.2, **look)]

    def _values(self, i: int) -> list[np.ndarray]:
        rows = np.concatenate([self.layout.panels[c].rows for c in self._curves])
        given = self.systems
        return [given.observed[i][:, rows], given.individual[i, rows], given.population[i, rows]]

    def _fit(self, i: int) -> Panel:
        given, marks = self.systems, list[Mark]()
        for curve, marker in zip(self._curves, _MARKERS, strict=False):
            panel, first = self.layout.panels[curve], marker == _MARKERS[0]
            predictions: tuple[tuple[np.ndarray, str, Dash, str], ...] = (
                (given.population[i], LIGHT, "dash", "population prediction"),
                (given.individual[i], MODEL, "solid", "individual prediction"),
            )
            for values, colour, dash, label in predictions:
                y, look = values[panel.rows], Look(label=label, colour=colour)
                if self.layout.names:
                    marks.append(Points(panel.x, y, "level", 8, legend=first, **look))
                else:
                    marks.append(Line(panel.x, y, dash, 1.4, legend=first, **look))
            marks += self._observed(i, panel, marker, first)
        return Panel(Axis(), Axis(), marks, given.names[i])

    def _observed(self, i: int, curve: ObservedCurve, marker: Marker, legend: bool) -> list[Mark]:
        """Return the observations of a system on a curve; those that are limits are hollow."""
        observed, marks = self.systems.observed[i], list[Mark]()
        for held, name in ((False, "observed"), (True, "observed, a limit")):
            at = (self.systems.censored[i] == held) & np.isfinite(observed)
            replicate, entry = np.nonzero(at[:, curve.rows])
            if len(entry):
                y, look = observed[replicate, curve.rows[entry]], Look(label=name, colour=DATA)
                x = curve.x[entry]
                marks.append(Points(x, y, marker, 4, filled=not held, legend=legend, **look))
        return marks

    def against_predicted(self) -> list[Panel]:
        """Return observations against population predictions, and against individual ones."""
        y = self.systems.resolved
        both = [np.broadcast_to(p[:, None], y.shape) for p in self._predictions]
        ends = _limits([y, *both])
        marks = [Line(ends, ends, "dash", 1.2, colour=INK, label="observed = predicted")]
        return [
            Panel(
                Axis(f"{kind} prediction", limits=ends, ticks=4),
                Axis(self.quantity, limits=ends, ticks=4, labels=kind == "population"),
                [self._dots(predicted, y), *marks],
                kind,
            )
            for kind, predicted in zip(("population", "individual"), both, strict=True)
        ]

    @property
    def _predictions(self) -> tuple[np.ndarray, np.ndarray]:
        return self.systems.population, self.systems.individual

    def residuals(self) -> list[Panel]:
        """Return population residuals, then individual ones, against place and prediction.

        They are in standard deviations: of an observation about the population prediction under the
        model, and of the noise.
        """
        y, given = self.systems.resolved, self.systems
        deviations = given.spread, given.deviation
        every = [
            (y - p[:, None]) / d[:, None]
            for p, d in zip(self._predictions, deviations, strict=True)
        ]
        height = 1.1 * max(2.5, float(np.nanmax(np.abs(every), initial=0.0)))
        panels = []
        for row, (residual, predicted) in enumerate(zip(every, self._predictions, strict=True)):
            kind = ("population", "individual")[row]
            for column, at in enumerate((self.places[None, :], predicted)):
                x = np.broadcast_to(at[:, None], y.shape)
                label = (self.layout.x_label or NUMBER, "prediction")[column]
                upwards = Axis(f"{kind} residual", limits=(-height, height), ticks=5)
                marks = [
                    self._dots(x, residual),
                    Reference(0, width=1, colour=INK),
                    _mean(x, residual),
                ]
                panels.append(
                    Panel(
                        Axis(label, limits=_limits(x[np.isfinite(residual)]), ticks=4),
                        replace(upwards, labels=column == 0),
                        marks,
                    )
                )
        return panels

    def _dots(self, x: np.ndarray, y: np.ndarray) -> Cloud:
        seen = np.flatnonzero(np.isfinite(y) & np.isfinite(x))
        if len(seen) > DOTS:
            rng = generator(self.seed, "figures/dots")
            seen = np.sort(rng.choice(seen, DOTS, replace=False))
        return Cloud(x.ravel()[seen], y.ravel()[seen], colour=MODEL, alpha=0.5, label="observation")

    @property
    def against_known(self) -> tuple[list[str], list[str]]:
        """The parameters and the known quantities that are drawn against each other."""
        parameters = self.systems.parameters

        def variation(name: str) -> float:
            values = parameters[name]
            return float(-np.std(values) / max(np.abs(values).max(), 1e-300))

        varied = [name for name in parameters if np.ptp(parameters[name]) > 0]
        most = sorted(varied, key=variation)[:_PARAMETERS]
        return [name for name in varied if name in most], list(self.systems.known)[:_KNOWN]

    def parameters_against_known(self) -> list[Panel]:
        """Return the individual parameters, a row each, against known quantities."""
        names, known = self.against_known
        given, panels = self.systems, list[Panel]()
        for name in names:
            values = given.parameters[name]
            label = axis_label(readable(name), given.units.get(name, "1"))
            for column, other in enumerate(known):
                x = given.known[other]
                some = np.flatnonzero(np.isfinite(x))
                some = some[evenly(len(some), DOTS)]
                marks = [
                    Cloud(
                        x[some],
                        values[some],
                        size=3.5,
                        colour=MODEL,
                        alpha=0.7,
                        label="system",
                        legend=False,
                    )
                ]
                across = Axis(readable(other), limits=_limits(x), ticks=4, labels=name == names[-1])
                if labels := given.labels.get(other, []):
                    at = evenly(len(labels), _LABELS)
                    across = replace(across, places=at, names=[labels[i] for i in at], slanted=True)
                upwards = Axis(label, limits=_limits(values), ticks=4, labels=column == 0)
                panels.append(Panel(across, upwards, marks))
        return panels


def goodness_of_fit(problem: Problem, loaded: Mapping[str, xr.Dataset]) -> Goodness | None:
    """Return the fits of a study, or None if no posterior mode of a system can be found.

    :func:`popinv.figures.individuals.individuals` describes the arguments.
    """
    systems, observations = individuals(problem, loaded), loaded["observations"]
    if systems is None:
        return None
    layout = arrangement(each_replicate(observations))
    return Goodness.of(systems, layout, observations["y"].attrs, problem.seed)


def draw_individual_fits(fit: Goodness | None) -> Sheet:
    """Return the worst and the best individual fits side by side."""
    title = "Individual fits: the worst and the best"
    parts: list[Grid] = []
    if fit is not None:
        best, worst = fit.systems.ranked(SHOWN)
        named = (("the worst, the worst first", worst), ("the best, the best first", best))
        parts = [replace(fits_grid(fit, each), title=name) for name, each in named if len(each)]
    if not parts:
        told = Note("no posterior mode of a system can be found")
        return Sheet(title, 7, 4, Grid([Panel(Axis(), Axis(), [told])]))
    rows = max(-(-len(grid.panels) // grid.columns) for grid in parts)
    return Sheet(title, 7.2 * len(parts), 1.8 + 2.2 * rows, Parts(parts))


def fits_grid(fit: Goodness, chosen: np.ndarray) -> Grid:
    """Return the fits of some systems, with a legend and one label along each axis."""
    columns = min(COLUMNS, len(chosen))
    rows, panels = -(-len(chosen) // columns), list[Panel | None]()
    for i, panel in enumerate(fit.fits(chosen)):
        row, column = divmod(i, columns)
        across = panel.x.label if panel.x.labels and column == columns // 2 else ""
        upwards = panel.y.label if panel.y.labels and row == (rows - 1) // 2 else ""
        x, y = replace(panel.x, label=across), replace(panel.y, label=upwards)
        panels.append(replace(panel, x=x, y=y))
    if fit.layout.map is not None:
        return Grid(panels, columns, scale=f"{fit.quantity}: predicted, and within it observed")
    return Grid(panels, columns, legend=3)


def _mean(x: np.ndarray, y: np.ndarray) -> Line:
    """Return the mean of y in bins of x that hold equally many."""
    seen = np.isfinite(x) & np.isfinite(y)
    order = np.argsort(x[seen], kind="stable")
    groups = [
        part
        for part in np.array_split(order, min(_BINS, max(1, len(order) // _LEAST)))
        if len(part)
    ]
    at = [float(np.mean(x[seen][group])) for group in groups]
    mean = [float(np.mean(y[seen][group])) for group in groups]
    return Line(at, mean, width=1.8, colour=DATA, label="mean")


def _limits(values: np.ndarray | list[np.ndarray], margin: float = _MARGIN) -> tuple[float, float]:
    """Return ends that leave a margin about all finite values."""
    every = (
        np.concatenate([np.ravel(part) for part in values]) if isinstance(values, list) else values
    )
    every = every[np.isfinite(every)]
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
    pad = margin * (high - low) or 0.5
    return low - pad, high + pad
