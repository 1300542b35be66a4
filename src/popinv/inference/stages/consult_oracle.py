"""Oracles: the law estimated with the noise known, and the noise with the law known.

An oracle uses the estimator of the study's own answer and the same data. It uses the surrogate, and
subtracts the bias due to the surrogate's error. If this bias is too large and the study's answer
used the solver, the oracle uses the solver too. The remaining error is the sampling error of the
population for that estimator. No method has a smaller error than the likelihood.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from popinv.inference.answer.result import estimate_dataset, estimate_of, parameters_of
from popinv.inference.density.build import descent_problem
from popinv.inference.density.solver import SolverSimulator
from popinv.inference.estimators.choice import choose_estimate
from popinv.inference.estimators.settings import DescentSettings, Estimator, PolishSettings
from popinv.inference.uncertainty.surrogate_bias import FreshSolves
from popinv.population.model import Model
from popinv.surrogate.artefact import surrogate_of

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection
from collections.abc import Callable
from dataclasses import replace

from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import Estimate
from popinv.inference.estimators.fit_distance import fit_distance
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.uncertainty.scores import distance_scores, marginal_scores, pseudo_scores
from popinv.inference.uncertainty.surrogate_bias import corrected

_FRESH = "oracle/fresh"


def oracle(
    problem: Problem,
    estimator: str,
    truth: np.ndarray,
    start: np.ndarray,
    known: Literal["noise", "law"],
    draws: int,
    descent: DescentSettings,
    fresh: FreshSolves | None = None,
    solver: Callable[[], SolverSimulator] | None = None,
    surrogate: bool = True,
) -> Estimate:
    """Estimate the law with the noise known, or the noise with the law known.

    Parameters
    ----------
    problem : Problem
        With the surrogate.
    estimator : {"likelihood", "pseudo_likelihood", "distance"}
    truth : ndarray of shape (n_p,)
        The true values. The known half is held.
    start : ndarray of shape (n_p,)
        The start of the unknown half: the study's own answer.
    known : {"noise", "law"}
    draws : int
        Number of draws for each system's integral.
    descent : DescentSettings
        Settings of the distance.
    fresh : FreshSolves, optional
        Solves that measure the bias due to the surrogate's error, or None if the simulator has no
        such error.
    solver : callable, optional
        Makes the solver, for a study whose answer used it.
    surrogate : bool
        Whether the surrogate is tried before the solver. Integrals through a poor surrogate take
        many draws, and the result is not used.
    """
    law_known = known == "law"
    held = replace(
        problem, free_law=not law_known, free_noise=law_known, stage=f"oracle/{known}_known"
    )
    of_law = np.arange(len(truth)) < problem.d_alpha
    p = np.where(of_law == law_known, truth, start)
    if estimator == "distance":
        held = held.of_distance
        fit = fit_distance(held, descent, [p], description=f"oracle, {known} known")
        if fit.influence is None or fresh is None:
            return fit.estimate
        return corrected(held, fit.estimate, distance_scores(fit.influence), fresh, _FRESH)
    settings = MarginalSettings(draws=draws)
    if solver is not None and not surrogate:
        return _through(solver, held, estimator, p, settings)
    maximum = _maximum(held, estimator, p, settings)
    if fresh is None:
        return maximum
    if estimator == "likelihood":
        scores = marginal_scores(held, maximum.p, settings)
    else:
        scores = pseudo_scores(held, maximum.p)
    without = corrected(held, maximum, scores, fresh, _FRESH)
    if solver is None or (without.passes and _small(without)):
        return without
    return _through(solver, held, estimator, p, settings)


def _through(
    solver: Callable[[], SolverSimulator],
    problem: Problem,
    estimator: str,
    p: np.ndarray,
    settings: MarginalSettings,
) -> Estimate:
    simulator = solver()
    with simulator.session():
        return _maximum(problem.through(simulator), estimator, p, settings)


def _maximum(
    problem: Problem, estimator: str, p: np.ndarray, settings: MarginalSettings
) -> Estimate:
    if estimator == "likelihood":
        # The integrals of the study's own answer are accurate, so no systems are checked first.
        return fit_marginal_likelihood(problem, p, settings, memory={}, rough=True)
    return fit_pseudo_likelihood(problem, [p])


def _small(estimate: Estimate) -> bool:
    """Return whether the surrogate's error moves an estimate by less than a standard error."""
    if estimate.correction is None:
        return True
    errors = np.sqrt(np.diag(estimate.covariance))
    return bool(np.all(np.abs(estimate.correction) <= errors))


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
        With the true family of noise if the noise is known.
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
    # Effect of the surrogate's error on moments, in standard errors of the answer.
    shift = np.abs(pseudo_likelihood["surrogate_shift"].values)
    errors = np.sqrt(np.diag(answer["covariance"].values))
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
        bool(np.all(shift <= errors)),
    )
    return estimate_dataset(problem, result, {"estimator": name})


def _solver(forward: ForwardSection, seed: int) -> SolverSimulator:
    return SolverSimulator(forward.model(seed))
