"""The estimate of the study if the noise, or the law, is known."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from popinv.inference.build import descent_problem
from popinv.inference.choice import choose_estimate
from popinv.inference.oracle import oracle
from popinv.inference.result import estimate_dataset, estimate_of, parameters_of
from popinv.inference.settings import DescentSettings, Estimator, PolishSettings
from popinv.inference.solver import SolverSimulator
from popinv.inference.surrogate_bias import FreshSolves
from popinv.population.model import Model
from popinv.surrogate.artefact import surrogate_of

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection


def consult_oracle(
    model: Model,
    descent: DescentSettings,
    polish: PolishSettings,
    estimator: Estimator,
    distance: xr.Dataset,
    pseudo_likelihood: xr.Dataset,
    likelihood: xr.Dataset,
    observations: xr.Dataset,
    surrogate: xr.Dataset,
    check: xr.Dataset,
    truth: xr.Dataset,
    *,
    known: Literal["noise", "law"],
    seed: int,
    device: str = "cpu",
) -> xr.Dataset:
    """Return the estimate by the study's estimator if the noise, or the law, is known.

    Parameters
    ----------
    model : Model
        With the true family of noise where the noise is known.
    descent, polish, estimator : DescentSettings, PolishSettings, str
    distance, pseudo_likelihood, likelihood : Dataset
        The answers of all estimators.
    known : {"noise", "law"}
    seed : int
        The study's seed.
    device : {"cpu", "auto", "cuda"}
    """
    through = surrogate_of(surrogate, device)
    problem = descent_problem(model, observations, through, seed, "oracle")
    name, answer = choose_estimate(
        estimator, distance=distance, pseudo_likelihood=pseudo_likelihood, likelihood=likelihood
    )
    through_solver = answer.attrs.get("through") == "solver"
    solver = partial(_solver, model.forward, seed) if through_solver else None
    true, start = np.concatenate(parameters_of(truth)), estimate_of(answer)
    if known == "noise":
        # Noise of another family has other parameters, which are held at the truth.
        start = np.concatenate([start[: problem.d_alpha], true[problem.d_alpha :]])
    else:
        # The true noise may be of another family; the study's own family is estimated.
        true = np.concatenate([true[: problem.d_alpha], start[problem.d_alpha :]])
    result = oracle(
        problem,
        name,
        true,
        start,
        known,
        polish.draws,
        descent,
        FreshSolves.of_last_round(check),
        solver,
    )
    return estimate_dataset(problem, result, {"estimator": name})


def _solver(forward: ForwardSection, seed: int) -> SolverSimulator:
    return SolverSimulator(forward.model(seed))
