"""Studies of random simulators against exact likelihoods, and the coverage of their intervals.

    python -m benchmarks.stochastic birth_death   # docs/tables/data/stochastic_birth_death.csv
    python -m benchmarks.stochastic lorenz96      # docs/tables/data/stochastic_lorenz96.csv
    python -m benchmarks.stochastic window        # docs/tables/data/stochastic_window.csv
    python -m benchmarks.stochastic repeats       # docs/tables/data/stochastic_repeats.csv

*Birth and death.* A colony starts with 20 cells, or with four. Each cell divides at a rate that
differs from colony to colony and dies at rate 0.2. The cells are counted four times with normal
errors. The likelihood of a colony's counts given its rate is exact, by a filter over the number of
cells with the transition probabilities of the process, and an integral over the rate. The study
learns mean and covariance of the true counts, takes them for normal, and corrects the answer by
fresh runs. Ten solves of each colony are in the last round of four cells, and 40 in that of 20.

*Lorenz-96.* Averages over ten units of time vary from run to run. Data sets are runs of the
simulator with measurement noise, and are fitted with ``stochastic: true`` and without.

Data sets share a surrogate in groups, since its training takes most of the time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize
from scipy.stats import norm

import popinv
from benchmarks.measured_rows import write_rows
from popinv.inference.density.build import descent_problem, start
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import Estimate
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.uncertainty.scores import marginal_scores, pseudo_scores
from popinv.inference.uncertainty.surrogate_bias import FreshSolves, corrected

Z95 = float(norm.ppf(0.975))
_SETTINGS = MarginalSettings(draws=64)

# --- birth and death ------------------------------------------------------------------------------

DEATH, TIMES = 0.2, np.array([0.5, 1.0, 1.5, 2.0])
# Mean and standard deviation of the logarithm of the rate.
RATE = np.array([np.log(0.8), 0.2])
NAMES = ("rate, mean of log", "rate, standard deviation of log", "noise, standard deviation")
COLONIES, SETS, SHARED = 100, 20, 5
# A grid of the logarithm of the rate for the exact likelihood.
RATES = np.linspace(RATE[0] - 1.1, RATE[0] + 1.1, 56)


@dataclass(frozen=True)
class Colonies:
    """Colonies that start with the same number of cells.

    Attributes
    ----------
    cells : int
    noise : float
        Standard deviation of a count.
    solves : int
        Solves of the last round.
    states : int
        Largest number of cells of the exact likelihood, plus one.
    grid : (float, float, int)
        Ends and number of the noises of the exact likelihood, in units of the noise.
    """

    cells: int
    noise: float
    solves: int
    states: int
    grid: tuple[float, float, int]

    @property
    def truth(self) -> np.ndarray:
        """Mean and logarithm of the standard deviation of the log rate, and log noise."""
        return np.array([RATE[0], np.log(RATE[1]), np.log(self.noise)])

    @property
    def noises(self) -> np.ndarray:
        """A grid of the logarithm of the noise."""
        return np.log(self.noise) + np.log(np.geomspace(*self.grid))

    def counts(self, z: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Return the numbers of cells (n, 4) of colonies with log rates z (n, 1), drawn exactly."""
        y = np.empty((len(z), len(TIMES)))
        for i, (rate, seed) in enumerate(zip(np.exp(z[:, 0]), seeds, strict=True)):
            rng, cells = np.random.default_rng(int(seed)), self.cells
            for j, step in enumerate(np.diff(TIMES, prepend=0.0)):
                gone, more = _birth_death(rate, step)
                kept = rng.binomial(cells, 1 - gone)
                cells = kept + (rng.negative_binomial(kept, 1 - more) if kept else 0)
                y[i, j] = cells
        return y


MANY = Colonies(20, 3.0, 4000, 1024, (0.5, 1.7, 9))
FEW = Colonies(4, 0.5, 1000, 256, (0.25, 2.5, 17))


