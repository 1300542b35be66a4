"""Write a study's page from its artefacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from popinv.charts.page_chart import Chart
from popinv.charts.plotly_writer import page_figure
from popinv.charts.style import evenly
from popinv.figures.arrangement import arrangement, each_replicate
from popinv.figures.calibration import calibration_of
from popinv.figures.draws import law_draws, plane
from popinv.figures.estimate_pairs import estimate_pairs
from popinv.figures.observations import quantile_panels
from popinv.figures.predictive_check import PredictiveCheck, predictive_check
from popinv.figures.simulated import some_systems
from popinv.figures.study import noise_comparison, sensor_distances
from popinv.inference.build import descent_problem
from popinv.inference.choice import ESTIMATORS, words
from popinv.inference.folds import folds_of
from popinv.inference.problem import Problem
from popinv.inference.stated_values import as_read
from popinv.inference.surrogate_intervals import held_out_solves
from popinv.population.model import Model
from popinv.report.answer_charts import estimate_pair_chart, law_charts, parameter_chart
from popinv.report.cost_charts import (
    error_chart,
    prediction_chart,
    round_names,
    solves_chart,
    stage_chart,
)
from popinv.report.evidence_charts import evidence_charts
from popinv.report.formats import rounded
from popinv.report.noise_charts import noise_charts
from popinv.report.pages import study_page
from popinv.report.records import StudyRecord
from popinv.report.trust_charts import (
    calibration_charts,
    descent_charts,
    estimator_chart,
    test_chart,
)
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads

_PANELS = 12


def observation_charts(check: PredictiveCheck) -> list[Chart]:
    """Return quantiles of the data over ranges of the model, and their places in these ranges."""
    quantiles, places = zip(*quantile_panels(check, _PANELS), strict=True)
    several = len(quantiles) > 1
    if not check.bins.layout.shared_scale:
        quantiles = tuple(
            replace(each, y=replace(each.y, limits=(None, None))) for each in quantiles
        )
    control: dict[str, Any] = {}
    if several:
        kept = evenly(len(check.bins.layout.panels), _PANELS)
        titles = [panel.title or f"curve {i + 1}" for panel, i in zip(quantiles, kept, strict=True)]
        control = {"control": "select", "control_label": "Where", "choices": tuple(titles)}
    count, outside = check.ranges.outside.size, int(check.ranges.outside.sum())
    pooled = " Neighbouring times or places are taken together." if check.bins.pooled else ""
    told = f"{outside} of {count} quantiles lie outside their ranges"
    return [
        Chart(
            "observations",
            "Observations and the fitted model",
            "Quantiles over the systems, each with its own band: in 95 of 100 data sets of the "
            f"fitted model, noise included, the same quantile lies in it.{pooled}",
            f"Quantiles (5, 50, 95 %) of {check.observations.sizes['system']} observed systems "
            f"over their ranges under the fitted model; {told}.",
            page_figure(quantiles, 400, choices=several),
            **control,
        ),
        Chart(
            "places",
            "Quantiles in their ranges",
            f"The same quantiles, from the middle of their own range (0) to its ends (±1). {told}; "
            f"{rounded(0.05 * count, 2)} are expected by chance. Departures that persist over "
            "neighbours indicate an error of law, noise or surrogate.",
            f"Places of the quantiles of the data in their ranges, from −1 to 1; {told}.",
            page_figure(places, 400, choices=several),
            **control,
        ),
    ]


def write_study_page(
    study: StudyRecord, model: Model, loaded: Mapping[str, xr.Dataset], seed: int
) -> str:
    """Return the page of a study, as HTML.

    Parameters
    ----------
    loaded : mapping of str to Dataset
        ``surrogate``, and as in :func:`page_of`.
    seed : int
        The study's seed.
    """
    surrogate = surrogate_of(loaded["surrogate"])
    problem = descent_problem(
        model, loaded["observations"], surrogate, seed, "figures"
    ).at_all_places
    with fixed_threads():
        return page_of(study, problem, loaded)


def page_of(study: StudyRecord, problem: Problem, loaded: Mapping[str, xr.Dataset]) -> str:
    """Return the page of a study, as HTML.

    Parameters
    ----------
    problem : Problem
        The fitted problem.
    loaded : mapping of str to Dataset
        ``observations``, ``population`` and ``check``; ``distance``, ``pseudo_likelihood`` and
        ``likelihood``; ``estimate_0``, ``estimate_1``, ..., one for each round; and
        optionally ``truth``, ``noise_known``, ``resamples`` and the evidence:
        ``error_against_systems``, ``designs``, ``calibration``.
    """
    charts, rounds = charts_of(study, problem, loaded), rounds_of(loaded["check"])
    return study_page(study, charts, rounds, searches_of(loaded))


def charts_of(
    study: StudyRecord, problem: Problem, loaded: Mapping[str, xr.Dataset]
) -> dict[str, list[Chart]]:
    """Return the charts of each section of the page; the arguments are those of `page_of`."""
    population, check, truth = loaded["population"], loaded["check"], loaded.get("truth")
    shown, shown_loaded = some_systems(problem, loaded)
    observations = each_replicate(shown_loaded["observations"])
    layout, predictive = arrangement(observations), predictive_check(shown, shown_loaded)
    names = [str(name) for name in check["parameter"].values]
    estimates = [loaded[f"estimate_{r}"] for r in range(check.sizes["round_number"] - 1)]
    draws = law_draws(problem, population, truth, names)
    hidden = problem.precision > 0 if problem.law.summarised else None
    oracle = as_read(problem.law, loaded["noise_known"]) if "noise_known" in loaded else None
    parameters = parameter_chart(study.answer.parameters, oracle)
    tests, stages = test_chart(study.answer.features), stage_chart(study.stages)
    threshold = study.config.active_learning.threshold
    return {
        "short": _if(parameters),
        "estimators": _if(estimator_chart(population, hidden)),
        "pairs": _if(estimate_pair_chart(estimate_pairs(problem, loaded))),
        "law": law_charts(draws),
        "noise": noise_charts(
            noise_comparison(shown, shown_loaded, predictive.covariances),
            layout,
            sensor_distances(shown, observations),
            observations["y"].attrs["units"],
        ),
        "tests": _if(tests),
        "calibration": calibration_charts(
            calibration_of(problem, loaded), bool(folds_of(loaded["observations"]))
        ),
        "observations": observation_charts(predictive),
        "evidence": evidence_charts(loaded, study.evidence),
        "descent": descent_charts(
            as_read(problem.law, population),
            None if truth is None else as_read(problem.law, truth),
        ),
        "rounds": [
            solves_chart(check, plane(problem, population, estimates, check, names)),
            error_chart(check, threshold),
            *_if(prediction_chart(held_out_solves(problem, check))),
        ],
        "stages": _if(stages),
    }


def _if(chart: Chart | None) -> list[Chart]:
    return [] if chart is None else [chart]


def searches_of(loaded: Mapping[str, xr.Dataset]) -> list[dict[str, Any]]:
    """Return name, arrival, use and reason against it of each estimator, and whether it is chosen.

    The arguments are those of :func:`page_of`.
    """
    chosen = loaded["population"].attrs["estimator"]
    found = [(name, loaded[name].attrs) for name in ESTIMATORS if name in loaded]
    return [
        {
            "name": words(name),
            "chosen": name == chosen,
            "arrived": bool(attrs["arrived"]),
            "passes": bool(attrs["passes"]),
            "reason": str(attrs["reason"]),
            "steps": int(attrs["steps"]) if "steps" in attrs else None,
            "remaining": float(attrs["remaining"]) if "remaining" in attrs else None,
        }
        for name, attrs in found
    ]


def rounds_of(check: xr.Dataset) -> list[dict[str, Any]]:
    """Return name, calls, failures and error (or None) of every round."""
    errors = check["surrogate_error"].values
    return [
        {
            "name": name,
            "calls": int(check["solver_calls"].values[r]),
            "failures": int(check["solver_failures"].values[r]),
            "error": None if np.isnan(errors[r]) else float(errors[r]),
        }
        for r, name in enumerate(round_names(check.sizes["round_number"]))
    ]
