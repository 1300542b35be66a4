"""Pseudo-likelihood and likelihood after the distance, with the surrogate or the solver itself.

The pseudo-likelihood comes first, from the last round's estimate and from the study's start. The
likelihood starts from its result. Both use the solver itself if that costs no more than the study
allows. Otherwise they use the surrogate; fresh solves then measure the bias due to its error, and
the bias is subtracted (:mod:`popinv.inference.uncertainty.surrogate_bias`). Costs are nominal, by
counts of solves, so that the same study takes the same path on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import xarray as xr
from tqdm import tqdm

from popinv.errors import DivergenceError
from popinv.inference.answer.result import estimate_dataset, no_estimate, noise_covariance
from popinv.inference.answer.stated_values import in_words
from popinv.inference.density.division import collected, of_first
from popinv.inference.density.member_blocks import is_large
from popinv.inference.density.problem import Problem
from popinv.inference.density.solver import SolverSimulator
from popinv.inference.estimators.closed_form import is_linear
from popinv.inference.estimators.discrepancy_size import settled, with_uncertain_size
from popinv.inference.estimators.estimate import Estimate
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import evaluator, fit_pseudo_likelihood, profiled
from popinv.inference.estimators.maximum import maximum_likelihood
from popinv.inference.estimators.scoring import ScoringState, state_arrays, state_of
from popinv.inference.estimators.settings import PolishSettings
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.model_moments import FEWEST_DRAWS, draws_for, matched_draws
from popinv.inference.integrate.nested import TANGENT, calls_of_a_draw
from popinv.inference.integrate.penalty import penalty_at
from popinv.inference.uncertainty.profile import ill_determined
from popinv.inference.uncertainty.scores import marginal_scores, pseudo_scores
from popinv.inference.uncertainty.standard_errors import (
    by_information,
    has_robust_errors,
    with_model_errors,
)
from popinv.inference.uncertainty.surrogate_bias import FreshSolves, corrected
from popinv.store.checkpoints import Checkpoint
from popinv.store.variables import variable
from popinv.surrogate.simulator import UncertainSurrogate, is_exact

_PSEUDO_EVALUATIONS, _MARGINAL_EVALUATIONS, _CURVATURE_SYSTEMS = 4, 4, 400
# Cost of a solve with its adjoint, in solves; number of steps to the modes.
_WITH_ADJOINT, _MODE_STEPS = 3.0, 20
# Number of noise pairs with which fresh solves are observed.
_PSEUDO_PAIRS, _MARGINAL_PAIRS = 4, 1
_FRESH = "polish/fresh"
# The scores of a law's coefficients need more draws, since they change sign from place to place.
_TIMES_OF_COEFFICIENTS = 4
# A few systems with many members have at least this number of draws together.
_FEWEST_TOGETHER = 1024
# Largest atanh of a partial correlation at the start; beyond, the likelihood is flat in it.
_STRONG = 1.5
# In standard errors. If its error moves the answer by less, the surrogate suffices for a start near
# the maximum, and for slopes.
_SMALL_PUSH = 1.0
# In standard deviations of the noise. With larger errors, the maximum of the likelihood through the
# surrogate is far from the true one, and hard to find, though the moments hardly move.
_LARGE_ERROR = 1.0
# Largest distance, in logarithms, between the study's start and another start of a positive
# parameter that the moments hardly determine.
_FURTHEST_START = 3.0
# Shortest time of a solve.
_LEAST_SECONDS = 1e-9


@dataclass(frozen=True)
class Polished:
    """Estimates of the two likelihoods, and the simulators that they used.

    Attributes
    ----------
    likelihood : Estimate or None
        None if it was not requested or cannot be computed; ``reason`` says why.
    through : dict of str to str
        "solver" or "surrogate", by estimator.
    surrogate_shift : ndarray of shape (n_p,)
        Change of the pseudo-likelihood's answer due to the surrogate's error, or its standard
        deviation where nothing was subtracted.
    reason : str
        The reason if there is no likelihood, or "".
    """

    pseudo_likelihood: Estimate
    likelihood: Estimate | None
    through: dict[str, str]
    surrogate_shift: np.ndarray
    reason: str = ""

    def with_uncertain_size(self, problem: Problem) -> Polished:
        """Return the estimates with the uncertainty of the size of a discrepancy, if any."""
        likelihood = self.likelihood
        return replace(
            self,
            pseudo_likelihood=with_uncertain_size(problem, self.pseudo_likelihood),
            likelihood=None if likelihood is None else with_uncertain_size(problem, likelihood),
        )

    def collected(self, problem: Problem) -> Polished:
        """Return the estimates with the results of all systems, on the first rank."""
        rows = partial(collected, problem)
        likelihood = None if self.likelihood is None else self.likelihood.with_rows(rows)
        return replace(
            self, pseudo_likelihood=self.pseudo_likelihood.with_rows(rows), likelihood=likelihood
        )


def pseudo_likelihood_solves(systems: int, d_alpha: int, members: int = 1) -> float:
    """Return the approximate number of solves that the pseudo-likelihood needs."""
    return _PSEUDO_EVALUATIONS * draws_for(systems) * members * (1 + 2 * d_alpha)


def likelihood_solves(problem: Problem, draws: int) -> float:
    """Return the approximate number of solves that the marginal likelihood needs."""
    n, n_p = problem.count, int(problem.free.sum())
    evaluations = _MARGINAL_EVALUATIONS + 2 * n_p * min(1.0, _CURVATURE_SYSTEMS / n)
    # The derivatives of a member are in its own parameters.
    along = min(problem.law.d_omega, problem.d_z) if problem.members > 1 else problem.law.d_omega
    to_modes = problem.members * _MODE_STEPS * (2 + TANGENT * along)
    return n * (_WITH_ADJOINT * draws * calls_of_a_draw(problem) * evaluations + to_modes)


def may_solve(problem: Problem, settings: PolishSettings, seconds_per_solve: float) -> bool:
    """Return whether either estimator may go through the solver.

    A solve of a random simulator gives neither the mean nor the covariance of its answer.
    """
    if problem.noise.intrinsic:
        return False
    first = pseudo_likelihood_solves(problem.count, problem.d_alpha, problem.members)
    fewest = min(first, likelihood_solves(problem, settings.draws))
    return seconds_per_solve * fewest <= settings.solver_seconds


def polish(
    problem: Problem,
    settings: PolishSettings,
    starts: Sequence[np.ndarray],
    fresh: FreshSolves,
    solver: SolverSimulator | None = None,
    seconds_per_solve: float = np.inf,
    checkpoint: Checkpoint | None = None,
    say: Callable[[str], None] = print,
    likelihood: bool = True,
    divided: bool = False,
    new_value: bool = True,
) -> Polished:
    """Estimate law and noise by pseudo-likelihood and by likelihood.

    Parameters
    ----------
    problem : Problem
        With the surrogate, or with the forward model itself where that is differentiable.
    starts : sequence of ndarray of shape (n_p,)
        The last is the study's start, which has no parameter at its boundary.
    fresh : FreshSolves
        Solves of the law near the answer that were not used to train the surrogate.
    solver : SolverSimulator, optional
        The forward model itself.
    seconds_per_solve : float
        Its nominal cost.
    checkpoint : Checkpoint, optional
        Holds the progress of the likelihood's ascent.
    say : callable
        Receives a sentence about each step.
    likelihood : bool
        Whether to compute the marginal likelihood.
    divided : bool
        Whether ranks may divide the systems among each other. Only the first rank then has the
        results of all single systems.
    new_value : bool
        Whether new draws compute the value of the log likelihood at its maximum.
    """
    with nullcontext() if solver is None else solver.session():
        own = problem.divided() if divided else problem
        path = _Path(own, settings, solver, seconds_per_solve, checkpoint, say, new_value)
        polished, nearby = path.pseudo_likelihood(starts, fresh)
        if likelihood:
            try:
                polished = path.likelihood(polished, nearby, starts[-1], fresh)
            except DivergenceError as error:
                polished = replace(polished, reason=str(error))
        else:
            polished = replace(polished, reason="the configuration does not request it")
        if polished.likelihood is None or not polished.likelihood.passes:
            whole = path.whole(nearby, polished.pseudo_likelihood)
            polished = replace(polished, pseudo_likelihood=whole)
        return polished.with_uncertain_size(problem).collected(own)


@dataclass(frozen=True)
class _Path:
    """The computation of both estimates."""

    problem: Problem
    settings: PolishSettings
    solver: SolverSimulator | None
    seconds_per_solve: float
    checkpoint: Checkpoint | None
    say: Callable[[str], None]
    new_value: bool

    @property
    def simulator(self) -> str:
        """The name of the simulator of the problem."""
        return "solver" if is_exact(self.problem.simulate) else "surrogate"

    def solved(self, solves: float, with_derivatives: bool) -> Problem | None:
        """Return the problem with the solver, if the solver may make this many solves."""
        if self.solver is None or solves * self.seconds_per_solve > self.settings.solver_seconds:
            return None
        if with_derivatives and not self.solver.differentiable:
            return None
        return self.problem.through(self.solver)

    def pseudo_likelihood(
        self, starts: Sequence[np.ndarray], fresh: FreshSolves
    ) -> tuple[Polished, Problem]:
        """Return the pseudo-likelihood's estimate, and the cheapest problem that is accurate."""
        problem = nearby = self.problem
        # Few matched draws have the exact moments of a linear model.
        fewest = min(FEWEST_DRAWS, draws_for(problem.count))
        draws = fewest if all(is_linear(problem, start) for start in starts) else None
        first = fit_pseudo_likelihood(problem, starts, draws=draws)
        first = settled(problem, first, lambda p: fit_pseudo_likelihood(problem, [p], draws=draws))
        through = self.simulator
        self.tell(f"pseudo-likelihood through the {through}", first)
        # Fresh solves are observed under the conditions of random systems, also of other ranks.
        every = problem.whole
        scores = pseudo_scores(every, first.p)
        best = corrected(every, first, scores, fresh, _FRESH, _PSEUDO_PAIRS)
        shift = _shift(problem, best)
        solves = pseudo_likelihood_solves(problem.count, problem.d_alpha, problem.members)
        solved = self.solved(solves, with_derivatives=False)
        if solved is not None:
            near = best.passes and _pushed(first, best.p) < _SMALL_PUSH
            nearest = [best.p] if best.passes else [best.p, *starts]
            try:
                best = fit_pseudo_likelihood(solved, nearest, problem if near else None)
                through, shift = "solver", first.p - best.p
                nearby = problem if near else solved
            except DivergenceError as error:
                self.say(f"the pseudo-likelihood does not go through the solver: {error}")
        if problem.correctable:
            told = f"pseudo-likelihood through the {through}, corrected for the surrogate's error"
            self.tell(told, best)
        return Polished(best, None, {"pseudo_likelihood": through}, shift), nearby

    def likelihood(
        self, polished: Polished, nearby: Problem, inside: np.ndarray, fresh: FreshSolves
    ) -> Polished:
        """Return the estimates with the likelihood's estimate added."""
        pseudo_likelihood, problem = polished.pseudo_likelihood, self.problem
        draws = self.settings.draws * (_TIMES_OF_COEFFICIENTS if problem.law.of_shape.any() else 1)
        if not has_robust_errors(problem):
            draws = max(draws, _FEWEST_TOGETHER // problem.count)
        settings = MarginalSettings(draws=draws, new_value=self.new_value)
        start, through = self.start(pseudo_likelihood, inside), self.simulator
        solved = self.solved(likelihood_solves(problem, settings.draws), with_derivatives=True)
        if solved is None:
            best = self.maximum(problem, start, settings, information=self.information(start))
        else:
            through = "solver"
            errors = pseudo_likelihood.standard_errors
            close = np.abs(polished.surrogate_shift) < _SMALL_PUSH * errors
            granted = self.settings.solver_seconds / max(self.seconds_per_solve, _LEAST_SECONDS)
            granted /= _WITH_ADJOINT
            if np.all(close[problem.free]) and self.is_accurate(start, fresh):
                # The surrogate comes close to the maximum faster.
                start, memory = maximum_likelihood(problem, start, settings)
                best = self.maximum(solved, start, settings, memory, problem, granted)
            else:
                known = self.information(start)
                best = self.maximum(solved, start, settings, granted=granted, information=known)
        self.tell(f"likelihood through the {through}", best)
        if best.passes and through == "surrogate" and problem.correctable:
            scores = marginal_scores(problem.whole, best.p, settings)
            best = corrected(problem.whole, best, scores, fresh, _FRESH, _MARGINAL_PAIRS)
            self.tell("likelihood, corrected for the surrogate's error", best)
        through_by = {**polished.through, "likelihood": through}
        return replace(polished, likelihood=best, through=through_by)

    def is_accurate(self, p: np.ndarray, fresh: FreshSolves) -> bool:
        """Return whether the surrogate's errors at fresh solves are small beside the noise at p."""
        problem = self.problem
        if not (problem.solves_show_error and len(fresh.y)):
            return True
        variance = noise_covariance(problem, *problem.split(p)).diagonal()
        return bool(np.mean(fresh.errors(problem) ** 2 / variance) < _LARGE_ERROR**2)

    def start(self, pseudo_likelihood: Estimate, inside: np.ndarray) -> np.ndarray:
        """Return where the likelihood starts: near the pseudo-likelihood's estimate.

        Correlations start away from 1. A positive parameter that the moments hardly determine
        starts not far from the study's start ``inside`` (n_p,): the moments may put it at its
        boundary by chance, where a scoring step has no curvature for it.
        """
        problem, start = self.problem, pseudo_likelihood.p.copy()
        correlations = np.flatnonzero(problem.law.correlations)
        start[correlations] = np.clip(start[correlations], -_STRONG, _STRONG)
        vague = ill_determined(problem, pseudo_likelihood.covariance, pseudo_likelihood.bread)
        near = np.clip(start, inside - _FURTHEST_START, inside + _FURTHEST_START)
        start[vague] = near[vague]
        return start

    def information(self, p: np.ndarray) -> np.ndarray | None:
        """Return the moments' information at p, for few systems, if it determines every entry."""
        problem = self.problem.of_moments
        # The blocks of large groups are not independent.
        if not by_information(problem) or is_large(problem):
            return None
        try:
            found = evaluator(problem, matched_draws(problem))(p, {}).information
        except DivergenceError:
            return None
        return found if np.all(np.diag(found)[self.problem.free] > 0) else None

    def whole(self, nearby: Problem, estimate: Estimate) -> Estimate:
        """Return the pseudo-likelihood's estimate with both kinds of standard errors and intervals.

        Only an answer needs them.
        """
        problem = nearby.of_moments.whole
        scores = pseudo_scores(problem, estimate.p)
        penalty = penalty_at(problem, estimate.p).curvature
        return profiled(nearby, with_model_errors(problem, estimate, scores, penalty))

    def maximum(
        self,
        problem: Problem,
        start: np.ndarray,
        settings: MarginalSettings,
        memory: Mapping[str, np.ndarray] | None = None,
        curved: Problem | None = None,
        granted: float = np.inf,
        information: np.ndarray | None = None,
    ) -> Estimate:
        """Return the likelihood's estimate, continued from a checkpoint if there is one."""
        kept = None if self.checkpoint is None else self.checkpoint.read()

        # The bar is shown on a terminal only.
        with tqdm(desc="likelihood", unit=" steps", disable=None) as bar:

            def save(state: ScoringState) -> None:
                bar.update()
                # The first rank writes what it collects from all ranks, at times given by its
                # clock.
                if self.checkpoint is not None and of_first(problem, self.checkpoint.due):
                    self.checkpoint.write(state_arrays(problem, state))

            state = None if kept is None else state_of(problem, kept)
            return fit_marginal_likelihood(
                problem,
                start,
                settings,
                state,
                save,
                memory,
                curved,
                granted=granted,
                information=information,
                restricted=self.settings.restricted,
            )

    def tell(self, stage: str, estimate: Estimate) -> None:
        """Report an estimate."""
        self.say(f"{stage}: {_where(self.problem, estimate)}")


def _shift(problem: Problem, estimate: Estimate) -> np.ndarray:
    """Return the effect, or possible effect, of the surrogate's error on an estimate, (n_p,)."""
    if estimate.correction is None or estimate.correction_covariance is None:
        return np.zeros_like(estimate.p)
    if isinstance(problem.surrogate, UncertainSurrogate):
        return np.sqrt(np.diag(estimate.correction_covariance))
    return -estimate.correction


def _pushed(estimate: Estimate, p: np.ndarray) -> float:
    """Return the distance of p from an estimate, in its standard errors."""
    errors = estimate.standard_errors
    known = errors > 0
    return float(np.max(np.abs(p - estimate.p)[known] / errors[known], initial=0.0))


def _where(problem: Problem, estimate: Estimate) -> str:
    """Return the estimate in words."""
    shown = in_words(problem, estimate.p)
    return f"{shown}; {estimate.reason}" if estimate.reason else shown


def pseudo_likelihood_dataset(problem: Problem, polished: Polished) -> xr.Dataset:
    """Return the pseudo-likelihood's estimate and its shift by the surrogate's error."""
    name = "pseudo_likelihood"
    dataset = estimate_dataset(
        problem, polished.pseudo_likelihood, {"through": polished.through[name]}
    )
    dataset["surrogate_shift"] = variable(
        "estimated",
        polished.surrogate_shift,
        "by how much the surrogate's error moves the estimate",
    )
    return dataset


def likelihood_dataset(problem: Problem, polished: Polished) -> xr.Dataset:
    """Return the likelihood's estimate, or only the reason why there is none."""
    if polished.likelihood is None:
        return no_estimate(problem, polished.reason)
    return estimate_dataset(
        problem, polished.likelihood, {"through": polished.through["likelihood"]}
    )