def _birth_death(rate: float, step: float) -> tuple[float, float]:
    """Return the probability that a cell leaves none, and the ratio of its geometric offspring."""
    growth = np.exp((rate - DEATH) * step)
    share = (growth - 1) / (rate * growth - DEATH)
    return DEATH * share, rate * share


@cache
def transitions(states: int) -> np.ndarray:
    """Return the probabilities (rates, states, states) of n' cells after half a unit from n."""
    found = np.empty((len(RATES), states, states))
    for i, rate in enumerate(np.exp(RATES)):
        gone, more = _birth_death(float(rate), 0.5)
        one = (1 - gone) * (1 - more) * more ** (np.arange(states) - 1.0)
        one[0] = gone
        # The offspring of n cells is the sum of those of each.
        powers = np.fft.rfft(one)[None] ** np.arange(states)[:, None]
        found[i] = np.maximum(np.fft.irfft(powers, states, axis=1), 0.0)
    return found


class Exact:
    """The exact log likelihood of counts y (N, 4) as a function of (mean, log sd, log noise)."""

    def __init__(self, y: np.ndarray, of: Colonies) -> None:
        self.noises = of.noises
        self.table = np.empty((len(self.noises), len(RATES), len(y)))
        states = np.arange(of.states)
        for k, noise in enumerate(np.exp(self.noises)):
            densities = norm.pdf(y[:, :, None], states, noise)
            for i, matrix in enumerate(transitions(of.states)):
                weights, total = np.zeros((len(y), of.states)), np.zeros(len(y))
                weights[:, of.cells] = 1.0
                for j in range(len(TIMES)):
                    # Few states have weight.
                    used = int(np.flatnonzero(weights.max(axis=0) > 1e-14).max()) + 1
                    weights = (weights[:, :used] @ matrix[:used]) * densities[:, j]
                    size = weights.sum(axis=1)
                    total += np.log(np.maximum(size, 1e-300))
                    weights /= np.maximum(size, 1e-300)[:, None]
                self.table[k, i] = total
        self.spline = CubicSpline(self.noises, self.table, axis=0)

    def __call__(self, p: np.ndarray) -> float:
        """Return the log likelihood of all colonies."""
        mean, deviation, noise = p[0], np.exp(p[1]), p[2]
        if not (noise <= self.noises[-1] and RATES[0] + 0.5 < mean < RATES[-1] - 0.5):
            return -np.inf
        # Below the grid, the noise of whole counts no longer counts.
        at = self.spline(max(noise, self.noises[0]))
        law = norm.logpdf(RATES, mean, deviation) + np.log(RATES[1] - RATES[0])
        return float(np.logaddexp.reduce(at + law[:, None], axis=0).sum())

    def of_law(self, p: np.ndarray) -> float:
        """Return the log likelihood of the law at p, with the noise that is best for it.

        Whole counts show noise that a normal answer hides.
        """
        noises = np.linspace(self.noises[0], self.noises[-1], 200)
        return max(self(np.array([*p[:2], noise])) for noise in noises)

    def maximum(self, p: np.ndarray) -> np.ndarray:
        """Return the maximum, searched from p (3,)."""
        found = minimize(
            lambda q: -self(q), p, method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-5}
        )
        return np.asarray(found.x)


def estimates(problem: Problem) -> tuple[Estimate, Estimate]:
    """Return the estimates of pseudo-likelihood and likelihood."""
    first = fit_pseudo_likelihood(problem, [_start(problem)])
    return first, fit_marginal_likelihood(problem, first.p, _SETTINGS)


