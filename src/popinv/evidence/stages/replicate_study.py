"""Draw data sets of the study's size from a truth, and estimate each as the study does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import xarray as xr

from popinv.evidence.calibration import replication
from popinv.inference.answer.result import estimate_of, noise_covariance
from popinv.inference.density.build import descent_problem, start
from popinv.inference.density.problem import Problem
from popinv.inference.density.solver import SolverSimulator
from popinv.inference.estimators.estimation import estimate_population
from popinv.inference.estimators.settings import DescentSettings, Estimator, PolishSettings
from popinv.inference.uncertainty.surrogate_bias import FreshSolves
from popinv.late import torch
from popinv.population.model import Model
from popinv.population.synthetic import parameters
from popinv.seeds import standard_normal_rows
from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.simulator import TrainedSurrogate
from popinv.workers import parallel


def replicate_study(
    model: Model,
    descent: DescentSettings,
    polish: PolishSettings,
    estimator: Estimator,
    observations: xr.Dataset,
    surrogate: xr.Dataset,
    check: xr.Dataset,
    truth: xr.Dataset | None = None,
    population: xr.Dataset | None = None,
    *,
    seed: int,
    first: int,
    replications: int,
    through: Literal["surrogate", "solver"] = "surrogate",
    seconds_per_solve: float = np.inf,
) -> xr.Dataset:
    """Return the results of the study on new data sets.

    The known quantities of the systems stay: their number, scales, gaps, limits, design, covariates
    and replicates.

    Parameters
    ----------
    descent, polish, estimator : DescentSettings, PolishSettings, str
    observations, surrogate, check : Dataset
        The study's own; each data set has as many systems.
    truth : Dataset, optional
        The truth from which the data sets are drawn.
    population : Dataset, optional
        The study's answer; without a truth, each data set has a draw about this answer as its
        truth.
    seed, first, replications : int
        The study's seed, the number of the first replication, and how many there are.
    through : {"surrogate", "solver"}
        The model through which the data sets are observed.
    seconds_per_solve : float
        Nominal cost of a solve.
    """
    simulator = surrogate_of(surrogate)
    problem = descent_problem(model, observations, simulator, seed, "evidence").at_all_places
    fresh, solver = FreshSolves.of_last_round(check), None
    if through == "solver":
        solver = SolverSimulator(model.forward.model(seed))
    elif problem.correctable:
        # Data from the surrogate contain none of its error, so there is nothing to correct.
        fresh = replace(fresh, y=_answers(problem, simulator, fresh.z))
    fresh = fresh.with_conditions_of(problem)

    def replicated(number: int) -> xr.Dataset:
        stage = f"replication_{number}"
        true = _truth(problem, number, truth, population)
        alpha = true.p[: problem.d_alpha]
        z = parameters(problem.law, alpha, seed, stage, len(problem.data), problem.known)
        inputs = problem.inputs_apart(z)
        if solver is None:
            clean = simulator.predict(inputs)
        else:
            runs = torch.from_numpy(solver.model.solve(inputs, stage).observations)
            clean = problem.noise.of_one.of_run(runs).numpy()
        replica = true.observed(problem, clean.reshape(len(z), -1), stage)
        answer = estimate_population(
            replica,
            estimator,
            polish,
            descent,
            [start(model, replica)],
            fresh,
            solver if problem.solves_show_error else None,
            seconds_per_solve,
        )
        found = replication(replica, answer, true.comparable(replica), true.covariance)
        print(f"replication {number + 1}: {answer.estimator}")
        return found

    numbers = range(first, first + replications)
    found = list(parallel(replicated, numbers, "replications", unit="set", delay=0, long=True))
    return xr.concat(found, "replication")


def _answers(problem: Problem, simulator: TrainedSurrogate, z: np.ndarray) -> np.ndarray:
    """Return what the surrogate answers at inputs z; of a random simulator, runs (n, d_y)."""
    signal, noise = torch.from_numpy(simulator.predict(z)), problem.noise.of_one
    answers = noise.mean(signal)
    if noise.intrinsic:
        loadings = noise.loadings(signal)
        e = standard_normal_rows(problem.seed, "evidence/runs", 0, len(z), len(loadings))
        answers = answers + torch.einsum("lnd,nl->nd", loadings, torch.from_numpy(e))
    return answers.numpy()


@dataclass(frozen=True)
class _Truth:
    """Parameters (n_p,), unconstrained, and the covariance of the noise (d_y, d_y)."""

    p: np.ndarray
    covariance: np.ndarray

    def comparable(self, problem: Problem) -> np.ndarray:
        """Return p, with NaN for the noise where the truth is of another family."""
        if len(self.p) == len(problem.free):
            return self.p
        unknown = np.full(len(problem.noise.names), np.nan)
        return np.concatenate([self.p[: problem.d_alpha], unknown])

    def observed(self, problem: Problem, clean: np.ndarray, stage: str) -> Problem:
        """Return the problem with new observations from noise-free observations (N, d).

        Systems whose solve failed (NaN) are left out, and so are failed members of groups. Row n of
        the noise depends on (seed, stage, n) alone.
        """
        signal, every = torch.from_numpy(problem.replicated(clean)), np.arange(len(clean))
        shape = len(signal), problem.noise.d_y
        e = torch.from_numpy(standard_normal_rows(problem.seed, f"{stage}/noise", 0, *shape))
        with torch.no_grad():
            if len(self.p) == len(problem.free):
                gamma = torch.from_numpy(self.p[problem.d_alpha :])
                y = problem.observed(gamma, signal, e, every)
            else:
                # Noise of another family is drawn from its covariance.
                factor = torch.linalg.cholesky(torch.from_numpy(self.covariance))
                noise = (e.reshape(-1, len(factor)) @ factor.T).reshape(e.shape)
                y = problem.seen_through(signal, noise, every)
        apart = np.isnan(clean).reshape(len(clean), problem.members, -1).any(axis=2)
        solved, conditions = np.flatnonzero(~apart.all(axis=1)), problem.conditions
        if problem.members > 1 and apart.any():
            entries = np.repeat(apart, y.shape[1] // problem.members, axis=1)
            conditions = conditions.lacking(entries, np.asarray(problem.data).mean(axis=0))
            y = torch.where(
                torch.from_numpy(conditions.present), y, torch.from_numpy(conditions.fill)
            )
        stage = f"{problem.stage}/{stage}"
        anew = replace(problem, data=y.numpy(), conditions=conditions, stage=stage)
        return anew if len(solved) == len(y) else anew.of_systems(solved)


def _truth(
    problem: Problem, number: int, truth: xr.Dataset | None, population: xr.Dataset | None
) -> _Truth:
    """Return the truth of a replication."""
    if truth is not None:
        return _Truth(estimate_of(truth), truth["noise_covariance"].values)
    if population is None:
        raise ValueError("replications need a truth, or a population about which it is drawn")
    draw = number % population.sizes["draw"]
    p = np.concatenate([population[f"{name}_draws"].values[draw] for name in ("alpha", "gamma")])
    return _Truth(p, noise_covariance(problem, *problem.split(p)))
