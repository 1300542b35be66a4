"""The maximum marginal likelihood estimate, and the diagnostics of its integrals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import scipy.linalg

from popinv.errors import DivergenceError
from popinv.inference.estimate import Estimate, restricted_inverse
from popinv.inference.likelihood.fixed_draws import adapted_draws, may_adapt
from popinv.inference.likelihood.marginal import (
    Evaluation,
    MarginalSettings,
    evaluate,
    second_modes,
)
from popinv.inference.likelihood.marginal_estimate import (
    FEW_SYSTEMS,
    FEWEST_EFFECTIVE,
    Likelihood,
    curvature_at,
    estimate_at,
    point_of,
    squares_of,
)
from popinv.inference.likelihood.penalty import penalty_at
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
from popinv.threads import fixed_threads

__all__ = ["fit_marginal_likelihood", "maximum_likelihood", "maximum_with_information"]

_MOST_STEPS = 30
# How often the curvature is taken anew, and the steps with each.
_NEWTON_ROUNDS, _NEWTON_STEPS = 8, 6
# Gain of the next step, in the log likelihood, with which it has arrived: 0.1 standard errors.
_NEWTON_TOLERANCE = 0.005
# Gain in the log likelihood that may be left by steps with a curvature of other systems.
_SMALL_GAIN = 0.02
# Smallest curvature of a step, relative to the squares of the scores.
_LEAST_CURVATURE = 0.05
# How often the draws of few systems are adapted; and the steps, in standard errors, after which all
# draws are used, and after which they need not be adapted again.
_MOST_ADAPTATIONS, _NEARLY_SETTLED, _SETTLED = 20, 0.5, 0.1
# Share of the effective draws where they are adapted that are effective wherever they are used.
_TRUSTED = 0.5
# Scoring steps with the same draws, and draws of each system until the steps are short.
_STEPS_OF_FEW, _COARSE_DRAWS = 12, 1000
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
    with fixed_threads():
        # Draws are adapted to constant Gaussian noise only.
        adapts = may_adapt(problem.law, settings.draws) and not problem.noise.varies
        if len(problem.data) < FEW_SYSTEMS and adapts:
            p = np.array(start, dtype=float) if state is None else state.point.p
            return _fit_few(problem, p, settings, progress, rough)
        likelihood, evaluated = _by_modes(problem, settings), {} if memory is None else memory
        point = _point_at(problem, likelihood)
        if state is None:
            _refuse_hopeless(problem, start, settings, memory)
            state = begin(point(np.array(start, dtype=float), evaluated))
        curvature = likelihood if curved is None else _by_modes(curved, settings)
        state = _arrive(problem, curvature, state, point, progress)
        if rough:
            return estimate_at(problem, settings, state, None, 0.0)
        evaluation = Evaluation(**state.point.memory)
        several = second_modes(problem, state.point.p, settings, evaluation)
        estimate = estimate_at(problem, settings, state, curvature, several)
        if not estimate.passes:
            return estimate
        return replace(estimate, ends=_profiles(problem, curvature, estimate, {}))


def _by_modes(
    problem: Problem, settings: MarginalSettings, numbers: np.ndarray | None = None
) -> Likelihood:
    """Return the likelihood with draws about the mode of each system.

    ``numbers`` (N,) are the numbers of the systems, which determine their draws; by default their
    positions.
    """

    def likelihood(
        p: np.ndarray,
        memory: Mapping[str, np.ndarray] | None = None,
        systems: np.ndarray | None = None,
    ) -> Evaluation:
        some = problem if systems is None else problem.of_systems(systems)
        chosen = systems
        if numbers is not None:
            chosen = numbers if systems is None else numbers[systems]
        return evaluate(some, p, settings, memory, chosen)

    return likelihood


def _point_at(problem: Problem, likelihood: Likelihood) -> Evaluate:
    def point(p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
        return point_of(problem, p, likelihood(p, memory, None))

    return point


def _arrive(
    problem: Problem,
    curved: Likelihood,
    state: ScoringState,
    point: Evaluate,
    progress: Callable[[ScoringState], None] | None,
) -> ScoringState:
    """Ascend by scoring steps, and by Newton's steps if these do not arrive."""
    state = ascend(state, point, problem, _MOST_STEPS, progress)
    return state if state.arrived else _newton(problem, curved, state, point, progress)


def _fit_few(
    problem: Problem,
    start: np.ndarray,
    settings: MarginalSettings,
    progress: Callable[[ScoringState], None] | None,
    rough: bool,
) -> Estimate:
    """Return the estimate of few systems, whose draws are adapted to their posteriors.

    Each ascent has the same draws, which are adapted again at its end. The first ascents have
    fewer.
    """
    p, mixtures, information, steps, path = start, None, None, 0, start[None]
    now = replace(settings, draws=min(settings.draws, _COARSE_DRAWS))
    for _ in range(_MOST_ADAPTATIONS):
        likelihood, mixtures = adapted_draws(problem, p, now, mixtures)
        plain = _point_at(problem, likelihood)
        first = plain(p, {})
        point = _within_reach(plain, Evaluation(**first.memory))
        if information is not None:
            first, point = replace(first, information=information), _informed(point, information)
        state = ascend(begin(first), point, problem, _STEPS_OF_FEW, progress)
        steps, path = steps + state.iteration, np.concatenate([path, state.path[1:]])
        moved, p = np.abs(state.point.p - p), state.point.p
        errors = np.sqrt(np.diag(restricted_inverse(state.point.information, problem.free)))
        distance = np.max((moved / np.maximum(errors, 1e-12))[problem.free], initial=0.0)
        if now is settings and state.arrived and distance < _SETTLED:
            break
        if distance < _NEARLY_SETTLED:
            information, now = _observed(problem, likelihood, plain(p, {})), settings
    state = replace(state, point=plain(p, {}), arrived=distance < _SETTLED)
    state = replace(state, iteration=steps, path=path)
    estimate = estimate_at(problem, settings, state, None if rough else likelihood, 0.0)
    if rough or not estimate.passes:
        return estimate
    return replace(estimate, ends=_profiles(problem, likelihood, estimate, state.point.memory))


