"""The maximum marginal likelihood estimate, and the diagnostics of its integrals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.estimate import Estimate
from popinv.inference.likelihood.few_systems import adapts, fit_few_systems
from popinv.inference.likelihood.fixed_draws import adapted_draws
from popinv.inference.likelihood.marginal import (
    Evaluation,
    MarginalSettings,
    evaluate,
    second_modes,
)
from popinv.inference.likelihood.marginal_estimate import (
    FEWEST_EFFECTIVE,
    Likelihood,
    estimate_at,
    squares_of,
)
from popinv.inference.likelihood.newton import (
    MOST_STEPS,
    informed,
    newton,
    point_at,
    profile_ends,
)
from popinv.inference.likelihood.penalty import penalty_at
from popinv.inference.likelihood.scoring import (
    Evaluate,
    ScoringState,
    ascend,
    begin,
    promised_gain,
)
from popinv.inference.problem import Problem
from popinv.threads import fixed_threads

__all__ = [
    "fit_marginal_likelihood",
    "likelihood_near",
    "maximum_likelihood",
    "maximum_with_information",
]

# Gain in the log likelihood that may be left by steps with a curvature of other systems.
_SMALL_GAIN = 0.02
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
        through a similar simulator. Without one, some systems are looked at first, whether their
        integrals can be accurate.
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
        if adapts(problem, settings):
            p = np.array(start, dtype=float) if state is None else state.point.p
            try:
                return fit_few_systems(problem, p, settings, progress, rough)
            except np.linalg.LinAlgError as error:
                raise DivergenceError("the likelihood's information is singular") from error
        likelihood, evaluated = _by_modes(problem, settings), {} if memory is None else memory
        point = point_at(problem, likelihood)
        if state is None:
            # Whoever has a memory knows that the integrals are accurate.
            if memory is None:
                _refuse_hopeless(problem, start, settings)
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
        return replace(estimate, ends=profile_ends(problem, curvature, estimate, {}))


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


def likelihood_near(
    problem: Problem, p: np.ndarray, settings: MarginalSettings, numbers: np.ndarray | None = None
) -> Likelihood:
    """Return the likelihood for evaluations near p, with draws that are adapted there if they can.

    ``numbers`` are as for :func:`popinv.inference.likelihood.marginal.evaluate`.
    """
    if adapts(problem, settings):
        return adapted_draws(problem, p, settings)[0]
    return _by_modes(problem, settings, numbers)


def _arrive(
    problem: Problem,
    curved: Likelihood,
    state: ScoringState,
    point: Evaluate,
    progress: Callable[[ScoringState], None] | None,
) -> ScoringState:
    """Ascend by scoring steps, and by Newton's steps if these do not arrive."""
    state = ascend(state, point, problem, MOST_STEPS, progress)
    return state if state.arrived else newton(problem, curved, state, point, progress)


def _refuse_hopeless(problem: Problem, p: np.ndarray, settings: MarginalSettings) -> None:
    """Check some systems before the integrals of all of them are computed."""
    count = len(problem.data)
    systems = np.linspace(0, count - 1, min(count, _LOOKED_AT)).astype(int)
    few = problem.of_systems(systems)
    evaluation = evaluate(few, np.asarray(p, dtype=float), settings, None, systems)
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
    point = point_at(problem, _by_modes(problem, settings))
    with fixed_threads():
        _refuse_hopeless(problem, start, settings)
        first = begin(point(np.array(start, dtype=float), {}))
        maximum = ascend(first, point, problem, MOST_STEPS).point
    return maximum.p, maximum.memory


def maximum_with_information(
    problem: Problem,
    start: np.ndarray,
    settings: MarginalSettings,
    information: np.ndarray,
    numbers: np.ndarray | None = None,
    most: int = MOST_STEPS,
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
    likelihood = likelihood_near(problem, start, settings, numbers)
    point = point_at(problem, likelihood)
    with fixed_threads():
        first = replace(point(np.array(start, dtype=float), {}), information=information)
        state = ascend(begin(first), informed(point, information), problem, most)
        squares = squares_of(Evaluation(**state.point.memory))
        squares = squares + penalty_at(problem, state.point.p).curvature
        own = replace(state.point, information=squares)
        left = promised_gain(own, problem.free, problem.logarithmic)
        if not state.arrived or left > _SMALL_GAIN:
            state = replace(state, point=own, arrived=False)
            state = newton(problem, likelihood, state, point, None)
    return state.point.p, state.arrived
