"""Score the tested systems under a study's model, for the comparison of models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from popinv.inference.answer.result import draws_of_answer, estimate_of
from popinv.inference.checks.model_comparison import counted_parameters
from popinv.inference.checks.predictive import predictive
from popinv.inference.density.build import descent_problem
from popinv.inference.density.conditions import heldout_observations
from popinv.inference.density.solver import SolverSimulator
from popinv.inference.estimators.polish import likelihood_solves
from popinv.inference.estimators.settings import PolishSettings
from popinv.inference.uncertainty.surrogate_bias import AnswerShift
from popinv.population.model import Model
from popinv.store.variables import variable
from popinv.surrogate.artefact import surrogate_of

# The error of the draws of a system does not cancel between two models.
_FEWEST_DRAWS = 256
_NOT_ASKED = "the configuration does not request it"
# Coordinate with the names of the tested systems, if the file has any.
_NAMES = ("system_id_heldout",)


def score_systems(
    model: Model,
    polish: PolishSettings,
    observations: xr.Dataset,
    surrogate: xr.Dataset,
    population: xr.Dataset,
    likelihood: xr.Dataset,
    without_tested: xr.Dataset | None = None,
    *,
    seed: int,
    seconds_per_solve: float = np.inf,
    device: str = "cpu",
) -> xr.Dataset:
    """Return the log score of every tested system, and the numbers of the model as a whole.

    Parameters
    ----------
    likelihood : Dataset
        The estimate of the likelihood, or the reason why there is none.
    without_tested : Dataset, optional
        The answers without each fold, if the tested systems are among those learned from.
    seed : int
        The study's seed.
    seconds_per_solve : float
        Nominal cost of a solve; the forward model itself is used where the settings allow it.
    device : {"cpu", "auto", "cuda"}

    Returns
    -------
    Dataset
        ``log_score``, ``log_score_error`` and ``normal_score`` (heldout_system,), see
        :class:`~popinv.inference.checks.predictive.PredictiveDensities`. Attributes: ``reason`` if
        there is no log score; ``parameters``, their number; ``log_likelihood`` of all systems at
        the maximum, NaN without one, and its error due to the draws; ``systems``, ``folds``,
        ``refitted``.
    """
    through = surrogate_of(surrogate, device)
    problem = descent_problem(model, observations, through, seed, "scores").at_all_places
    tested, conditions = heldout_observations(observations, problem.conditions)
    draws = draws_of_answer(population, max(polish.draws, _FEWEST_DRAWS))
    solver = None
    if population.attrs["through"] == "solver":
        able = SolverSimulator(model.forward.model(seed))
        solves = likelihood_solves(replace(problem, data=tested), draws)
        if able.differentiable and solves * seconds_per_solve <= polish.solver_seconds:
            solver = able
    answers = estimate_of(population)[None]
    if without_tested is not None:
        answers = without_tested["p"].values
    reason = _reason(population, likelihood, solver is not None)
    scores = predictive(problem, tested, conditions, answers, draws, solver, reason)
    value = error = np.nan
    if population.attrs["estimator"] == "likelihood":
        value = float(population["log_likelihood"].sum())
        error = float(population.attrs["value_error"])
    kept = {name: observations[name] for name in _NAMES if name in observations.coords}
    return xr.Dataset(
        {
            "log_score": variable(
                "heldout_system", scores.log_score, "log predictive density, marginal over z"
            ),
            "log_score_error": variable(
                "heldout_system", scores.error, "a draw of its error due to the draws"
            ),
            "normal_score": variable(
                "heldout_system", scores.normal_score, "log density of the normal law"
            ),
        },
        coords=kept,
        attrs={
            "reason": scores.reason,
            "law": str(model.law.kind),
            "noise": str(model.noise.kind),
            "estimator": str(population.attrs["estimator"]),
            "through": "surrogate" if solver is None else "solver",
            "parameters": counted_parameters(problem, population["bread"].values),
            "log_likelihood": value,
            "log_likelihood_error": error,
            "systems": len(problem.data),
            "folds": int(observations.attrs.get("folds", 0)),
            "refitted": len(answers)
            if without_tested is None
            else int(without_tested["arrived"].sum()),
        },
    )


def _reason(population: xr.Dataset, likelihood: xr.Dataset, through_solver: bool) -> str:
    """Return the reason why the integrals are unreliable, if it is known beforehand."""
    failed = str(likelihood.attrs["reason"])
    if not likelihood.attrs["passes"] and failed != _NOT_ASKED:
        return f"its likelihood does not pass ({failed})"
    if not through_solver and AnswerShift.of(population).largest > 1:
        return "the surrogate's error moves its answer by more than a standard error"
    return ""
