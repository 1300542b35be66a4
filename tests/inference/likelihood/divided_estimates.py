"""Estimates of small populations that ranks divide among each other.

The ranks are processes of mpiexec, or two forks that send each other what they have found.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import test_censored
import test_flat_directions
import test_known
import test_mixture
import test_polish
import test_zero_variance
import torch
from bent_population import BENT, bent_problem
from problems import curve_problem
from test_fixed_draws import problem_of_squares

from popinv.errors import DivergenceError
from popinv.inference.density import division
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.division import collected
from popinv.inference.density.problem import Problem
from popinv.inference.estimators import (
    fit_marginal,
    fit_pseudo,
    likelihood_value,
    marginal_estimate,
    maximum,
    newton,
    scoring,
)
from popinv.inference.estimators.estimate import Estimate
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood, profiled
from popinv.inference.estimators.scoring import state_arrays, state_of
from popinv.inference.integrate import marginal, marginal_near, model_moments
from popinv.inference.integrate.marginal import Evaluation, MarginalSettings, evaluate
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.inference.uncertainty import profile, standard_errors, surrogate_bias
from popinv.population.noise.kernel import KernelNoise
from popinv.population.noise.unstructured import FullNoise
from popinv.threads import fixed_threads
from popinv.workers import communicator, ranks

Arrays = dict[str, np.ndarray]

# Systems of a block, and of those that an estimate looks at in place of all.
BLOCK, SOME = 13, 30
# Of a population: seven blocks, or three.
COUNT, FEW = 85, 37
# Where few steps are taken, bits that differ are found as well.
FEW_STEPS: dict[Any, dict[str, Any]] = {
    sys.modules[__name__]: {"COUNT": FEW},
    fit_marginal: {"MOST_STEPS": 1, "_MOST_CYCLES": 2, "MOST_DRAWS": 64},
    likelihood_value: {"_VALUES": 2, "MOST_DRAWS": 64},
    maximum: {"MOST_STEPS": 1},
    newton: {"_NEWTON_ROUNDS": 0},
    fit_pseudo: {"_MOST_STEPS": 1},
    model_moments: {"FEWEST_DRAWS": 200, "_ROWS": 500, "_FEW_DRAWS": 100},
    profile: {"ILL_DETERMINED": 2.0},
    scoring: {"_MOST_FLAT": 1},
    surrogate_bias: {"_MOST_STEPS": 1},
    marginal: {"_TAIL_DRAWS": (64, 128), "_BLOCK_VALUES": 100_000},
}


@contextmanager
def small_blocks(few: bool = False) -> Iterator[None]:
    """Let few systems be many, or very few, with which few steps are taken."""
    changed = {
        division: {"BLOCK": BLOCK},
        marginal: {"_BLOCK_VALUES": 30_000, "_FEW_IN_A_BLOCK": 2, "_SEARCHED_SYSTEMS": SOME},
        marginal_estimate: {"_CURVATURE_SYSTEMS": SOME},
        fit_marginal: {
            "LOOKED_AT": SOME,
            "_FEW_DRAWS": 2000,
            "_SYSTEMS_PER_PARAMETER": 2 if few else 5,
            "MOST_TOGETHER": 48 * COUNT,
        },
        likelihood_value: {"_OF_SYSTEMS": 20 if few else 50, "MOST_TOGETHER": 48 * COUNT},
        maximum: {"LOOKED_AT": SOME},
        model_moments: {"_ROWS": 2000, "FEWEST_DRAWS": 1000, "_FEW_DRAWS": 200},
        standard_errors: {"FEW_SYSTEMS": 20 if few else 50, "_SIMULATED": 200},
    }
    with ExitStack() as stack:
        if few:
            changed |= {m: changed.get(m, {}) | names for m, names in FEW_STEPS.items()}
        for module, names in changed.items():
            stack.enter_context(patch.multiple(module, **names))
        yield


def parts_of(problem: Problem) -> Problem:
    """Return the own part of a problem, after a look at its size."""
    own, count = problem.divided(), len(problem.data)
    assert own.count == count
    if (part := own.part) is not None:
        size, blocks = part.communicator.size, -(-count // BLOCK)
        assert len(own.data) <= BLOCK * -(-blocks // size)
        assert len(own.data) < count or size == 1
        assert len(own.conditions) == len(own.data) == len(own.numbers)
        assert part.first == part.communicator.exscan(len(own.data)) or part.first == 0
        assert part.communicator.allreduce(len(own.data)) == count
    return own


def of_estimate(problem: Problem, estimate: Estimate) -> Arrays:
    """Return all that an estimate holds, with its systems on the first rank."""
    assert len(estimate.influence) == len(problem.data)
    estimate = estimate.with_rows(lambda rows: collected(problem, rows))
    names = ("p", "covariance", "monte_carlo", "influence", "bread", "path")
    found = {name: getattr(estimate, name) for name in names}
    for i, ends in estimate.ends.items():
        found[f"ends of {i}"] = np.array([ends.lower, ends.upper])
    numbers = np.array(list(estimate.diagnostics.values()))
    return {**found, **estimate.arrays, "diagnostics": numbers}


def of_evaluation(problem: Problem, evaluation: Evaluation) -> Arrays:
    """Return an evaluation of all systems, on the first rank."""
    return {name: collected(problem, each) for name, each in evaluation.memory.items()}


def both_fits(problem: Problem, start: np.ndarray, draws: int = 32) -> Arrays:
    """Return the estimates of both likelihoods."""
    own = parts_of(problem)
    marginal = fit_marginal_likelihood(own, start, MarginalSettings(draws=draws))
    return {**of_estimate(own, marginal), **of_pseudo(own, fit_pseudo_likelihood(own, [start]))}


def of_pseudo(problem: Problem, estimate: Estimate) -> Arrays:
    """Return what an estimate of the pseudo-likelihood holds, by names of its own."""
    return {f"pseudo {name}": each for name, each in of_estimate(problem, estimate).items()}


def curves() -> Arrays:
    """Curves without conditions, and the state of a checkpoint on the way."""
    problem, alpha, gamma = curve_problem(count=COUNT)
    own, start = parts_of(problem), np.concatenate([alpha, gamma]) + 0.1
    settings, states = MarginalSettings(draws=16), []
    estimate = fit_marginal_likelihood(own, start, settings, progress=states.append)
    kept = state_arrays(own, states[0])
    if own.part is not None:
        kept = own.part.communicator.bcast(kept)
    again = fit_marginal_likelihood(own, start, settings, state_of(own, kept))
    assert np.array_equal(again.p, estimate.p)
    assert np.array_equal(again.influence, estimate.influence)
    kept = {f"kept {name}": each for name, each in kept.items()}
    pseudo = fit_pseudo_likelihood(own, [start])
    return {**of_estimate(own, estimate), **kept, **of_pseudo(own, pseudo)}


def known() -> Arrays:
    """Lines with doses, ages and gaps, whose likelihood has a closed form."""
    problem = test_known.problem_of(COUNT)
    return both_fits(problem, test_known.truth(problem) + 0.05)


def known_curves() -> Arrays:
    """The same through a curved simulator, by draws."""
    problem = test_known.problem_of(COUNT)
    plain = problem.simulate
    own = parts_of(problem.through(lambda x: plain(x) + 0.05 * plain(x) ** 2))
    start, settings = test_known.truth(problem) + 0.05, MarginalSettings(draws=16)
    return of_estimate(own, fit_marginal_likelihood(own, start, settings, rough=True))


def lacking_some(problem: Problem) -> Problem:
    """Return a problem with limits of which the last systems lack an observation."""
    present = np.ones(problem.data.shape, dtype=bool)
    present[-20:, 2] = False
    conditions = Conditions.stated(
        present.shape, present=present, fill=np.ones(5), limits=problem.conditions.limits
    )
    return replace(problem, data=np.where(present, problem.data, 1.0), conditions=conditions)


def limits(noise: str) -> Callable[[], Arrays]:
    """Observations below a limit of quantification, some of which the last systems lack."""

    def found() -> Arrays:
        problem = lacking_some(test_censored.problem_of(test_censored.NOISES[noise], COUNT))
        return both_fits(problem, test_censored.truth(problem) + 0.05, 16)

    return found


def correlated() -> Arrays:
    """The same with correlated noise, at one place: factors differ by what a system lacks."""
    noise = KernelNoise(test_censored.TIMES[:, None], "exponential", nugget=False)
    problem = lacking_some(test_censored.problem_of(test_censored.NOISES["isotropic"], COUNT))
    own = parts_of(replace(problem, noise=noise, scale=np.full(4, 0.5)))
    p = np.concatenate([test_censored.ALPHA, np.log([0.25, 0.5])])
    return of_evaluation(own, evaluate(own, p, MarginalSettings(draws=16)))


def any_noise() -> Arrays:
    """Noise of any covariance, which has a penalty."""
    noise, problem = FullNoise(3, 0.5), bent_problem(COUNT, 0.3)
    p = np.concatenate([BENT[:4], noise.from_cholesky(0.3 * torch.eye(3, dtype=torch.float64))])
    return both_fits(replace(problem, noise=noise, scale=np.full(len(p), 0.5)), p, 16)


def steady() -> Arrays:
    """Lines whose slopes do not vary, so that the profile gives an interval."""
    own = parts_of(test_zero_variance.parallel_lines(1))
    estimate = fit_marginal_likelihood(own, test_zero_variance.START, MarginalSettings(draws=16))
    pseudo = profiled(own, fit_pseudo_likelihood(own, [test_zero_variance.START]))
    # Few steps do not come to the variance of zero.
    assert COUNT == FEW or (estimate.ends and pseudo.ends)
    return {**of_estimate(own, estimate), **of_pseudo(own, pseudo)}


def flat() -> Arrays:
    """Ratios of two parameters, along which only the error of the draws has a slope."""
    own = parts_of(test_flat_directions.ratios(COUNT))
    settings = MarginalSettings(draws=16)
    estimate = fit_marginal_likelihood(own, test_flat_directions.START, settings, rough=True)
    return of_estimate(own, estimate)


def hard() -> Arrays:
    """Squares, whose posteriors have two modes: draws adapt to many systems."""
    problem = problem_of_squares(COUNT, 0.2, 1.0)
    own, p = parts_of(problem), np.array([0.2, 0.0, np.log(0.1)])
    near = likelihood_near(own, p, MarginalSettings(draws=32))
    assert len(near.hard) > 5
    estimate = fit_marginal_likelihood(own, p + 0.05, MarginalSettings(draws=32))
    return {**of_evaluation(own, near(p + 0.01, near.here.memory)), **of_estimate(own, estimate)}


def few_are_hard() -> Arrays:
    """The same if only the first systems are hard, so that most ranks have none."""
    problem = problem_of_squares(COUNT, 0.8, 0.6)
    own, p = parts_of(problem), np.array([0.8, np.log(0.6), np.log(0.1)])
    none = patch.object(marginal_near, "with_tails", lambda *_: np.zeros(0, dtype=int))
    with patch.object(marginal_near, "_HARD", 0.0), none:
        near = likelihood_near(own, p, MarginalSettings(draws=32), hard=np.array([2, 3]))
    some = np.array([2, 3, 4, 20, 36])
    memory = {name: division.joined(own, each)[some] for name, each in near.here.memory.items()}
    of_some = near(p + 0.01, memory, some).memory
    assert near.hard.tolist() == [2, 3]
    return {**of_some, **{f"here {k}": v for k, v in of_evaluation(own, near.here).items()}}


def mixture() -> Arrays:
    """Two kinds of systems."""
    problem, _ = test_mixture.mixture_problem(COUNT)
    own, settings = parts_of(problem), MarginalSettings(draws=32)
    near = likelihood_near(own, test_mixture.START, settings)
    found = near(test_mixture.TRUTH, near.here.memory)
    some = np.array([1, 2])
    memory = {name: division.joined(own, each)[some] for name, each in near.here.memory.items()}
    further, share = near.further(test_mixture.TRUTH, found)
    estimate = fit_marginal_likelihood(own, test_mixture.TRUTH, settings, rough=True)
    return {
        **of_estimate(own, estimate),
        **of_evaluation(own, found),
        **{f"some {k}": v for k, v in near(test_mixture.TRUTH, memory, some).memory.items()},
        "further": np.array([*further, share]),
    }


def polished(model: test_polish.Curve | None) -> Callable[[], Arrays]:
    """Both estimates as a study makes them, through a surrogate or through the solver."""

    def found() -> Arrays:
        problem, start, fresh = test_polish.given()
        problem = problem.of_systems(np.arange(COUNT))
        answers = test_polish.polished(problem, start, fresh, model, divided=True)
        rows, comm = len(answers.likelihood.influence), communicator()
        # The first rank has collected those of all.
        assert (rows == COUNT) is (comm is None or comm.rank == 0 or comm.size == 1)
        own = replace(problem, data=problem.data[:rows])
        found = of_estimate(own, answers.likelihood)
        found |= of_pseudo(own, answers.pseudo_likelihood)
        return {**found, "shift": answers.surrogate_shift}

    return found


CASES: dict[str, Callable[[], Arrays]] = {
    "curves": curves,
    "known": known,
    "known, curved": known_curves,
    "limits": limits("isotropic"),
    "limits, combined": limits("combined"),
    "limits, correlated": correlated,
    "any noise": any_noise,
    "steady": steady,
    "flat": flat,
    "hard": hard,
    "few are hard": few_are_hard,
    "mixture": mixture,
    "polished": polished(None),
    "polished, solved": polished(test_polish.Curve()),
}


# Through each way of division.
QUICK = ["curves", "known, curved", "steady", "few are hard", "polished"]


def failure_of_one(rank: int) -> str:
    """Return what is told if a system of the second block cannot be evaluated."""
    problem, alpha, gamma = curve_problem(count=100)
    broken = problem.data.copy()
    broken[BLOCK + 1] = np.nan
    own = Problem(broken, *vars_of(problem)).divided()
    p = np.concatenate([alpha, gamma])
    try:
        marginal_estimate.point_of(own, p, evaluate(own, p, MarginalSettings(draws=16)))
    except DivergenceError as error:
        told = str(error)
    with patch.object(marginal._Evaluator, "evaluate", refusing(own, rank)):
        try:
            evaluate(own, p, MarginalSettings(draws=16))
        except DivergenceError as error:
            return f"{told}; {error}"
    return told


def vars_of(problem: Problem) -> tuple[Any, ...]:
    """Return simulator, law, noise and scale of a problem."""
    return problem.simulate, problem.law, problem.noise, problem.scale


def refusing(problem: Problem, rank: int) -> Callable[..., Evaluation]:
    """Return an evaluation that the last rank alone refuses."""

    def evaluated(*_: Any) -> Evaluation:
        if problem.part is not None and rank == problem.part.communicator.size - 1:
            raise DivergenceError(f"of rank {rank}")
        return Evaluation.of_nobody(problem)

    return evaluated


Found = tuple[dict[str, Arrays], list[str]]


def found_by(comm: Any, names: Sequence[str], few: bool) -> Found:
    """Return what the ranks find, complete on the first one, and what each tells of an error."""
    with fixed_threads(), ranks(comm), small_blocks(few):
        found = {name: CASES[name]() for name in names}
        if comm is None:
            return found, []
        return found, comm.allgather(failure_of_one(comm.rank))


@dataclass(frozen=True)
class Pair:
    """The communicator of two processes with a pipe between them."""

    rank: int
    other: Connection
    size = 2

    def allgather(self, own: Any) -> list[Any]:
        if self.rank:
            first = self.other.recv()
            self.other.send(own)
            return [first, own]
        self.other.send(own)
        return [own, self.other.recv()]

    def gather(self, own: Any) -> list[Any] | None:
        every = self.allgather(own)
        return None if self.rank else every

    def bcast(self, own: Any) -> Any:
        return self.allgather(own)[0]

    def allreduce(self, own: Any) -> Any:
        return sum(self.allgather(own))

    def exscan(self, own: Any) -> Any:
        first, _ = self.allgather(own)
        return first if self.rank else None


def found_by_a_pair(names: Sequence[str]) -> Found:
    """Return what this process and a fork of it find of few systems."""
    forking = get_context("fork")
    here, there = forking.Pipe()

    def second() -> None:
        here.close()
        found_by(Pair(1, there), names, few=True)

    beside = forking.Process(target=second, daemon=True)
    beside.start()
    # Either of them ends if the other does.
    there.close()
    with here:
        found = found_by(Pair(0, here), names, few=True)
    beside.join()
    return found


def main() -> None:
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    found, told = found_by(None if sys.argv[2] == "alone" else comm, [*CASES], few=False)
    if comm.rank == 0:
        Path(sys.argv[1]).write_bytes(pickle.dumps((found, told)))


if __name__ == "__main__":
    main()
