"""Charts for judging the answer: calibration, estimators, and the calls of the solver."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.charts.description import Axis, Band, Bars, Line, Mark, Panel, Points
from popinv.charts.page_chart import Chart
from popinv.charts.plotly_marks import DOTS
from popinv.charts.plotly_writer import page_figure, page_grid
from popinv.charts.style import DATA, LIGHT, MODEL, ORACLE, readable
from popinv.figures.calibration import GRID, Calibration, Uniformity
from popinv.figures.solver import Plane, round_panels
from popinv.figures.surrogate import predictions_panel
from popinv.inference.checks.surrogate_intervals import HeldOutSolves
from popinv.inference.uncertainty.surrogate_bias import AnswerShift
from popinv.judgement.measures import surrogate_statement
from popinv.report.formats import rounded


def calibration_chart(found: Calibration, fitted: bool = False) -> Chart:
    """Return the distribution of the transforms of single observations, and of whole systems.

    Parameters
    ----------
    fitted : bool
        Whether the answer has learned from these systems.
    """
    of = " The answer has learned from these systems." if fitted else ""
    both = ((found.observations, "observations"), (found.systems, "whole systems"))
    words = []
    for each, name in both:
        stays = "stays in" if each.inside else "leaves"
        words.append(f"the curve of {each.count} {name} {stays} its band")
    told = " and ".join(words)
    every = [v for each, _ in both for v in (each.difference, each.band.low, each.band.high)]
    end = 1.05 * float(np.abs(every).max())
    panels = [
        _uniformity(each, name, Axis("difference from uniform", limits=(-end, end), labels=not i))
        for i, (each, name) in enumerate(both)
    ]
    return Chart(
        "calibration",
        "Calibration",
        "Distribution of the probability integral transforms, minus the uniform one. A right model "
        f"keeps a whole curve in its band in 95 of 100 cases; {told}.{of}",
        f"Distribution functions of probability integral transforms minus the uniform one: {told}.",
        page_grid(panels, 2, 360, alike=True),
        wide=True,
    )


def _uniformity(found: Uniformity, title: str, upwards: Axis) -> Panel:
    return Panel(
        Axis("transform", limits=(0, 1), ticks=5),
        upwards,
        [
            Band(
                GRID,
                found.band.low,
                found.band.high,
                colour=LIGHT,
                alpha=0.2,
                label="95 % band of whole curves",
            ),
            Line(GRID, found.difference, colour=DATA, label="observed systems"),
        ],
        title,
    )


# Number of parameters with a row.
_ROWS = 12
_COLOURS = {"distance": DATA, "pseudo_likelihood": ORACLE, "likelihood": MODEL}
# Largest number of standard errors on the axis; the table of the chart's numbers has all.
_FURTHEST = 15.0
# Half width of a 95 % interval, in standard errors.
_WIDE = 1.96


def estimator_chart(population: xr.Dataset, left_out: np.ndarray | None = None) -> Chart | None:
    """Return the estimates of all estimators, each with its own 95 % interval.

    Differences are in standard errors of the answer, since parameters share no unit. A hollow mark
    is the answer before the correction for the surrogate's error.

    Parameters
    ----------
    population : Dataset
        ``estimates``, ``estimate_errors``, ``covariance``, ``bound`` and ``surrogate_shift``;
        ``estimator`` and ``through`` among its attributes.
    left_out : ndarray of bool, optional
        Parameters that are not shown, because they have no meaning of their own.

    Returns
    -------
    Chart or None
        None if only one estimator has an answer.
    """
    errors = np.sqrt(np.diag(population["covariance"].values))
    shown = errors > 0 if left_out is None else (errors > 0) & ~left_out
    rows = np.flatnonzero(shown)[:_ROWS]
    told = [str(n) for n in population["estimator"].values]
    answers = {
        name: population["estimates"].values[i][rows]
        for i, name in enumerate(told)
        if np.isfinite(population["estimates"].values[i][rows]).any()
    }
    if len(answers) < 2 or not len(rows):
        return None
    chosen, scale = str(population.attrs["estimator"]), errors[rows]
    names = [readable(str(population["estimated"].values[i])) for i in rows]
    places = np.arange(len(rows))
    bound = _WIDE * population["bound"].values[rows] / scale
    label = "the bound of the likelihood"
    marks: list[Mark] = [
        Bars(places, -bound, bound, across=True, colour=LIGHT, alpha=0.3, label=label)
    ]
    furthest = 0.0
    words = []
    for i, (name, values) in enumerate(answers.items()):
        away = (values - answers[chosen]) / scale
        own = population["estimate_errors"].values[told.index(name)][rows]
        label = readable(name) + (" (the answer)" if name == chosen else "")
        half = _WIDE * own / scale
        furthest = max(furthest, float(np.nanmax(np.abs(away) + half)))
        marks.append(
            Points(
                away,
                places + 0.22 * (i - (len(answers) - 1) / 2),
                low=away - half,
                high=away + half,
                across=True,
                bar=1.6,
                colour=_COLOURS[name],
                label=label,
                hover=[
                    f"{rounded(v, 4)} ± {rounded(e, 2)}" for v, e in zip(values, own, strict=True)
                ],
            )
        )
        if name != chosen:
            words.append(f"{readable(name)} by at most {rounded(np.nanmax(np.abs(away)), 2)}")
    found = AnswerShift.of(population)
    shift, about = found.shift[rows], surrogate_statement(found.largest, found.treatment)
    label = "the surrogate, not corrected"
    if found.treatment == "included":
        label = "the surrogate's error, one standard deviation"
    marks.append(Points(shift, places, "diamond", 7, filled=False, colour=MODEL, label=label))
    # An estimate without information has an interval that reduces the others to points.
    furthest = max(furthest, float(np.abs(shift).max()))
    panel = Panel(
        Axis(
            "standard errors from the answer",
            limits=(-_FURTHEST, _FURTHEST) if furthest > _FURTHEST else (None, None),
        ),
        Axis(places=places, names=names, limits=(len(rows) - 0.4, -0.6), grid=False),
        marks,
    )
    return Chart(
        "estimators",
        "Estimates of all estimators",
        f"Bars are 95 % intervals of each estimator. {about}",
        f"Estimates beside the answer, from the {readable(chosen)}, in its standard errors: "
        f"{'; '.join(words)}. {about}",
        page_figure([panel], 130 + 56 * len(rows)),
        wide=True,
    )


# --- solver calls ----------------------------------------------------------------------------


def round_names(count: int) -> list[str]:
    """Return the names of the rounds of a record of solves; the last is the check."""
    return [*(f"round {i}" for i in range(count - 1)), "final check"]


def solves_chart(check: xr.Dataset, plane: Plane) -> Chart:
    """Return the solves of each round, with the estimate of the population at that time.

    Parameters
    ----------
    check : Dataset
        The record of all solves. The last round is the final check.
    plane : Plane
        Two quantities of every system.
    """
    count = check.sizes["round_number"]
    panels = round_panels(check, plane, np.arange(count))
    of_round = check["round"].values
    choices = [
        f"{name}, {(of_round == r).sum()} solves" for r, name in enumerate(round_names(count))
    ]
    return Chart(
        "solves",
        "Where the solver was called",
        f"Solver calls in two quantities of every system{plane.title}. The first round is spread "
        "broadly. The later rounds follow the population. "
        f"At most {DOTS} dots of a kind are drawn.",
        f"Where each round solved: {'; '.join(choices)}.",
        page_figure(panels, 440, choices=True),
        control="slider",
        control_label="Round",
        choices=tuple(choices),
    )


def prediction_chart(held_out: HeldOutSolves | None) -> Chart | None:
    """Return predicted against true values of solves that a Gaussian process has not seen."""
    if held_out is None:
        return None
    share = (
        f"{held_out.coverage:.0%} of {held_out.true.size} values lie within their 95 % intervals"
    )
    return Chart(
        "held_out",
        "Predictions of solves that the surrogate has not seen",
        "The solves of the final check, with the predictive intervals, at the observation that is "
        f"predicted worst. Of all observations, {share}.",
        f"Predicted against true values of {len(held_out.true)} held-out solves: {share}.",
        page_figure([predictions_panel(held_out)], 440),
    )
