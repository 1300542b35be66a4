"""The maximum marginal likelihood estimate, and the diagnostics of its integrals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import scipy.linalg

from popinv.errors import DivergenceError
from popinv.inference.estimate import Estimate, restricted_inverse
from popinv.inference.likelihood.marginal import (
    Evaluation,
    MarginalSettings,
    evaluate,
    second_modes,
)
from popinv.inference.likelihood.observed_information import steadied
from popinv.inference.likelihood.penalty import noise_penalty_at
from popinv.inference.likelihood.profile import Ends, ill_determined, profiles
from popinv.inference.likelihood.scoring import (
    Evaluate,
    Point,
    ScoringState,
    ascend,
    begin,
    promised_gain,
)
from popinv.inference.problem import Problem
from popinv.seeds import generator
from popinv.threads import fixed_threads

__all__ = ["FEW_SYSTEMS", "fit_marginal_likelihood", "maximum_likelihood"]

_MOST_STEPS = 30
# How often the curvature is taken anew, and the steps with each.
_NEWTON_ROUNDS, _NEWTON_STEPS = 8, 6
# Gain of the next step, in the log likelihood, with which it has arrived: 0.1 standard errors.
_NEWTON_TOLERANCE = 0.005
# Smallest curvature of a step, relative to the squares of the scores.
_LEAST_CURVATURE = 0.05
# Number of systems whose scores are taken at two points for the curvature, and the distance of the
# points, in standard errors.
_CURVATURE_SYSTEMS, _CURVATURE_STEP = 400, 1.0
# The standard errors of few systems are long steps, over which the curvature changes.
FEW_SYSTEMS, _STEP_OF_FEW = 200, 0.3
# With fewer effective draws, a system's integral is unreliable.
_FEWEST_EFFECTIVE = 8
# Upper limits of the diagnostics, and the lower limit of the effective share; see `_doubt`.
_LEAST_SHARE, _MOST_POOR, _MOST_SHIFT, _MOST_ERROR, _MOST_MODES = 0.25, 0.01, 0.5, 0.4, 0.01
# If the diagnostics exceed these at the start, which is near the maximum, the ascent is skipped.
_HOPELESS_SHARE, _HOPELESS_POOR, _LOOKED_AT = 0.1, 0.25, 100


def fit_marginal_likelihood(
    problem: Problem,
    start: np.ndarray,
    settings: MarginalSettings | None = None,
    state: ScoringState | None = None,
    progress: Callable[[ScoringState], None] | None = None,
    memory: Mapping[str, np.ndarray] | None = None,
    curved: Problem | None = None,
    rough: bool = False,
) -> Estimate:
    """Maximise the marginal likelihood from a start near its maximum.

    Parameters
    ----------
    problem : Problem
    start : ndarray of shape (n_p,)
        Parameters that are held stay there.
    settings : MarginalSettings, optional
    state : ScoringState, optional
        The state of an interrupted ascent, which replaces the start.
    progress : callable, optional
        A function that receives the state after every step.
    memory : mapping, optional
        :attr:`~popinv.inference.likelihood.marginal.Evaluation.memory` at the start, evaluated
        through a similar simulator.
    curved : Problem, optional
        The same problem with a cheaper simulator that is accurate enough for the curvature and for
        the ends of intervals.
    rough : bool
        Whether only the maximum matters. The curvature is then the sum of the outer products of the
        scores, and neither second modes nor ends of intervals are computed.

    Returns
    -------
    Estimate
        It does not pass if the diagnostics say that the integrals are unreliable: too few effective
        draws, a large difference between S / 2 and S draws or a large error of the draws compared
        with the standard errors, or several modes in many systems.

    Raises
    ------
    DivergenceError
        If the likelihood is not finite at the start, or if so few draws are effective there that no
        ascent will make the integrals accurate enough.
    """
    settings = MarginalSettings() if settings is None else settings

    def point(p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
        return _point(problem, p, evaluate(problem, p, settings, memory))

    with fixed_threads():
        if state is None:
            _refuse_hopeless(problem, start, settings, memory)
            state = begin(point(np.array(start, dtype=float), memory or {}))
        state = ascend(state, point, problem, _MOST_STEPS, progress)
        curved = problem if curved is None else curved
        if not state.arrived:
            state = _newton(problem, curved, settings, state, point, progress)
        estimate = _estimate(problem, settings, state, None if rough else curved)
        if rough or not estimate.passes:
            return estimate
        return replace(estimate, ends=_profiles(curved, estimate, settings))


def _newton(
    problem: Problem,
    curved: Problem,
    settings: MarginalSettings,
    state: ScoringState,
    point: Evaluate,
    progress: Callable[[ScoringState], None] | None,
) -> ScoringState:
    """Continue an ascent with the observed curvature in place of the squares of the scores.

    The scores of few systems estimate the curvature badly, and steps with their squares arrive
    late.
    """
    for _ in range(_NEWTON_ROUNDS):
        evaluation = Evaluation(**state.point.memory)
        squares = _squares(evaluation)
        penalty = noise_penalty_at(problem, state.point.p).curvature
        curvature = penalty + _curvature(curved, settings, state.point, evaluation, squares)
        curvature = _positive(curvature, squares + penalty, problem.free)

        def newton(
            p: np.ndarray,
            memory: Mapping[str, np.ndarray],
            information: np.ndarray = curvature,
        ) -> Point:
            return replace(point(p, memory), information=information)

        first = replace(begin(replace(state.point, information=curvature)), path=state.path)
        first = replace(first, iteration=state.iteration)
        state = ascend(first, newton, problem, state.iteration + _NEWTON_STEPS, progress)
        promised = promised_gain(state.point, problem.free, problem.logarithmic)
        if state.arrived or promised < _NEWTON_TOLERANCE:
            return replace(state, arrived=True)
    return state


def _positive(curvature: np.ndarray, squares: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return a curvature whose eigenvalues, relative to the squares of the scores, are positive.

    A negative eigenvalue is replaced by its absolute value: a saddle is left, not approached.
    """
    inner = np.ix_(free, free)
    values, vectors = scipy.linalg.eigh(curvature[inner], squares[inner])
    # With squares = B, the vectors V satisfy V^T B V = I, and the curvature is B V diag V^T B.
    own = squares[inner] @ vectors
    positive = curvature.copy()
    positive[inner] = (own * np.maximum(np.abs(values), _LEAST_CURVATURE)) @ own.T
    return positive


