"""The estimate at the maximum of the marginal likelihood, with errors and diagnostics.

Two kinds of standard errors are computed: from the observed information A, and from the sandwich
A^{-1} B A^{-1} with the sum B of the outer products of the scores.
:mod:`popinv.inference.uncertainty.standard_errors` chooses which of them the answer has. A
parameter whose maximum lies at zero is held there: the profile gives its interval, and the other
standard errors are computed with this parameter held.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.density.division import joined, mapped, total
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import Ends, Estimate, restricted_inverse, sizes
from popinv.inference.estimators.scoring import Evaluate, Point, ScoringState, ascend, begin
from popinv.inference.integrate.marginal import Evaluation
from popinv.inference.integrate.penalty import Penalty, penalty_at
from popinv.inference.uncertainty.profile import need_profiles, profiles
from popinv.inference.uncertainty.standard_errors import by_information, has_robust_errors
from popinv.population.priors.prior import nonnegative
from popinv.seeds import generator


def steadied(
    curvature: np.ndarray, error: np.ndarray, squares: np.ndarray, systems: int
) -> np.ndarray:
    r"""Return the information of all systems, shrunk towards the outer products of the scores.

    Under a right model, the curvature A of a log likelihood and the sum B of the outer products of
    its scores estimate the same matrix. B needs only the scores. A is a difference of scores of
    some of the systems, and has the error of their draws. In coordinates in which B is the
    identity, the difference of A and B is

    .. math:: D = B^{-1/2} A B^{-1/2} - I .

    The noise in D has an expected square \nu, which is known from the spread over systems and from
    the halves of the draws. ``B^{1/2} (I + c D) B^{1/2}`` with the James-Stein factor
    ``c = max(0, 1 - \nu / |D|^2)`` replaces A. It removes noise and keeps the effect of a wrong
    model.

    Parameters
    ----------
    curvature : ndarray of shape (n, k, k)
        Negative Hessians of n single systems.
    error : ndarray of shape (n, k, k)
        A draw of each Hessian's error due to the draws.
    squares : ndarray of shape (k, k)
        B of all systems.
    systems : int
        N, the number of all systems.
    """
    n = len(curvature)
    plain = curvature.sum(axis=0) * systems / n
    size = np.sqrt(np.maximum(np.diag(squares), 0.0))
    if not np.all(size > 0):
        return plain
    values, vectors = np.linalg.eigh(squares / np.outer(size, size))
    if values[0] <= 1e-10 * values[-1]:
        return plain
    # B = root^T root
    root = np.sqrt(values)[:, None] * vectors.T * size
    back = vectors / np.sqrt(values) / size[:, None]

    def whitened(matrices: np.ndarray) -> np.ndarray:
        return back.T @ matrices @ back

    difference = whitened(plain) - np.eye(len(size))
    spread = ((whitened(curvature) - whitened(plain) / systems) ** 2).sum()
    noise = (whitened(error) ** 2).sum() + (1 - n / systems) * spread
    noise *= (systems / n) ** 2
    total = (difference**2).sum()
    kept = max(0.0, 1 - noise / total) if total > 0 else 0.0
    return root.T @ (np.eye(len(size)) + kept * difference) @ root


# Number of systems whose scores at two points give the curvature; half the distance between the
# points, in standard errors, and the largest, in errors given all other parameters.
_CURVATURE_SYSTEMS, _CURVATURE_STEP, _ALONE = 400, 0.3, 0.5
# With fewer effective draws, a system's integral is unreliable.
FEWEST_EFFECTIVE = 8
# Upper limits of the diagnostics, and the lower limit of the effective share; see `_doubt`.
_LEAST_SHARE, _MOST_POOR, _MOST_SHIFT, _MOST_ERROR, _MOST_MODES = 0.25, 0.01, 0.5, 0.4, 0.01
# Eigenvalue of the information with diagonal 1 below which a direction is not determined. The
# errors of the draws are judged in the other directions.
_DETERMINED = 1e-3
# A logarithm with a larger standard error belongs to a number near zero, or is not determined.
_VAGUE = 1.0
# Smallest part of a direction that is told, and the correlation that is at its boundary.
_LEADING, _NEAR_ONE = 0.3, 0.99
# Steps to a maximum with an entry held.
_MOST_STEPS = 30


class Likelihood(Protocol):
    """The likelihood near one p, system by system."""

    def __call__(
        self,
        p: np.ndarray,
        memory: Mapping[str, np.ndarray] | None = None,
        systems: np.ndarray | None = None,
    ) -> Evaluation:
        """Evaluate the own systems at p, from the memory of a nearby evaluation.

        If positions (n,) among all systems are given, every rank returns the evaluation of these
        systems.
        """
        ...


def squares_of(problem: Problem, evaluation: Evaluation) -> np.ndarray:
    """Return the sum of outer products of the scores, less the part due to the draws' error."""
    squares, of_draws = (
        total(problem, lambda rows: rows.T @ rows, rows)
        for rows in (evaluation.scores, evaluation.score_error)
    )
    return without_errors(squares, of_draws, problem.count)