def _within_reach(point: Evaluate, adapted: Evaluation) -> Evaluate:
    """Return a likelihood that refuses points at which far fewer draws are effective.

    Far from where the draws are adapted, it may have maxima of its own.
    """
    least = _TRUSTED * float(adapted.effective_share.mean())

    def near(p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
        there = point(p, memory)
        if float(there.memory["effective_share"].mean()) < least:
            raise DivergenceError(f"the draws are not those of the posteriors at {p}")
        return there

    return near


def _informed(point: Evaluate, information: np.ndarray) -> Evaluate:
    """Return the likelihood with a given information in place of the squares of the scores."""

    def informed(p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
        return replace(point(p, memory), information=information)

    return informed


def _observed(problem: Problem, curved: Likelihood, point: Point) -> np.ndarray:
    """Return the observed information at a point, made positive."""
    evaluation = Evaluation(**point.memory)
    squares = squares_of(evaluation)
    penalty = penalty_at(problem, point.p).curvature
    curvature = penalty + curvature_at(problem, curved, point, evaluation, squares)
    return _positive(curvature, squares + penalty, problem.free)


def _newton(
    problem: Problem,
    curved: Likelihood,
    state: ScoringState,
    point: Evaluate,
    progress: Callable[[ScoringState], None] | None,
) -> ScoringState:
    """Continue an ascent with the observed curvature in place of the squares of the scores.

    The scores of few systems estimate the curvature badly, and steps with their squares arrive
    late.
    """
    for _ in range(_NEWTON_ROUNDS):
        curvature = _observed(problem, curved, state.point)
        newton = _informed(point, curvature)
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
    poor = np.mean(evaluation.effective_share * settings.draws < FEWEST_EFFECTIVE)
    if share < _HOPELESS_SHARE or poor > _HOPELESS_POOR:
        raise DivergenceError(
            f"only {share:.0%} of the draws count, and {poor:.0%} of the systems have too few "
            f"effective draws ({len(systems)} systems looked at)"
        )


def maximum_likelihood(
    problem: Problem, start: np.ndarray, settings: MarginalSettings
) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """Return only the maximum (n_p,), and the memory of the evaluation there."""
    point = _point_at(problem, _by_modes(problem, settings))
    with fixed_threads():
        _refuse_hopeless(problem, start, settings, None)
        first = begin(point(np.array(start, dtype=float), {}))
        maximum = ascend(first, point, problem, _MOST_STEPS).point
    return maximum.p, maximum.memory


def maximum_with_information(
    problem: Problem,
    start: np.ndarray,
    settings: MarginalSettings,
    information: np.ndarray,
    numbers: np.ndarray | None = None,
    most: int = _MOST_STEPS,
) -> tuple[np.ndarray, bool]:
    """Return the maximum (n_p,), by steps with a given information, and whether it was reached.

    The scores of few systems estimate the information badly, so that one that is known from more
    systems is better. If it leads nowhere, or if more is to be gained by the squares of the scores,
    the ascent goes on with the observed curvature.

    Parameters
    ----------
    problem : Problem
    start : ndarray of shape (n_p,)
    settings : MarginalSettings
    information : ndarray of shape (n_p, n_p)
        The negative Hessian of the log likelihood, about.
    numbers : ndarray of int, shape (N,), optional
        As in :func:`popinv.inference.likelihood.marginal.evaluate`.
    most : int
        Largest number of steps.

    Raises
    ------
    DivergenceError
        If the likelihood is not finite at the start.
    """
    likelihood = _by_modes(problem, settings, numbers)
    point = _point_at(problem, likelihood)
    with fixed_threads():
        first = replace(point(np.array(start, dtype=float), {}), information=information)
        state = ascend(begin(first), _informed(point, information), problem, most)
        squares = squares_of(Evaluation(**state.point.memory))
        squares = squares + penalty_at(problem, state.point.p).curvature
        own = replace(state.point, information=squares)
        left = promised_gain(own, problem.free, problem.logarithmic)
        if not state.arrived or left > _SMALL_GAIN:
            state = replace(state, point=own, arrived=False)
            state = _newton(problem, likelihood, state, point, None)
    return state.point.p, state.arrived


def _profiles(
    problem: Problem,
    likelihood: Likelihood,
    estimate: Estimate,
    memory: Mapping[str, np.ndarray],
) -> Mapping[int, Ends]:
    if not np.any(ill_determined(problem, estimate)):
        return {}
    point = _point_at(problem, likelihood)
    top = ascend(begin(point(estimate.p, memory)), point, problem, _MOST_STEPS).point
    return profiles(problem, estimate, top, point)