def _refuse_hopeless(
    problem: Problem,
    p: np.ndarray,
    settings: MarginalSettings,
    memory: Mapping[str, np.ndarray] | None,
) -> None:
    """Check some systems before the integrals of all of them are computed."""
    count = len(problem.data)
    systems = np.linspace(0, count - 1, min(count, _LOOKED_AT)).astype(int)
    few = problem.of_systems(systems)
    near = {name: array[systems] for name, array in (memory or {}).items()}
    evaluation = evaluate(few, np.asarray(p, dtype=float), settings, near, systems)
    share = evaluation.effective_share.mean()
    poor = np.mean(evaluation.effective_share * settings.draws < _FEWEST_EFFECTIVE)
    if share < _HOPELESS_SHARE or poor > _HOPELESS_POOR:
        raise DivergenceError(
            f"only {share:.0%} of the draws count, and {poor:.0%} of the systems have too few "
            f"effective draws ({len(systems)} systems looked at)"
        )


def maximum_likelihood(
    problem: Problem, start: np.ndarray, settings: MarginalSettings
) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """Return only the maximum (n_p,), and the memory of the evaluation there."""

    def point(p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
        return _point(problem, p, evaluate(problem, p, settings, memory))

    with fixed_threads():
        _refuse_hopeless(problem, start, settings, None)
        first = begin(point(np.array(start, dtype=float), {}))
        maximum = ascend(first, point, problem, _MOST_STEPS).point
    return maximum.p, maximum.memory


def _profiles(
    problem: Problem, estimate: Estimate, settings: MarginalSettings
) -> Mapping[int, Ends]:
    if not np.any(ill_determined(problem, estimate)):
        return {}

    def point(p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
        return _point(problem, p, evaluate(problem, p, settings, memory))

    first = begin(point(estimate.p, {}))
    top = ascend(first, point, problem, _MOST_STEPS).point
    return profiles(problem, estimate, top, point)


def _squares(evaluation: Evaluation) -> np.ndarray:
    """Return the sum of outer products of the scores, less the part due to the draws' error."""
    squares = evaluation.scores.T @ evaluation.scores
    exact = squares - evaluation.score_error.T @ evaluation.score_error
    # With few systems the difference may not be positive definite.
    lowest = np.linalg.eigvalsh(exact)[0] if len(evaluation.scores) > len(squares) else -1.0
    return exact if lowest >= 0 else squares


def _point(problem: Problem, p: np.ndarray, evaluation: Evaluation) -> Point:
    if not (np.isfinite(evaluation.log_likelihood).all() and np.isfinite(evaluation.scores).all()):
        raise DivergenceError(f"the likelihood of a system is not finite at {p}")
    penalty = noise_penalty_at(problem, p)
    return Point(
        p,
        float(evaluation.log_likelihood.sum()) - penalty.value,
        evaluation.scores.sum(axis=0) - penalty.gradient,
        _squares(evaluation) + penalty.curvature,
        2 * float(np.sqrt((evaluation.value_error**2).sum())),
        evaluation.memory,
    )


def _curvature(
    problem: Problem,
    settings: MarginalSettings,
    point: Point,
    evaluation: Evaluation,
    squares: np.ndarray,
) -> np.ndarray:
    """Return the negative Hessian of the log likelihood, by differences of the scores."""
    n, free = len(problem.data), np.flatnonzero(problem.free)
    systems = np.arange(n)
    if n > _CURVATURE_SYSTEMS:
        rng = generator(problem.seed, f"{problem.stage}/curvature")
        systems = np.sort(rng.choice(n, _CURVATURE_SYSTEMS, replace=False))
    few = problem.of_systems(systems)
    memory = {name: array[systems] for name, array in evaluation.memory.items()}
    errors = np.sqrt(np.diag(restricted_inverse(point.information, problem.free)))
    each = np.zeros((2, len(systems), len(free), len(free)))
    for row, i in enumerate(free):
        shift = np.zeros(len(errors))
        shift[i] = min((_CURVATURE_STEP if n >= FEW_SYSTEMS else _STEP_OF_FEW) * errors[i], 0.5)
        up, down = (evaluate(few, point.p + s, settings, memory, systems) for s in (shift, -shift))
        for changes, name in zip(each, ("scores", "score_error"), strict=True):
            change = getattr(down, name) - getattr(up, name)
            changes[:, row] = change[:, free] / (2 * shift[i])
    each = (each + each.swapaxes(2, 3)) / 2
    inner = np.ix_(free, free)
    curvature = np.zeros((len(errors), len(errors)))
    curvature[inner] = steadied(each[0], each[1], squares[inner], n)
    return curvature


def _estimate(
    problem: Problem, settings: MarginalSettings, state: ScoringState, curved: Problem | None
) -> Estimate:
    evaluation, free = Evaluation(**state.point.memory), problem.free
    squares, of_penalty = _squares(evaluation), noise_penalty_at(problem, state.point.p).curvature
    curvature, several = state.point.information, 0.0
    if curved is not None:
        curvature = _curvature(curved, settings, state.point, evaluation, squares) + of_penalty
        several = second_modes(problem, state.point.p, settings, evaluation)
    definite = np.linalg.eigvalsh(curvature[np.ix_(free, free)])[0] > 0
    bread = restricted_inverse(curvature if definite else state.point.information, free)
    covariance = bread @ (squares + of_penalty) @ bread
    errors = np.sqrt(np.diag(covariance))
    monte_carlo = (evaluation.score_error @ bread).T @ (evaluation.score_error @ bread)
    shift = np.abs(evaluation.score_bias.sum(axis=0) @ bread)[free] / errors[free]
    diagnostics = {
        "value": float(evaluation.log_likelihood.sum()),
        "steps": float(state.iteration),
        "draws": float(settings.draws),
        "effective_share": float(evaluation.effective_share.mean()),
        "poor_share": float(
            np.mean(evaluation.effective_share * settings.draws < _FEWEST_EFFECTIVE)
        ),
        "draws_shift": float(shift.max(initial=0.0)),
        "draws_error": float((np.sqrt(np.diag(monte_carlo))[free] / errors[free]).max(initial=0)),
        "several_modes_share": several,
        "curvature_definite": float(definite),
    }
    reason = _doubt(state, diagnostics, len(evaluation.scores))
    return Estimate(
        p=state.point.p,
        covariance=covariance,
        monte_carlo=monte_carlo,
        influence=evaluation.scores @ bread,
        arrived=state.arrived,
        passes=not reason,
        reason=reason,
        diagnostics=diagnostics,
        arrays={
            "log_likelihood": evaluation.log_likelihood,
            "scores": evaluation.scores,
            "modes": evaluation.modes,
            "posterior_mean": evaluation.mean,
            "posterior_variance": evaluation.variance,
            "effective_share": evaluation.effective_share,
        },
        bound=np.sqrt(np.diag(restricted_inverse(squares, free))),
        path=state.path,
        bread=bread,
    )


def _doubt(state: ScoringState, diagnostics: Mapping[str, float], systems: int) -> str:
    """Return the reasons not to use the estimate, or ""."""
    reasons = []
    if not state.arrived:
        reasons.append(f"it has not converged after {state.iteration} steps")
    if diagnostics["effective_share"] < _LEAST_SHARE:
        reasons.append(f"only {diagnostics['effective_share']:.0%} of the draws count")
    # One system of few is a large share.
    one = 1.5 / systems
    if diagnostics["poor_share"] > max(_MOST_POOR, one):
        reasons.append(
            f"{diagnostics['poor_share']:.0%} of the systems have too few effective draws"
        )
    if not diagnostics["draws_shift"] <= _MOST_SHIFT:
        reasons.append(
            f"with half the draws the estimate moves by {diagnostics['draws_shift']:.2g} standard "
            "errors"
        )
    if not diagnostics["draws_error"] <= _MOST_ERROR:
        reasons.append(
            f"its draws have {diagnostics['draws_error']:.2g} standard errors of Monte-Carlo error"
        )
    if diagnostics["several_modes_share"] > max(_MOST_MODES, one):
        reasons.append(
            f"{diagnostics['several_modes_share']:.0%} of the systems have several modes"
        )
    if not diagnostics["curvature_definite"]:
        reasons.append("the log-likelihood is not concave at its end")
    return "; ".join(reasons)