def without_errors(squares: np.ndarray, of_draws: np.ndarray, systems: int) -> np.ndarray:
    """Return outer products of scores less the part due to the draws' error, if that is positive.

    With few systems the difference may not be positive definite.
    """
    exact = squares - of_draws
    if systems <= len(squares) or not np.isfinite(exact).all():
        return squares
    return exact if np.linalg.eigvalsh(exact)[0] >= 0 else squares


def point_of(problem: Problem, p: np.ndarray, evaluation: Evaluation) -> Point:
    """Return the penalised log likelihood at p (n_p,), with its derivatives.

    Raises
    ------
    DivergenceError
        If the likelihood of a system, or a score, is not finite.
    """
    seen = (evaluation.log_likelihood, evaluation.scores, evaluation.score_error)
    if total(problem, lambda *rows: sum(np.count_nonzero(~np.isfinite(x)) for x in rows), *seen):
        raise DivergenceError(f"the likelihood of a system is not finite at {p}")
    penalty = penalty_at(problem, p)
    return Point(
        p,
        float(total(problem, np.sum, evaluation.log_likelihood)) - penalty.value,
        total(problem, _sums, evaluation.scores) - penalty.gradient,
        squares_of(problem, evaluation) + penalty.curvature,
        2 * value_error(problem, evaluation),
        evaluation.memory,
    )


def value_error(problem: Problem, evaluation: Evaluation) -> float:
    """Return the error of the log likelihood of all systems that is due to their draws."""
    return float(np.sqrt(total(problem, np.sum, evaluation.value_error**2)))


def _sums(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows.sum(axis=0))


def curvature_at(
    problem: Problem,
    likelihood: Likelihood,
    point: Point,
    evaluation: Evaluation,
    squares: np.ndarray,
) -> np.ndarray:
    """Return the negative Hessian of the log likelihood, by differences of the scores.

    A step is a share of an entry's error. Along an entry alone, the likelihood changes within the
    error of this entry given the others, which limits the step: the squares of the scores of about
    as many systems as parameters are nearly singular, so that the errors are far too large. The
    squares of the scores of one or two systems do not even tell this error. A first curvature with
    long steps then tells it.
    """
    n, free = problem.count, np.flatnonzero(problem.free)
    systems = np.arange(min(n, _CURVATURE_SYSTEMS))
    if n > _CURVATURE_SYSTEMS:
        rng = generator(problem.seed, f"{problem.stage}/curvature")
        systems = np.sort(rng.choice(n, _CURVATURE_SYSTEMS, replace=False))
    rows = problem.rows_of(systems)
    memory = {name: joined(problem, array[rows]) for name, array in evaluation.memory.items()}
    inner = np.ix_(free, free)

    def of_systems(information: np.ndarray) -> np.ndarray:
        """Return the curvatures, and their errors, by steps that suit this information."""
        errors = np.sqrt(np.diag(restricted_inverse(information, problem.free)))
        steps = np.minimum(_CURVATURE_STEP * errors, _ALONE / sizes(information))
        each = np.zeros((2, len(memory["scores"]), len(free), len(free)))
        for row, i in enumerate(free):
            shift = np.zeros(len(errors))
            shift[i] = min(steps[i], 0.5 * problem.scale[i])
            up, down = (likelihood(point.p + s, memory, systems) for s in (shift, -shift))
            for changes, name in zip(each, ("scores", "score_error"), strict=True):
                change = getattr(down, name) - getattr(up, name)
                changes[:, row] = change[:, free] / (2 * shift[i])
        return (each + each.swapaxes(2, 3)) / 2

    each = of_systems(point.information)
    curvature = np.zeros_like(point.information)
    # The squares of many scores are accurate, and the curvatures of some systems are noisy.
    if by_information(problem):
        if not has_robust_errors(problem):
            first = np.zeros_like(point.information)
            first[inner] = np.diag(np.abs(np.diag(each[0].sum(axis=0))))
            each = of_systems(first)
        curvature[inner] = each[0].sum(axis=0)
    else:
        curvature[inner] = steadied(each[0], each[1], squares[inner], n)
    return curvature


