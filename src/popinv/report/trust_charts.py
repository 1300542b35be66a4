"""Charts for judging the answer: the estimators, the calibration, the tests, the descent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from popinv.charts.description import Axis, Band, Bars, Line, Mark, Panel, Points, Stretch
from popinv.charts.page_chart import Chart
from popinv.charts.plotly_writer import page_figure
from popinv.charts.style import DATA, LIGHT, MODEL, ORACLE, TRUTH, evenly
from popinv.figures.calibration import GRID, Calibration, Uniformity
from popinv.figures.descent import loss_panels, path_panel
from popinv.inference.surrogate_bias import AnswerShift
from popinv.judgement.answer import FeatureTest, surrogate_statement
from popinv.report.formats import readable, rounded


def calibration_charts(found: Calibration, fitted: bool = False) -> list[Chart]:
    """Return the distribution of the transforms of single observations, and of whole systems.

    Parameters
    ----------
    fitted : bool
        Whether the answer has learned from these systems.
    """
    of = " The answer has learned from these systems." if fitted else ""
    return [
        _uniformity(
            found.observations,
            "observations",
            "Calibration of single observations",
            "The transform of an observation is the share of draws of the model below it, "
            f"for the conditions of its own system.{of}",
        ),
        _uniformity(
            found.systems,
            "systems",
            "Calibration of whole systems",
            "The transform of a system is the share of draws of the model with a lower log density "
            f"(of a normal law with the model's mean and covariance).{of}",
        ),
    ]


def _uniformity(found: Uniformity, name: str, title: str, what: str) -> Chart:
    panel = Panel(
        Axis("probability integral transform", limits=(0, 1)),
        Axis("distribution function less uniform"),
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
    )
    stays = "stays in" if found.inside else "leaves"
    told = f"The curve of {found.count} {name} {stays} the band"
    return Chart(
        f"calibration-{name}",
        title,
        f"{what} If the model is right, the transforms are uniform, and the whole curve is in the "
        f"band in 95 of 100 cases. {told}.",
        f"Distribution function of probability integral transforms less the uniform one. {told}; "
        f"its largest difference is {rounded(float(np.abs(found.difference).max()), 2)}.",
        page_figure([panel], 360),
    )


# Number of parameters whose path can be selected.
_PATHS = 24
_LEVEL = 0.05


def test_chart(tests: Sequence[FeatureTest]) -> Chart | None:
    """Return the sizes of the mistakes that the model is tested for."""
    if not tests:
        return None
    large = np.array([test.large for test in tests])
    found = np.array([test.value for test in tests]) / large
    errors = 1.96 * np.array([test.error for test in tests]) / large
    p_values = np.array([test.p_value for test in tests])
    labels = [readable(test.name) for test in tests]
    places = np.arange(len(tests))
    seen = p_values < _LEVEL
    marks: list[Mark] = [Stretch(-1, 1, upright=True, colour=MODEL, alpha=0.12)]
    for label, rows, colour in (("no mistake seen", ~seen, DATA), ("a mistake", seen, TRUTH)):
        if rows.any():
            told = [
                f"{labels[i]}: {rounded(float(found[i] * large[i]), 2)}, "
                f"p = {rounded(float(p_values[i]), 2)}"
                for i in np.flatnonzero(rows)
            ]
            marks.append(
                Points(
                    found[rows],
                    places[rows],
                    "diamond",
                    low=(found - errors)[rows],
                    high=(found + errors)[rows],
                    across=True,
                    colour=colour,
                    label=label,
                    hover=told,
                )
            )
    panel = Panel(
        Axis("estimate, in units of a large mistake"),
        Axis(places=places, names=labels, limits=(len(tests) - 0.5, -0.5), grid=False),
        marks,
    )
    mistakes = [label for label, row in zip(labels, seen, strict=True) if row]
    return Chart(
        "tests",
        "Mistakes that the model is tested for",
        "Each mistake is a parameter of a larger model, zero in this one, with a 95 % interval. In "
        "the band it is smaller than a user would want to know. An interval that is wider than the "
        "band says that this mistake could not be seen.",
        f"{len(tests)} mistakes are tested. Seen: {', '.join(mistakes) or 'none'}.",
        page_figure([panel], 120 + 26 * len(tests)),
        wide=True,
    )


def descent_charts(population: xr.Dataset, truth: xr.Dataset | None) -> list[Chart]:
    """Return the losses along the descent, and the path of one parameter at a time."""
    loss = population["loss"].values
    last = loss[-max(2, len(loss) // 10) :]
    losses = loss_panels(population)
    paths = [
        path_panel(population, truth, kind, [int(i)], f"{kind}: {readable(str(name))}")
        for kind in ("law", "noise")
        for i in evenly(population.sizes[f"{kind}_parameter"], _PATHS)
        for name in [population[f"{kind}_parameter"].values[i]]
    ]
    return [
        Chart(
            "loss",
            "Loss of the descent",
            "The loss weighted by the noise need not fall, since its weights change as the noise "
            "is learned. Values of the loss in a fixed metric can be compared along the way.",
            f"Loss over {len(loss)} iterations; at the end the weighted one is about "
            f"{rounded(float(np.mean(last)), 2)}.",
            page_figure([_named(panel, "loss") for panel in losses], choices=True),
            control="select",
            control_label="Loss",
            choices=("Weighted by the noise", "In a fixed metric"),
        ),
        Chart(
            "paths",
            "Paths of the parameters",
            "They should be level at the end. The answer is the mean of the last iterations.",
            f"Paths of {len(paths)} parameters along the descent, one at a time.",
            page_figure([_named(panel, "value") for panel in paths], choices=True),
            control="select",
            control_label="Parameter",
            choices=tuple(panel.title for panel in paths),
        ),
    ]


def _named(panel: Panel, label: str) -> Panel:
    """Return a panel with a label upwards, as a page does not show its title."""
    return replace(panel, y=replace(panel.y, label=label))


# Number of parameters with a row.
_ROWS = 12
_COLOURS = {"distance": DATA, "pseudo_likelihood": ORACLE, "likelihood": MODEL}
# Standard errors that are shown at most; the table of the chart's numbers has all.
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
        Parameters that are not shown, since they have no meaning of their own.

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
    # An estimate without information has an interval beside which the others are points.
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
        f"Estimates beside the answer, that of the {readable(chosen)}, in its standard errors: "
        f"{'; '.join(words)}. {about}",
        page_figure([panel], 130 + 56 * len(rows)),
        wide=True,
    )
