"""Charts of the fit: single systems, observed against predicted, residuals, quantiles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from popinv.charts.page_chart import Chart
from popinv.charts.plotly_writer import page_figure, page_grid
from popinv.charts.style import evenly, readable
from popinv.figures.goodness_of_fit import COLUMNS, DOTS, SHOWN, Goodness
from popinv.figures.observations import quantile_panels
from popinv.figures.predictive_check import PredictiveCheck
from popinv.report.formats import rounded

# Pixels of a row of panels.
_ROW, _HALF = 190, 330
# Curves of quantiles that can be chosen.
_PANELS = 12
_COUNTS = ("", "", "two ", "three ", "four ", "five ", "six ", "seven ", "eight ", "nine ")
_MARKS = ("circles", "squares", "diamonds")


def individual_charts(fit: Goodness) -> list[Chart]:
    """Return the fits of the worst and the best systems, and the fit of all observations."""
    best, worst = fit.systems.ranked(SHOWN)
    charts = [_fits(fit, worst, "worst")]
    if len(best):
        charts.append(_fits(fit, best, "best"))
    charts += [_against_predicted(fit), _residuals(fit)]
    names, known = fit.against_known
    if names and known:
        charts.append(_against_known(fit, names, known))
    return charts


def _fits(fit: Goodness, chosen: np.ndarray, which: str) -> Chart:
    given, count = fit.systems, len(chosen)
    misfit = given.misfit[chosen]
    rows = -(-count // COLUMNS)
    curves = [f"{title} ({mark})" for title, mark in zip(fit.curves, _MARKS, strict=False) if title]
    told = f" Curves: {', '.join(curves)}." if curves else ""
    mapped = fit.layout.map is not None
    if mapped:
        told = " Dots are at the sensors: the prediction, and within it the observation."
    drawn = f" Of {len(given.names)} of {given.total} systems, drawn at random." * (
        len(given.names) < given.total
    )
    ends = f"{rounded(float(misfit[0]), 2)} to {rounded(float(misfit[-1]), 2)}"
    return Chart(
        f"fits-{which}",
        f"Individual fits: the {_COUNTS[count]}{which}",
        f"By the root mean square of the individual residuals: {ends} noise standard "
        f"deviations.{told}{drawn}",
        f"Observations{' and individual' if mapped else ', individual and population'} predictions "
        f"of the systems with the {which} individual fits: "
        f"{', '.join(given.names[i] for i in chosen)}.",
        page_grid(
            fit.fits(chosen),
            min(COLUMNS, count),
            70 + _ROW * rows,
            alike=True,
            scale=fit.quantity * mapped,
        ),
    )


def _against_predicted(fit: Goodness) -> Chart:
    y, given = fit.systems.resolved, fit.systems
    seen = int(np.isfinite(y).sum())
    shares = []
    total = np.nanvar(y)
    for predicted in (given.population, given.individual):
        left = float(np.nanmean((y - predicted[:, None]) ** 2))
        shares.append(f"{100 * (1 - left / total):.0f} %" if total > 0 else "–")
    told = (
        f"Population predictions explain {shares[0]} of the variance, individual ones {shares[1]}."
    )
    return Chart(
        "observed-predicted",
        "Observed against predicted",
        f"{told}{_some(seen)}",
        f"Observed against predicted values. {told}",
        page_grid(fit.against_predicted(), 2, 60 + _HALF),
    )


def _residuals(fit: Goodness) -> Chart:
    given = fit.systems
    y = given.resolved
    beyond = []
    for predicted, deviation in (
        (given.population, given.spread),
        (given.individual, given.deviation),
    ):
        residual = (y - predicted[:, None]) / deviation[:, None]
        residual = residual[np.isfinite(residual)]
        beyond.append(f"{100 * float(np.mean(np.abs(residual) > 1.96)):.1f} %")
    told = (
        f"{beyond[0]} of the population residuals and {beyond[1]} of the individual ones lie "
        "beyond ±1.96."
    )
    return Chart(
        "residuals",
        "Residuals",
        "In standard deviations: of the model about the population prediction, of the noise about "
        f"the individual one. {told}{_some(int(np.isfinite(y).sum()))}",
        f"Residuals against place or time and against the prediction. {told}",
        page_grid(fit.residuals(), 2, 60 + 2 * 250),
    )


def _some(seen: int) -> str:
    """Return a sentence if only some of the observations are drawn."""
    return f" {DOTS} of {seen} observations are drawn." if seen > DOTS else ""


def _against_known(fit: Goodness, names: list[str], known: list[str]) -> Chart:
    of_parameters = ", ".join(map(readable, names))
    others = ", ".join(map(readable, known))
    return Chart(
        "covariates",
        "Parameters against covariates",
        "Individual parameters (posterior modes) against known quantities of the systems, and "
        "against columns of the table that the study does not use.",
        f"Individual parameters {of_parameters} against {others}.",
        page_grid(fit.parameters_against_known(), len(known), 70 + _ROW * len(names)),
        wide=len(known) > 1,
    )


def observation_chart(check: PredictiveCheck, corrected: bool) -> Chart:
    """Return quantiles of the data over ranges of the model: a visual predictive check.

    Parameters
    ----------
    corrected : bool
        Whether observations are corrected by their predictions.
    """
    quantiles = [quantile for quantile, _ in quantile_panels(check, _PANELS)]
    several = len(quantiles) > 1
    if not check.bins.layout.shared_scale:
        quantiles = [replace(each, y=replace(each.y, limits=(None, None))) for each in quantiles]
    control: dict[str, Any] = {}
    if several:
        kept = evenly(len(check.bins.layout.panels), _PANELS)
        titles = [panel.title or f"curve {i + 1}" for panel, i in zip(quantiles, kept, strict=True)]
        control = {"control": "select", "control_label": "Where", "choices": tuple(titles)}
    count, outside = check.ranges.outside.size, int(check.ranges.outside.sum())
    pooled = " Neighbouring times or places are taken together." if check.bins.pooled else ""
    by = " Observations are corrected by their population predictions." if corrected else ""
    told = (
        f"{outside} of {count} quantiles lie outside their ranges; {rounded(0.05 * count, 2)} are "
        "expected by chance"
    )
    return Chart(
        "observations",
        f"{'Prediction-corrected visual' if corrected else 'Visual'} predictive check",
        "Quantiles over the systems, each with the range that holds it in 95 of 100 data sets of "
        f"the fitted model. {told}.{by}{pooled}",
        f"Quantiles (5, 50, 95 %) of {check.observations.sizes['system']} observed systems "
        f"over their ranges under the fitted model; {told}.",
        page_figure(quantiles, 400, choices=several),
        **control,
        wide=True,
    )
