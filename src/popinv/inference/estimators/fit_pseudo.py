"""The maximum Gaussian pseudo-likelihood estimate, with its sandwich covariance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.density.division import mapped, total
from popinv.inference.density.member_blocks import in_blocks, of_groups
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import Estimate, restricted_inverse
from popinv.inference.estimators.scoring import (
    Evaluate,
    Point,
    ScoringState,
    ascend,
    begin,
    off_saddle,
)
from popinv.inference.integrate.model_moments import matched_draws, moments_of_systems
from popinv.inference.integrate.penalty import penalty_at
from popinv.inference.integrate.pseudo import (
    PseudoEvaluation,
    draw_scores,
    evaluate,
    sufficient,
)
from popinv.inference.uncertainty.profile import need_profiles, profiles
from popinv.inference.uncertainty.standard_errors import has_robust_errors
from popinv.late import torch
from popinv.seeds import generator
from popinv.threads import fixed_threads

_MOST_STEPS = 60
# Candidates for starts, in units of the law's scale, and the logarithms of the factors of the
# noise.
_CANDIDATES, _SPREAD, _LOUDER, _STARTING_DRAWS = 48, 2.0, (0.0, 2.0), 500
# Far from the answer, fewer draws suffice; if all draws are very many, a part of them is used in
# between.
_FIRST_DRAWS, _NEXT_DRAWS, _VERY_MANY = 4000, 40_000, 200_000
# Number of observed values from which networks compute in double precision. The rounding of single
# precision moves the log likelihood by about 1e-9 for each number (0.02 for 200 observations of
# 100,000 systems), and steps for less would fail by chance.
_DOUBLE_FROM = 1_000_000


def fit_pseudo_likelihood(
    problem: Problem,
    starts: Sequence[np.ndarray],
    slopes: Problem | None = None,
    progress: Callable[[ScoringState], None] | None = None,
    draws: int | None = None,
) -> Estimate:
    """Maximise the pseudo-likelihood from several starts, then with all draws from the best end.

    The ends of intervals that the curvature does not describe are left to :func:`profiled`.

    Parameters
    ----------
    problem : Problem
        Parameters on which the moments of its noise do not depend, such as degrees of freedom, are
        held.
    starts : sequence of ndarray of shape (n_p,)
        Parameters that are held stay at the value of each start.
    slopes : Problem, optional
        The same problem with a cheaper simulator that is accurate enough for the derivatives of the
        moments. These only weigh the differences of the moments, whose zero does not change. The
        start must then be close to the answer.
    progress : callable, optional
        A function that receives the state after every step.
    draws : int, optional
        Number of all draws; by default as for
        :func:`popinv.inference.integrate.model_moments.matched_draws`.

    Raises
    ------
    DivergenceError
        If the pseudo-likelihood is not finite at any of the starts.
    """
    (problem, blocks), slopes = _of_moments(problem), slopes and _of_moments(slopes)[0]
    with fixed_threads():
        omega = matched_draws(problem, draws)
        # Near the answer, all draws are used from the first step.
        few = len(omega) if slopes is not None else min(_FIRST_DRAWS, len(omega))
        first, read = matched_draws(problem, few), sufficient(problem)
        ends: list[ScoringState] = []
        failures: list[DivergenceError] = []
        for start in starts:
            try:
                ends.append(ascended(problem, start, first, progress, slopes, read))
            except DivergenceError as error:
                failures.append(error)
            except np.linalg.LinAlgError as error:
                failures.append(DivergenceError(f"the pseudo-likelihood is degenerate: {error}"))
        if not ends:
            raise failures[0]
        last = max(ends, key=lambda end: end.point.value)
        further = [omega] if few < len(omega) else []
        if few < _NEXT_DRAWS and len(omega) > _VERY_MANY:
            further.insert(0, matched_draws(problem, _NEXT_DRAWS))
        for more in further:
            path = last.path
            last = ascended(problem, last.point.p, more, progress, slopes, read)
            last = replace(last, path=np.concatenate([path, last.path[1:]]))
        return _estimate(problem, slopes, last, omega, blocks)


def promising_starts(problem: Problem, start: np.ndarray, count: int) -> list[np.ndarray]:
    """Return the starts (n_p,) of the highest pseudo-likelihood among many about a given one.

    The means of the law are spread by several of their scales; the noise is the start's noise, or
    larger. A search from a start far from the answer can otherwise end where no parameter has an
    effect.

    Parameters
    ----------
    problem : Problem
        With the forward model itself: a surrogate is not accurate everywhere about the start.
    start : ndarray of shape (n_p,)
    count : int
        Largest number of starts that are returned.
    """
    problem, _ = _of_moments(problem)
    law, noise, d_alpha = problem.law, problem.noise, problem.d_alpha
    moved = np.flatnonzero(problem.free[:d_alpha] & ~law.unitless)
    if not len(moved):
        return []
    rng = generator(problem.seed, f"{problem.stage}/starts")
    omega, candidates = matched_draws(problem, _STARTING_DRAWS), []
    for shift in rng.standard_normal((_CANDIDATES, len(moved))):
        for louder in _LOUDER:
            p = np.array(start, dtype=float)
            p[moved] += _SPREAD * problem.scale[moved] * shift
            p[d_alpha:][noise.sizes] += louder
            candidates.append(p)
    with fixed_threads():
        values = np.array([_value(problem, p, omega) for p in candidates])
    best = np.argsort(-values, kind="stable")[:count]
    return [candidates[i] for i in best if np.isfinite(values[i])]


def _value(problem: Problem, p: np.ndarray, omega: torch.Tensor) -> float:
    """Return the pseudo-likelihood at p, or minus infinity if it cannot be computed."""
    try:
        return float(normal_log_densities(problem, p, omega).sum())
    except (DivergenceError, np.linalg.LinAlgError, torch.linalg.LinAlgError):
        return -np.inf


def normal_log_densities(problem: Problem, p: np.ndarray, omega: torch.Tensor) -> np.ndarray:
    """Return the log densities (n,) of the normal law with the model's mean and covariance.

    Parameters
    ----------
    p : ndarray of shape (n_p,)
    omega : Tensor of shape (M, d_omega)
        Draws for the moments.
    """
    alpha, gamma = problem.tensors(p)
    moments = moments_of_systems(problem, alpha, gamma, omega, derivatives=False)
    return evaluate(problem, moments, with_scores=False).log_likelihood


def profiled(problem: Problem, estimate: Estimate) -> Estimate:
    """Return an estimate with the ends of the intervals that its curvature does not describe.

    A parameter whose maximum lies at its boundary is held there, and the covariances are computed
    for the others.

    Parameters
    ----------
    problem : Problem
        The problem of the estimate; its simulator may be a cheaper one that is accurate enough for
        the ends.
    estimate : Estimate
        From :func:`fit_pseudo_likelihood`.
    """
    # The units of the intervals are groups, not their blocks.
    whole, (problem, _) = problem.of_moments, _of_moments(problem)
    entries = need_profiles(problem, estimate.p, estimate.covariance, estimate.bread)
    if not np.any(entries):
        return estimate
    with fixed_threads():
        omega, read = matched_draws(problem), sufficient(problem)
        top = ascended(problem, estimate.p, omega, read=read).point
        evaluate = evaluator(problem, omega, read=read)
        ends = profiles(whole, entries, estimate.covariance, estimate.bread, top, evaluate)
    at_boundary = [i for i, each in ends.items() if each.boundary]
    return replace(estimate, ends=ends).holding(at_boundary, problem.free)


def _of_moments(problem: Problem) -> tuple[Problem, int]:
    """Return the problem whose moments are accurate enough, and how many blocks a group has."""
    # Mean and covariance do not determine all parameters of some noises.
    problem = problem.of_moments
    in_double = getattr(problem.simulate, "in_double", None)
    if in_double is not None and problem.count * problem.data.shape[1] >= _DOUBLE_FROM:
        problem = problem.through(in_double())
    return in_blocks(problem)


def ascended(
    problem: Problem,
    start: np.ndarray,
    omega: torch.Tensor,
    progress: Callable[[ScoringState], None] | None = None,
    slopes: Problem | None = None,
    read: tuple[Problem, float] | None = None,
) -> ScoringState:
    """Return the end of an ascent from a start (n_p,); other arguments as in :func:`evaluator`."""
    evaluate = evaluator(problem, omega, slopes, read)
    first = off_saddle(problem, evaluate(np.array(start, dtype=float), {}), evaluate)
    return ascend(begin(first), evaluate, problem, _MOST_STEPS, progress)


def evaluator(
    problem: Problem,
    omega: torch.Tensor,
    slopes: Problem | None = None,
    read: tuple[Problem, float] | None = None,
) -> Evaluate:
    """Return the pseudo-likelihood of all systems as a function of p.

    Parameters
    ----------
    omega : Tensor of shape (M, d_omega)
        Draws for the moments.
    slopes : Problem, optional
        As in :func:`fit_pseudo_likelihood`.
    read : tuple of (Problem, float), optional
        The result of :func:`popinv.inference.integrate.pseudo.sufficient`, if it is known.
    """
    few, times = sufficient(problem) if read is None else read

    def evaluate_at(p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
        found, penalty = _evaluated(few, slopes, p, omega), penalty_at(problem, p)
        return Point(
            p,
            times * total(few, np.sum, found.log_likelihood) - penalty.value,
            times * total(few, lambda scores: scores.sum(axis=0), found.scores) - penalty.gradient,
            times * found.information + penalty.curvature,
        )

    return evaluate_at


def _evaluated(
    problem: Problem, slopes: Problem | None, p: np.ndarray, omega: torch.Tensor
) -> PseudoEvaluation:
    alpha, gamma = problem.tensors(p)
    moments = moments_of_systems(problem, alpha, gamma, omega, derivatives=slopes is None)
    if slopes is not None:
        moments = moments.with_derivatives_of(moments_of_systems(slopes, alpha, gamma, omega))
    return evaluate(problem, moments)


def _estimate(
    problem: Problem, slopes: Problem | None, state: ScoringState, omega: torch.Tensor, blocks: int
) -> Estimate:
    evaluation = _evaluated(problem, slopes, state.point.p, omega)
    penalty = penalty_at(problem, state.point.p)
    bread = restricted_inverse(evaluation.information + penalty.observed, problem.free)
    log_likelihood = of_groups(evaluation.log_likelihood, blocks)
    influence = mapped(lambda scores: scores @ bread, of_groups(evaluation.scores, blocks))
    # The penalty sets the uncertainty of the entries that it determines; see `Estimate`.
    of_penalty = bread @ penalty.curvature @ bread
    sampling = bread
    if has_robust_errors(problem):
        sampling = total(problem, lambda rows: rows.T @ rows, influence)
    alpha, gamma = problem.tensors(state.point.p)
    of_draws = np.zeros_like(bread)
    for systems, pairs, each in draw_scores(slopes or problem, alpha, gamma, omega):
        of_draws += np.cov(each @ bread, rowvar=False) * systems**2 / pairs
    return Estimate(
        p=state.point.p,
        covariance=sampling + of_penalty,
        monte_carlo=of_draws,
        influence=influence,
        arrived=state.arrived,
        passes=state.arrived,
        reason="" if state.arrived else f"it has not converged after {state.iteration} steps",
        bread=bread,
        diagnostics={
            "value": float(total(problem, np.sum, log_likelihood)),
            "steps": state.iteration,
            "draws": len(omega),
        },
        arrays={"log_likelihood": log_likelihood},
        path=state.path,
    )
