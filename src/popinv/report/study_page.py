"""Write a study's page from its artefacts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from popinv.charts.page_chart import Chart
from popinv.errors import DataError
from popinv.figures.arrangement import arrangement, each_replicate
from popinv.figures.calibration import calibration_of
from popinv.figures.discrepancy import discrepancy_panel
from popinv.figures.draws import law_draws, plane
from popinv.figures.estimate_pairs import estimate_pairs
from popinv.figures.goodness_of_fit import goodness_of_fit
from popinv.figures.individuals import population_prediction
from popinv.figures.intrinsic import variance_parts
from popinv.figures.predictive_check import predictive_check
from popinv.figures.simulated import some_systems
from popinv.figures.study import noise_comparison, sensor_distances
from popinv.forward.datasets import observation_names
from popinv.inference.answer.result import parameters_of
from popinv.inference.checks.folds import folds_of
from popinv.inference.checks.surrogate_intervals import held_out_solves
from popinv.inference.density.build import descent_problem
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.choice import ESTIMATORS, words
from popinv.judgement.judgements import DISCREPANCY
from popinv.late import torch
from popinv.methods.withdrawal.influence import influence_of
from popinv.population.model import Model
from popinv.population.observe import system_labels
from popinv.report.answer_charts import added_chart, estimate_pair_chart, law_charts
from popinv.report.evidence_charts import evidence_charts
from popinv.report.fit_charts import individual_charts, observation_chart
from popinv.report.noise_charts import discrepancy_charts, intrinsic_charts, noise_charts
from popinv.report.pages import study_page
from popinv.report.records import StudyRecord
from popinv.report.trust_charts import (
    calibration_chart,
    estimator_chart,
    prediction_chart,
    round_names,
    solves_chart,
)
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads

# Systems that are named as those with most influence on the answer.
_INFLUENTIAL = 3


def write_study_page(
    study: StudyRecord,
    model: Model,
    loaded: Mapping[str, xr.Dataset],
    seed: int,
    alone: bool = False,
) -> str:
    """Return the page of a study, as HTML.

    Parameters
    ----------
    loaded : mapping of str to Dataset
        ``surrogate``, and as in :func:`page_of`.
    seed : int
        The study's seed.
    alone : bool
        Whether the report begins with this page.
    """
    surrogate = surrogate_of(loaded["surrogate"])
    problem = descent_problem(model, loaded["observations"], surrogate, seed, "figures")
    with fixed_threads():
        return page_of(study, problem, loaded, alone)


def page_of(
    study: StudyRecord, problem: Problem, loaded: Mapping[str, xr.Dataset], alone: bool = False
) -> str:
    """Return the page of a study, as HTML.

    Parameters
    ----------
    problem : Problem
        The fitted problem.
    loaded : mapping of str to Dataset
        ``observations``, ``population`` and ``check``; ``distance``, ``pseudo_likelihood`` and
        ``likelihood``; ``estimate_0``, ``estimate_1``, ..., one for each round; and
        optionally ``truth``, ``noise_known`` and the evidence:
        ``error_against_systems``, ``designs``, ``calibration``; and ``batch``, the comparison of
        the systems added last with the population.
    alone : bool
        Whether the report begins with this page.
    """
    charts, rounds = charts_of(study, problem, loaded), rounds_of(loaded["check"])
    influential = influential_systems(loaded)
    return study_page(study, charts, rounds, searches_of(loaded), alone, influential)


def charts_of(
    study: StudyRecord, problem: Problem, loaded: Mapping[str, xr.Dataset]
) -> dict[str, list[Chart]]:
    """Return the charts of each section of the page; `page_of` describes the arguments."""
    population, check, truth = loaded["population"], loaded["check"], loaded.get("truth")
    whole = problem.at_all_places
    shown, shown_loaded = some_systems(whole, loaded)
    observations = each_replicate(shown_loaded["observations"])
    layout, y = arrangement(observations), observations["y"].attrs
    names = [str(name) for name in check["parameter"].values]
    estimates = [loaded[f"estimate_{r}"] for r in range(check.sizes["round_number"] - 1)]
    hidden = whole.prior.own.entries if whole.law.summarised else None
    fit = goodness_of_fit(problem, loaded)
    predicted = None
    if np.ptp(shown.known.columns, axis=0).any():
        answer = (torch.from_numpy(part) for part in parameters_of(population))
        predicted = population_prediction(shown, *answer)[0][:, : observations.sizes["observation"]]
    predictive = predictive_check(shown, shown_loaded, predicted)
    evidence = evidence_charts(loaded, study.evidence)
    fitted, calibrated = bool(folds_of(loaded["observations"])), calibration_of(whole, loaded)
    return {
        "added": _if(added_chart(loaded["batch"]) if "batch" in loaded else None),
        "individuals": [] if fit is None else individual_charts(fit),
        "law": law_charts(law_draws(whole, population, truth, names)),
        "noise": [
            *noise_charts(
                noise_comparison(shown, shown_loaded, predictive.covariances),
                layout,
                sensor_distances(shown, observations),
                y["units"],
                f"{len(shown.data)} of {len(whole.data)} systems, drawn at random"
                if len(shown.data) < len(whole.data)
                else f"the {len(whole.data)} systems",
            ),
            *discrepancy_charts(
                discrepancy_panel(population, layout, y["units"], truth),
                " ".join(j.finding for j in study.judgements if j.name == DISCREPANCY),
            ),
            *intrinsic_charts(
                variance_parts(shown, population), observation_names(observations), y["units"]
            ),
        ],
        "observations": [observation_chart(predictive, predicted is not None)],
        "judgement": [
            *_if(calibration_chart(calibrated, fitted) if calibrated else None),
            *_if(evidence.pop("calibration", None)),
        ],
        "estimators": [
            *_if(estimator_chart(population, hidden)),
            *_if(estimate_pair_chart(estimate_pairs(whole, loaded))),
        ],
        "evidence": list(evidence.values()),
        "rounds": [
            solves_chart(check, plane(whole, population, estimates, check, names)),
            *_if(prediction_chart(held_out_solves(whole, check))),
        ],
    }


def _if(chart: Chart | None) -> list[Chart]:
    return [] if chart is None else [chart]


def influential_systems(loaded: Mapping[str, xr.Dataset]) -> list[tuple[str, float]]:
    """Return the systems on which the answer depends most, by the names that the user gave them.

    Each has the size of the shift of the answer without it, in standard errors. There are none if
    the influence of the systems is not known. :func:`page_of` describes the arguments.
    """
    names = system_labels(loaded["observations"])
    try:
        sizes = influence_of(loaded["population"]).sizes
    except DataError:
        return []
    # Systems that share a level of crossed levels have one influence together.
    if len(sizes) != len(names):
        return []
    return [(names[i], float(sizes[i])) for i in np.argsort(-sizes, kind="stable")[:_INFLUENTIAL]]


def searches_of(loaded: Mapping[str, xr.Dataset]) -> list[dict[str, Any]]:
    """Return the search of each estimator: its name, its convergence, and whether it is chosen.

    :func:`page_of` describes the arguments.
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