def with_runs(
    problem: Problem, first: Estimate, found: Estimate, fresh: FreshSolves | None
) -> Estimate:
    """Return the likelihood's estimate, corrected by fresh solves where they measure the error.

    Where it cannot be corrected, it is the pseudo-likelihood's, as in a study.
    """
    if fresh is None or not problem.correctable:
        return found
    scores = marginal_scores(problem, found.p, _SETTINGS)
    better = corrected(problem, found, scores, fresh, "fresh")
    if better.passes or not found.passes:
        return better
    return corrected(problem, first, pseudo_scores(problem, first.p), fresh, "fresh", 4)


_STARTS: dict[int, np.ndarray] = {}


def _start(problem: Problem) -> np.ndarray:
    return _STARTS[len(problem.free)]


def studied(y: np.ndarray, simulator: Any, seed: int, **settings: Any) -> tuple[Problem, Any]:
    """Return the problem of a study of observations, and the record of its solves."""
    result = popinv.fit(y, simulator, seed=seed, tests=False, progress=False, **settings)
    problem = descent_problem(
        result.model, result.observations, result.simulator, seed, "benchmark"
    )
    _STARTS[len(problem.free)] = start(result.model, problem)
    return problem, result.artefacts["check"]


def _size(errors: np.ndarray) -> float:
    return float(np.sqrt((errors**2).mean()))


def birth_death() -> None:
    """Write coverage, and distances from the exact maximum, of data sets of colonies."""
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        found = pool.map(_colony_rows, (MANY, FEW))
        write_rows("stochastic_birth_death", [row for rows in found for row in rows])


def _colony_rows(of: Colonies) -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    law = {"kind": "normal", "start": {"log_rate": {"mean": -0.3, "standard_deviation": 0.3}}}
    found: dict[str, list[dict[str, Any]]] = {"no": [], "yes": []}
    problem = fresh = None
    for number in range(SETS):
        rng = np.random.default_rng([46, number])
        z = rng.normal(RATE[0], RATE[1], (COLONIES, 1))
        y = of.counts(z, rng.integers(2**31, size=COLONIES))
        y = y + of.noise * rng.standard_normal(y.shape)
        if problem is None or number % SHARED == 0:
            problem, check = studied(
                y,
                of.counts,
                1 + number,
                law=law,
                noise={"kind": "isotropic", "start": {"standard_deviation": 1.7 * of.noise}},
                stochastic=True,
                active_learning={"rounds": 2, "first_design": 2000, "solves_per_round": of.solves},
                surrogate={"width": 32, "depth": 2},
            )
            fresh = FreshSolves.of_last_round(check)
        anew, exact = replace(problem, data=y), Exact(y, of)
        best = exact.maximum(of.truth)
        both = estimates(anew)
        for name, runs in (("no", None), ("yes", fresh)):
            estimate = with_runs(anew, *both, runs)
            errors = np.sqrt(np.diag(estimate.total_covariance))
            found[name].append(
                {
                    "inside": np.abs(estimate.p - of.truth) <= Z95 * errors,
                    "exact error": best - of.truth,
                    "error": estimate.p - of.truth,
                    "se": errors,
                    "lost": exact(best) - exact.of_law(estimate.p),
                }
            )
        told = " ".join(f"{each[-1]['lost']:.3f}" for each in found.values())
        print(f"{of.cells} cells, data set {number + 1}: lost {told}", flush=True)
    rows = []
    for name, sets in found.items():
        # Of four cells the noise is often zero, which has no standard error.
        for i, parameter in enumerate(NAMES if of is MANY else NAMES[:2]):
            column = {
                key: np.array([each[key][i] for each in sets]) for key in sets[0].keys() - {"lost"}
            }
            lost = [each["lost"] for each in sets]
            row = {
                "cells": of.cells,
                "corrected": name,
                "parameter": parameter,
                "colonies": COLONIES,
                "solves": of.solves,
                "data sets": SETS,
                "coverage, %": f"{100 * column['inside'].mean():.1f}",
                "its error, %": f"{100 * np.sqrt(0.95 * 0.05 / SETS):.1f}",
                "mean error": f"{column['error'].mean():.4f}",
                "mean error, exact": f"{column['exact error'].mean():.4f}",
                "root mean square error": f"{_size(column['error']):.4f}",
                "root mean square error, exact": f"{_size(column['exact error']):.4f}",
                "mean standard error": f"{column['se'].mean():.4f}",
                "log likelihood lost, mean": f"{np.mean(lost):.2f}",
                "log likelihood lost, most": f"{np.max(lost):.2f}",
            }
            rows.append(row)
    return rows