def judged_errors(problem: Problem, evaluation: Evaluation, information: np.ndarray) -> float:
    """Return the largest error due to the draws, in standard errors.

    Parameters
    ----------
    evaluation : Evaluation
        At the maximum.
    information : ndarray of shape (n_p, n_p)
        It replaces the squares of the scores, if it is finite.
    """
    if not np.isfinite(information).all():
        information = squares_of(problem, evaluation)
    free, errors = problem.free, np.sqrt(np.diag(restricted_inverse(information, problem.free)))
    # Near zero, an error in the logarithm is a negligible error in the number.
    free = free & ~(problem.logarithmic & (errors > _VAGUE))
    bread = restricted_inverse(information, free, _DETERMINED)
    squares = _error_squares(problem, evaluation, bread)
    return _largest(squares, np.sqrt(np.diag(bread)), free)


def _error_squares(problem: Problem, evaluation: Evaluation, bread: np.ndarray) -> np.ndarray:
    """Return the sum of squares (n_p,) of the errors of steps that are due to the draws."""
    squares: np.ndarray = total(
        problem, lambda error: ((error @ bread) ** 2).sum(axis=0), evaluation.score_error
    )
    return squares


def _largest(squares: np.ndarray, errors: np.ndarray, free: np.ndarray) -> float:
    """Return the largest root of sums of squares (n_p,), in standard errors."""
    return float((np.sqrt(squares[free]) / errors[free]).max(initial=0.0))


def is_concave(information: np.ndarray, free: np.ndarray) -> bool:
    """Return whether an observed information (n_p, n_p) is positive on the free entries.

    A direction that is not determined has a curvature of either sign.
    """
    inner = information[np.ix_(free, free)]
    size = sizes(inner)
    return bool(np.linalg.eigvalsh(inner / np.outer(size, size))[0] > -_DETERMINED)


@dataclass(frozen=True)
class _Errors:
    """The uncertainty at a maximum, with some parameters held."""

    bread: np.ndarray
    robust: np.ndarray
    definite: bool

    @classmethod
    def of(
        cls, information: np.ndarray, fallback: np.ndarray, squares: np.ndarray, free: np.ndarray
    ) -> _Errors:
        """Return the uncertainty for an information, or for the fallback if it is not positive."""
        definite = is_concave(information, free)
        bread = restricted_inverse(information if definite else fallback, free)
        # A square has no negative variance by rounding if nothing is determined.
        values, vectors = np.linalg.eigh(squares)
        half = bread @ (vectors * np.sqrt(np.maximum(values, 0.0)))
        return cls(bread, half @ half.T, definite)