# --- Lorenz-96 ------------------------------------------------------------------------------------

_OBSERVABLES = ("x", "x_squared", "x_lag_1")
_FORWARD = {"kind": "lorenz96", "window": 10.0, "observables": list(_OBSERVABLES)}
_FORCING, _SPREAD, _NOISE = 8.0, 0.5, np.array([0.1, 0.8, 0.4])
_LORENZ_SYSTEMS, _LORENZ_SETS = 100, 20


def _lorenz_data(number: int) -> np.ndarray:
    from popinv.forward.section import forward_section

    rng = np.random.default_rng([96, number])
    z = rng.normal(_FORCING, _SPREAD, (_LORENZ_SYSTEMS, 1))
    clean = forward_section(_FORWARD).model(1000 + number).solve(z, "data").observations
    return np.asarray(clean + _NOISE * rng.standard_normal(clean.shape))


def lorenz96() -> None:
    """Write the coverage of intervals with ``stochastic: true`` and without."""
    true = np.array([_FORCING, np.log(_SPREAD), *np.log(_NOISE)])
    names = ["forcing, mean", "forcing, standard deviation", "noise of x", "noise of x^2"]
    names.append("noise of x lag 1")
    rows = []
    for stochastic in (True, False):
        problem, check = studied(
            _lorenz_data(0),
            {**_FORWARD, "stochastic": stochastic},
            1,
            law={
                "kind": "normal",
                "start": {"forcing": {"mean": 8.0, "standard_deviation": 1.0}},
                "spread": 0.5,
            },
            noise={"kind": "diagonal", "start": {"standard_deviation": [0.2, 1.0, 1.0]}},
            active_learning={"rounds": 2, "first_design": 2000, "solves_per_round": 2000},
            surrogate={"width": 32, "depth": 2},
        )
        fresh, found = FreshSolves.of_last_round(check), []
        for number in range(_LORENZ_SETS):
            anew = replace(problem, data=_lorenz_data(number))
            estimate = with_runs(anew, *estimates(anew), fresh)
            p, errors = estimate.p, np.sqrt(np.diag(estimate.total_covariance))
            found.append((np.abs(p - true) <= Z95 * errors, p - true, errors))
            print(stochastic, number, np.round((p - true) / errors, 2), flush=True)
        inside, error, errors = (np.array(each) for each in zip(*found, strict=True))
        for i, name in enumerate(names):
            rows.append(
                {
                    "stochastic": str(stochastic).lower(),
                    "parameter": name,
                    "systems": _LORENZ_SYSTEMS,
                    "data sets": _LORENZ_SETS,
                    "coverage, %": f"{100 * inside[:, i].mean():.0f}",
                    "its error, %": f"{100 * np.sqrt(0.95 * 0.05 / _LORENZ_SETS):.0f}",
                    "mean error": f"{error[:, i].mean():.3f}",
                    "mean standard error": f"{errors[:, i].mean():.3f}",
                }
            )
    write_rows("stochastic_lorenz96", rows)


def window() -> None:
    """Write the variance of Lorenz-96 averages, times the length of their window."""
    from popinv.forward.section import forward_section

    rows = []
    for length in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0):
        model = forward_section({**_FORWARD, "window": length}).model(1)
        y = model.solve(np.full((2000, 1), _FORCING), f"window_{length:g}").observations
        variance = y.var(axis=0, ddof=1)
        told = {
            f"variance of {n}, times the window": f"{length * v:.4g}"
            for n, v in zip(_OBSERVABLES, variance, strict=True)
        }
        rows.append(
            {
                "window": f"{length:g}",
                "solves": len(y),
                **told,
                "its error, %": f"{100 * np.sqrt(2 / (len(y) - 1)):.1f}",
            }
        )
        print(rows[-1], flush=True)
    write_rows("stochastic_window", rows)


# --- repeated solves ------------------------------------------------------------------------------


def _of_line(z: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Return the mean, three outputs, of z (n, 2) and a variation whose size depends on z."""
    t = np.array([0.0, 0.5, 1.0])
    y = np.empty((len(z), 3))
    for i, (row, seed) in enumerate(zip(z, seeds, strict=True)):
        rng = np.random.default_rng(int(seed))
        size = np.exp(-1.0 + 0.3 * row[1])
        y[i] = (
            row[0]
            + row[1] * t
            + size * ((1 - t) * rng.standard_normal() + 0.3 * rng.standard_normal(3))
        )
    return y


def _line_moments(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (n, 3) and covariance (n, 3, 3) of :func:`_of_line`."""
    t = np.array([0.0, 0.5, 1.0])
    size = np.exp(-1.0 + 0.3 * z[:, 1])
    shape = np.outer(1 - t, 1 - t) + 0.09 * np.eye(3)
    return z[:, :1] + z[:, 1:] * t, size[:, None, None] ** 2 * shape


def repeats() -> None:
    """Write the error of the learned mean and covariance by number of solves of each parameter."""
    from popinv.surrogate.mean_and_factor import MeanAndFactor
    from popinv.surrogate.training import TrainingData, TrainingSettings, train

    rng = np.random.default_rng(7)
    tested = rng.standard_normal((2000, 2))
    mean, covariance = _line_moments(tested)
    roots = np.linalg.cholesky(covariance)
    rows = []
    for total in (1000, 4000):
        for times in (1, 2, 5, 10):
            errors = []
            for seed in range(6):
                own = np.random.default_rng([8, seed, times])
                z = np.repeat(own.standard_normal((total // times, 2)), times, axis=0)
                y = _of_line(z, own.integers(2**31, size=len(z)))
                settings = TrainingSettings(
                    hyperparameters={"width": 32, "depth": 2},
                    random=True,
                    seed=seed,
                    whitening=np.eye(3) / 0.2,
                )
                trained = train(TrainingData(z, y), settings, progress=False)[0]
                surrogate = MeanAndFactor.of_training(trained, z)
                signal = surrogate.predict(tested)
                learned = surrogate.factor.covariance(torch.from_numpy(signal[:, 3:])).numpy()
                white = np.linalg.solve(roots, (signal[:, :3] - mean)[..., None])
                ratio = np.linalg.solve(roots, learned)
                ratio = np.linalg.solve(roots, ratio.transpose(0, 2, 1)) - np.eye(3)
                errors.append(
                    (np.sqrt((white**2).mean()), np.sqrt((ratio**2).sum(axis=(1, 2)).mean() / 3))
                )
            of_mean, of_covariance = np.mean(errors, axis=0)
            rows.append(
                {
                    "solves": total,
                    "solves of each parameter": times,
                    "trainings": len(errors),
                    "error of the mean": f"{of_mean:.3f}",
                    "relative error of the covariance": f"{of_covariance:.3f}",
                }
            )
            print(rows[-1], flush=True)
    write_rows("stochastic_repeats", rows)


PARTS = {each.__name__: each for each in (birth_death, lorenz96, window, repeats)}


def main(arguments: list[str]) -> Iterator[str]:
    """Run the named parts, by default all."""
    for name in arguments or list(PARTS):
        PARTS[name]()
        yield name


if __name__ == "__main__":
    torch.set_num_threads(1)
    for done in main(sys.argv[1:]):
        print(f"{done}: written")