def _without_negative(curvature: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return a curvature (n_p, n_p) without the negative eigenvalues that its draws leave.

    Some directions of a discrepancy are told from the law by its prior alone. Their curvature is
    zero, and its error must not cancel the prior's.
    """
    inner = np.ix_(free, free)
    size = sizes(curvature[inner])
    scales = np.outer(size, size)
    found = curvature.copy()
    found[inner] = nonnegative(curvature[inner] / scales) * scales
    return found


def estimate_at(
    problem: Problem,
    draws: int,
    state: ScoringState,
    curved: Likelihood | None,
    profiled: Callable[[np.ndarray], Evaluate] | None,
    several: float,
    curvature: np.ndarray | None = None,
    restriction: Penalty | None = None,
) -> Estimate:
    """Return the estimate at the end of an ascent.

    Parameters
    ----------
    draws : int
        Draws of each system; 0 for a closed form.
    curved : callable or None
        The likelihood that gives the curvature; without it the curvature is the sum of the outer
        products of the scores.
    profiled : callable or None
        Takes the information (n_p, n_p) at the maximum and returns the likelihood nearby from which
        the ends of intervals are computed, if any.
    several : float
        Share of the systems with a second mode that the draws do not cover.
    curvature : ndarray of shape (n_p, n_p), optional
        The curvature of ``curved`` at the end, if it is known.
    restriction : Penalty, optional
        What the integral over the law's means adds, if the estimate is by restricted maximum
        likelihood (:mod:`popinv.inference.estimators.restricted`). The value among the diagnostics
        is then the restricted log likelihood.
    """
    evaluation, free = Evaluation(**state.point.memory), problem.free
    penalty = penalty_at(problem, state.point.p)
    squares = squares_of(problem, evaluation)
    with_penalty = squares + penalty.curvature
    information = with_penalty
    if curved is not None and curvature is None:
        curvature = curvature_at(problem, curved, state.point, evaluation, squares)
    if curvature is not None:
        if problem.noise.shared is not None:
            curvature = _without_negative(curvature, free)
        information = curvature + penalty.observed
    if restriction is not None:
        information = information + restriction.curvature
    errors = _Errors.of(information, with_penalty, with_penalty, free)
    ends: dict[int, Ends] = {}
    if profiled is not None and state.arrived:
        known = information if errors.definite else with_penalty
        ends = _profile_ends(problem, profiled, state, errors, known)
        at_boundary = [i for i, each in ends.items() if each.boundary]
        if at_boundary:
            free = free.copy()
            free[at_boundary] = False
            errors = _Errors.of(information, with_penalty, with_penalty, free)
    few = by_information(problem)
    covariance = errors.bread if few else errors.robust
    size = np.sqrt(np.diag(covariance))
    steady = restricted_inverse(information if errors.definite else with_penalty, free, _DETERMINED)
    judged = free & ~(problem.logarithmic & (size > _VAGUE))
    bias = total(problem, _sums, evaluation.score_bias) @ steady

    def mean(rows: np.ndarray) -> float:
        return float(total(problem, np.sum, rows)) / problem.count

    diagnostics = {
        "value": float(total(problem, np.sum, evaluation.log_likelihood)),
        "value_error": value_error(problem, evaluation),
        "steps": float(state.iteration),
        "draws": float(draws),
        "effective_share": mean(evaluation.effective_share),
        "poor_share": mean(are_poor(evaluation.effective_share, draws)),
        "draws_shift": _largest(bias**2, size, judged),
        "draws_error": _largest(_error_squares(problem, evaluation, steady), size, judged),
        "several_modes_share": several,
        "curvature_definite": float(errors.definite),
    }
    if restriction is not None:
        diagnostics["restriction"] = restriction.value
        diagnostics["value"] -= restriction.value
    reason = _doubt(state, diagnostics, problem.count)

    def of_draws(error: np.ndarray) -> np.ndarray:
        moved = error @ errors.bread
        return moved.T @ moved

    return Estimate(
        p=state.point.p,
        covariance=covariance,
        monte_carlo=total(problem, of_draws, evaluation.score_error),
        influence=mapped(lambda scores: scores @ errors.bread, evaluation.scores),
        arrived=state.arrived,
        passes=not reason,
        reason=reason,
        doubt="" if errors.definite else _not_concave(problem, state.point.p, information, free),
        diagnostics=diagnostics,
        arrays={
            "log_likelihood": evaluation.log_likelihood,
            "scores": evaluation.scores,
            "modes": evaluation.modes,
            "posterior_mean": evaluation.mean,
            "posterior_variance": evaluation.variance,
            "effective_share": evaluation.effective_share,
            "corrections": evaluation.corrections,
        },
        bound=np.sqrt(np.diag(errors.bread if few else restricted_inverse(squares, free))),
        path=state.path,
        bread=errors.bread,
        ends=ends,
        model_covariance=errors.bread,
        robust_covariance=errors.robust if has_robust_errors(problem) else None,
    )


def _profile_ends(
    problem: Problem,
    profiled: Callable[[np.ndarray], Evaluate],
    state: ScoringState,
    errors: _Errors,
    information: np.ndarray,
) -> dict[int, Ends]:
    """Return the ends of the intervals that the standard errors do not describe."""
    entries = need_profiles(problem, state.point.p, errors.robust, errors.bread)
    if not np.any(entries):
        return {}
    evaluate = profiled(information)
    top = ascend(begin(evaluate(state.point.p, state.point.memory)), evaluate, problem, _MOST_STEPS)
    sampling = errors.bread if by_information(problem) else errors.robust
    return profiles(problem, entries, sampling, errors.bread, top.point, evaluate)


def doubts_of_draws(effective_share: float, poor: float, systems: int) -> list[str]:
    """Return the reasons not to use integrals with these shares of effective draws.

    Parameters
    ----------
    effective_share : float
        Mean over the systems of the effective share of the draws.
    poor : float
        Share of systems with too few effective draws.
    """
    reasons = []
    if effective_share < _LEAST_SHARE:
        reasons.append(f"only {effective_share:.0%} of the draws count")
    if poor > max(_MOST_POOR, _one_of(systems)):
        reasons.append(f"{poor:.0%} of the systems have too few effective draws")
    return reasons


def _one_of(systems: int) -> float:
    """Return a share that one of few systems may have; a system alone may not fail."""
    return 1.5 / systems if systems > 1 else 0.0


def are_poor(effective_share: np.ndarray, draws: int) -> np.ndarray:
    """Return which systems have too few effective draws; 0 draws stand for a closed form."""
    poor: np.ndarray = effective_share * draws < (FEWEST_EFFECTIVE if draws else 0)
    return poor


def _doubt(state: ScoringState, diagnostics: Mapping[str, float], systems: int) -> str:
    """Return the reasons not to use the estimate, or ""."""
    reasons = []
    if not state.arrived:
        reasons.append(f"it has not converged after {state.iteration} steps")
    reasons += doubts_of_draws(diagnostics["effective_share"], diagnostics["poor_share"], systems)
    if not diagnostics["draws_shift"] <= _MOST_SHIFT:
        reasons.append(
            f"with half the draws the estimate moves by {diagnostics['draws_shift']:.2g} standard "
            "errors"
        )
    if not diagnostics["draws_error"] <= _MOST_ERROR:
        reasons.append(
            f"its draws have {diagnostics['draws_error']:.2g} standard errors of Monte-Carlo error"
        )
    if diagnostics["several_modes_share"] > max(_MOST_MODES, _one_of(systems)):
        reasons.append(
            f"{diagnostics['several_modes_share']:.0%} of the systems have several modes"
        )
    return "; ".join(reasons)


def _not_concave(problem: Problem, p: np.ndarray, information: np.ndarray, free: np.ndarray) -> str:
    """Return along which parameters the log likelihood is not concave at its end, in words."""
    entries = np.flatnonzero(free)
    size = problem.scale[entries]
    vectors = np.linalg.eigh(information[np.ix_(entries, entries)] * np.outer(size, size))[1]
    names, values = (*problem.law.names, *problem.noise.names), problem.natural(p)
    correlations = np.concatenate([problem.law.correlations, problem.noise.correlations])
    told = []
    for i in entries[np.abs(vectors[:, 0]) > _LEADING]:
        end = " (near its boundary)" if correlations[i] and abs(values[i]) > _NEAR_ONE else ""
        told.append(f"{names[i]} = {values[i]:.3g}{end}")
    return (
        f"the log likelihood is not concave at its end, along {', '.join(told)}: it is flat there, "
        "or has another maximum. Standard errors and intervals of these parameters are too narrow"
    )
