"""The maximum marginal likelihood estimate, and the diagnostics of its integrals.

The ascent consists of cycles. Within a cycle, the draws of all systems stay the same, so that the
likelihood is a smooth function. After a cycle

- draws that were adapted to the posteriors elsewhere are adapted again,
- systems with a further mode get adapted draws,
- the number of draws is raised until their error is small compared with the standard errors; if
  this needs many draws, all systems get adapted ones,
- a deviation that has gone to zero is raised again, if this gains.

On a ridge, the errors of the systems' scores are multiplied by the large variance along it. Draws
about the modes then have errors two to ten times as large as adapted draws, which cost one
evaluation.

If the model is linear in what varies, the likelihood has a closed form and needs no draws
(:mod:`popinv.inference.estimators.closed_form`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.density.division import joined
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.closed_form import fit_closed_form, is_linear
from popinv.inference.estimators.estimate import Estimate, restricted_inverse
from popinv.inference.estimators.likelihood_value import MOST_DRAWS, MOST_TOGETHER, with_value
from popinv.inference.estimators.marginal_estimate import (
    Likelihood,
    estimate_at,
    is_concave,
    judged_errors,
    point_of,
)
from popinv.inference.estimators.maximum import LOOKED_AT, nearer, refuse_hopeless
from popinv.inference.estimators.newton import (
    MOST_STEPS,
    informed,
    newton,
    observed_information,
    point_at,
)
from popinv.inference.estimators.restricted import (
    Restriction,
    check_restricted,
    restricted_state,
)
from popinv.inference.estimators.scoring import (
    TOLERANCE,
    Evaluate,
    Point,
    ScoringState,
    ascend,
    begin,
    off_saddle,
    promised_gain,
)
from popinv.inference.integrate.marginal import Evaluation, MarginalSettings
from popinv.inference.integrate.marginal_near import Near, draws_of_hard, likelihood_near
from popinv.inference.integrate.nested import calls_of_a_draw
from popinv.inference.integrate.penalty import penalty_at
from popinv.inference.uncertainty.profile import ill_determined
from popinv.inference.uncertainty.standard_errors import by_information
from popinv.threads import fixed_threads

# Largest number of cycles of an ascent, and of cycles that repeat with the observed information
# though they gain nothing.
_MOST_CYCLES, _MOST_DOUBTED = 20, 2
# Error of the draws, in standard errors, above which the number of draws rises; and the smaller
# error that is the target while the draws of all systems need few calls of the simulator.
_ERROR, _SMALL_ERROR, _FEW_DRAWS = 0.2, 0.02, 64_000
# The error above which draws are adapted where more of them would need many calls. Adapted draws
# need no further calls: so many of a system at first, of all systems, and numbers that are kept.
# With fewer, the likelihood on a ridge has maxima that are the draws' own.
_RIDGE_ERROR, _FIRST_ADAPTED, _ADAPTED_DRAWS, _ADAPTED_VALUES = 0.04, 2048, 1_000_000, 2**27
# They are not adapted where the observations determine less than this share of a random number.
_TOLD = 0.02
# Evaluations of a cycle in addition to its steps' evaluations, and the fewest of a cycle.
_BEFORE_STEPS, _OF_A_CYCLE = 2, 4
# The error of evenly spread draws falls at least with this power of their number.
_RATE = 0.5
# Relative to the effective share at the point of adaptation: the least share at every point where
# the draws are used, and the share below which they are adapted again.
_TRUSTED, _OUTWORN = 0.8, 0.9
# A deviation is raised again if it is smaller than at the start by more than this logarithm: to
# this share of the start, if the log likelihood gains more than the last number.
_DEEP_BELOW, _RAISED, _HIGHER = 1.5, 0.3, 0.5
# Steps of a cycle in which all draws are adapted.
_STEPS_OF_ADAPTED = 8
# With fewer systems for each parameter, the squares of their scores are a poor curvature.
_SYSTEMS_PER_PARAMETER = 25


def fit_marginal_likelihood(
    problem: Problem,
    start: np.ndarray,
    settings: MarginalSettings | None = None,
    state: ScoringState | None = None,
    progress: Callable[[ScoringState], None] | None = None,
    memory: Mapping[str, np.ndarray] | None = None,
    curved: Problem | None = None,
    rough: bool = False,
    granted: float = math.inf,
    information: np.ndarray | None = None,
    restricted: bool = False,
) -> Estimate:
    """Maximise the marginal likelihood from a start near its maximum.

    Parameters
    ----------
    start : ndarray of shape (n_p,)
        Parameters that are held stay there.
    settings : MarginalSettings, optional
        Its number of draws is the first.
    state : ScoringState, optional
        The state of an interrupted ascent; it replaces the start.
    progress : callable, optional
        A function that receives the state after every step.
    memory : mapping, optional
        :attr:`~popinv.inference.integrate.marginal.Evaluation.memory` at the start, evaluated
        through a similar simulator. Without a memory, the fit first checks on some systems whether
        the integrals can be accurate.
    curved : Problem, optional
        The same problem with a cheaper simulator that is accurate enough for the curvature, for the
        ends of intervals, and for the densities to which draws are adapted.
    rough : bool
        Whether only the maximum matters. The curvature is then the sum of the outer products of the
        scores, and neither further modes nor ends of intervals are computed.
    granted : float
        Calls of the simulator by draws, in all evaluations. The limit does not apply to the first
        cycle; further cycles end, and take no more draws, before they exceed it.
    information : ndarray of shape (n_p, n_p), optional
        Approximate negative Hessian of the log likelihood, such as the Hessian of the
        pseudo-likelihood. The first steps use it if there are few systems, as the squares of few
        scores are a poor curvature.
    restricted : bool
        Whether the law's means are integrated, so that the estimate is by restricted maximum
        likelihood (:mod:`popinv.inference.estimators.restricted`).

    Returns
    -------
    Estimate
        It does not pass if the diagnostics say that the integrals are unreliable: too few effective
        draws, a large difference between S / 2 and S draws or a large error of the draws compared
        with the standard errors, or several modes in many systems.

    Raises
    ------
    DivergenceError
        If the likelihood is not finite at the start, or if too few draws are effective there for an
        ascent to make the integrals accurate enough; or if the law has no means to integrate.
    """
    if restricted:
        check_restricted(problem)
    settings = MarginalSettings() if settings is None else settings
    with fixed_threads():
        if state is None and is_linear(problem, start):
            return fit_closed_form(problem, start, progress, restricted)
        ascent = _Ascent(
            problem, settings, curved, progress, rough, granted, information, restricted
        )
        try:
            return ascent.run(np.array(start, dtype=float), state, memory)
        except np.linalg.LinAlgError as error:
            raise DivergenceError("the likelihood's information is singular") from error


@dataclass(frozen=True)
class _Cycle:
    """What a cycle begins with, from which its likelihood follows.

    Attributes
    ----------
    p : ndarray of shape (n_p,)
        Where draws are adapted.
    hard : ndarray of int
        Systems that are known to be hard, by their positions among all.
    information : ndarray of shape (n_p, n_p)
        It replaces the squares of the scores; if it is not finite, the squares are used.
    number, steps : int
        Number of the cycle, and of the steps before it.
    spent : float
        Calls of the simulator by draws, in the evaluations before it.
    path : ndarray of shape (k, n_p)
        The points of the cycles before.
    """

    p: np.ndarray
    draws: int
    hard: np.ndarray
    information: np.ndarray
    number: int
    steps: int
    spent: float
    path: np.ndarray

    @classmethod
    def first(cls, p: np.ndarray, draws: int) -> _Cycle:
        """Return the first cycle of an ascent from p."""
        unknown, nobody = np.full((len(p), len(p)), np.nan), np.zeros(0, dtype=int)
        return cls(p, draws, nobody, unknown, 0, 0, 0.0, np.zeros((0, len(p))))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the cycle as arrays, for a checkpoint."""
        return {name: np.asarray(value) for name, value in vars(self).items()}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> _Cycle:
        """Return the cycle from its arrays."""
        p, hard, information, path = (
            np.array(arrays[name]) for name in ("p", "hard", "information", "path")
        )
        draws, number, steps = (int(arrays[name]) for name in ("draws", "number", "steps"))
        return cls(p, draws, hard, information, number, steps, float(arrays["spent"]), path)


@dataclass(frozen=True)
class _Ascent:
    """The ascent of one problem, by the arguments of :func:`fit_marginal_likelihood`."""

    problem: Problem
    settings: MarginalSettings
    curved: Problem | None
    progress: Callable[[ScoringState], None] | None
    rough: bool
    granted: float
    information: np.ndarray | None
    restricted: bool

    @property
    def calls(self) -> float:
        """Calls of the simulator for one draw of all systems."""
        return self.problem.count * calls_of_a_draw(self.problem)

    @property
    def few(self) -> bool:
        """Whether the squares of the scores are a poor curvature."""
        return self.problem.count < _SYSTEMS_PER_PARAMETER * int(self.problem.free.sum())

    def run(
        self, start: np.ndarray, state: ScoringState | None, memory: Mapping[str, np.ndarray] | None
    ) -> Estimate:
        """Return the estimate, from a start or from an interrupted state."""
        cycle = _Cycle.first(start, self.settings.draws)
        if self.few and self.information is not None:
            cycle = replace(cycle, information=self.information)
        if state is not None:
            cycle, memory = _Cycle.of(state.context), None
        elif memory is None:
            # A memory exists only where the integrals are accurate.
            few = refuse_hopeless(self.problem, start, self.settings)
            if few.can_adapt and not self.rough and len(few.further(start, few.here)[0]):
                by_modes = likelihood_near(self.problem, start, self.settings)
                hard = np.union1d(by_modes.hard, by_modes.further(start, by_modes.here)[0])
                cycle = replace(cycle, hard=hard)
            elif self.problem.count <= LOOKED_AT:
                rows = self.problem.numbers
                memory = {name: each[rows] for name, each in few.here.memory.items()}
            else:
                cycle = replace(cycle, p=nearer(self.problem, few, start))
        while True:
            near = self.near(cycle, memory)
            state = self.ascended(cycle, near, state)
            following, several, curvature = self.following(cycle, near, state)
            if following is None:
                following = None if self.rough else self.raised(cycle, near, state, start)
            if following is None:
                break
            cycle, memory, state = following, state.point.memory, None
        settings = replace(self.settings, draws=cycle.draws)
        total = replace(
            state,
            iteration=cycle.steps + state.iteration,
            path=np.concatenate([cycle.path, state.path]),
        )
        if self.rough:
            return estimate_at(self.problem, cycle.draws, total, None, None, 0.0)
        restriction = None
        if self.restricted:
            cycle, near, total, restriction = self.restrict(cycle, near, total, start)
            state, curvature = total, None
        curved, memory = self.curved or self.problem, state.point.memory
        by_curved: Likelihood = near
        if self.curved is not None:
            curvature = None
            by_curved = likelihood_near(
                curved, state.point.p, settings, None, memory, None, near.hard
            )

        def few_draws(information: np.ndarray) -> Evaluate:
            # The ends of intervals are many maxima, and need not be accurate to many digits.
            few = likelihood_near(
                curved, state.point.p, self.settings, None, memory, None, near.hard
            )
            # The squares of few scores are a poor curvature.
            point = point_at(curved, few)
            point = informed(point, information) if by_information(curved) else point
            return point if restriction is None else replace(restriction, likelihood=few).of(point)

        added = None if restriction is None else restriction.at(state.point)
        estimate = estimate_at(
            self.problem, cycle.draws, total, by_curved, few_draws, several, curvature, added
        )
        if not settings.new_value:
            return estimate
        return with_value(
            self.problem,
            estimate,
            settings,
            memory,
            near.hard,
            self.spent(cycle, state),
            self.granted,
            self.curved,
        )

    def raised(
        self, cycle: _Cycle, near: Near, state: ScoringState, start: np.ndarray
    ) -> _Cycle | None:
        """Return a cycle where deviations that are nearly zero are raised, if this gains.

        At a deviation of zero the score of its logarithm vanishes, whatever the likelihood of
        larger ones. An ascent from far away may end there.
        """
        problem, p = self.problem, state.point.p
        covariance = restricted_inverse(state.point.information, problem.free)
        small = ill_determined(problem, covariance) & (p < start - _DEEP_BELOW)
        if not small.any() or self.affords(cycle) < cycle.draws:
            return None
        raised = np.where(small, start + math.log(_RAISED), p)
        try:
            if len(near.hard):
                # Adapted draws serve near p alone.
                there = self.near(replace(cycle, p=raised), None).here
                point = point_of(problem, raised, there)
            else:
                point = point_at(problem, near)(raised, state.point.memory)
        except DivergenceError:
            return None
        if point.value < state.point.value + _HIGHER:
            return None
        return replace(self.after(cycle, state), p=raised, number=0)

    def after(self, cycle: _Cycle, state: ScoringState) -> _Cycle:
        """Return the cycle that begins where another has ended."""
        return replace(
            cycle,
            p=state.point.p,
            number=cycle.number + 1,
            steps=cycle.steps + state.iteration,
            spent=self.spent(cycle, state),
            path=np.concatenate([cycle.path, state.path]),
        )

    def restrict(
        self, cycle: _Cycle, near: Near, state: ScoringState, start: np.ndarray
    ) -> tuple[_Cycle, Near, ScoringState, Restriction]:
        """Return the maximum of the restricted likelihood, with draws that suit it."""
        for last in (False, True):
            state, restriction = restricted_state(self.problem, near, state, start, self.progress)
            if not last:
                cycle = replace(cycle, p=state.point.p)
                near = self.near(cycle, state.point.memory)
                point = point_of(self.problem, cycle.p, near.here)
                state = replace(state, point=point)
        return cycle, near, state, restriction

    def near(self, cycle: _Cycle, memory: Mapping[str, np.ndarray] | None) -> Near:
        """Return the likelihood of a cycle."""
        settings = replace(self.settings, draws=cycle.draws)
        return likelihood_near(
            self.problem, cycle.p, settings, memory=memory, cheap=self.curved, hard=cycle.hard
        )

    def all_adapted(self, near: Near) -> bool:
        """Return whether the draws of all systems are adapted to their posteriors."""
        return len(near.hard) == self.problem.count

    def ascended(self, cycle: _Cycle, near: Near, state: ScoringState | None) -> ScoringState:
        """Return the end of a cycle's ascent."""
        problem, point = self.problem, _within_reach(point_at(self.problem, near), near)
        known = bool(np.isfinite(cycle.information).all())
        if known:
            point = informed(point, cycle.information)
        if state is None:
            first = point_of(problem, cycle.p, near.here)
            if known:
                first = replace(first, information=cycle.information)
            first = off_saddle(problem, first, point)
            state = replace(begin(first), context=cycle.arrays())
        most = _STEPS_OF_ADAPTED if self.all_adapted(near) else MOST_STEPS
        state = ascend(state, point, problem, most, self.progress)
        if (better := off_saddle(problem, state.point, point)) is not state.point:
            state = replace(state, point=better, arrived=False, iteration=0, secant=None)
            state = ascend(state, point, problem, most, self.progress)
        if not state.arrived and not self.all_adapted(near):
            plain = _within_reach(point_at(problem, near), near)
            state = newton(problem, near, state, plain, self.progress)
        return state

    def following(
        self, cycle: _Cycle, near: Near, state: ScoringState
    ) -> tuple[_Cycle | None, float, np.ndarray | None]:
        """Return the next cycle, or None if the ascent is at its end.

        The second value is the share of systems with several modes that the draws do not cover, the
        third the curvature if it was computed.
        """
        problem, p, information = self.problem, state.point.p, cycle.information
        evaluation, few = Evaluation(**state.point.memory), self.few and not self.rough
        following = self.after(cycle, state)
        last = cycle.number + 1 >= _MOST_CYCLES or self.affords(following) < cycle.draws
        # Systems that are hard wherever the ascent is have adapted draws in any case.
        if len(cycle.hard) and not last and self.all_adapted(near) and not _all_told(evaluation):
            return replace(following, hard=np.empty(0, dtype=int)), 0.0, None
        # Where all draws are adapted, new ones lead further than many steps with the old ones.
        stopped = self.all_adapted(near) and not state.arrived
        outworn = (stopped or _outworn(near, evaluation)) and not last
        if few and np.isfinite(information).all() and not (last or outworn):
            steadier = self.steadier(following, near, evaluation)
            # The information known so far shows whether more draws are needed. A small error of the
            # draws suggests no spurious further modes.
            if steadier and judged_errors(problem, evaluation, information) <= _ERROR:
                return steadier, 0.0, None
        doubted, curvature = False, None
        if few:
            own = point_of(problem, p, evaluation)
            information, curvature = observed_information(problem, near, own)
            own = replace(own, information=information)
            following = replace(following, information=information)
            # A curvature that is too large predicts too small a gain. Cycles that gain go on.
            gained = own.value - point_of(problem, cycle.p, near.here).value
            doubted = promised_gain(own, problem) > TOLERANCE and (
                cycle.number < _MOST_DOUBTED or gained > TOLERANCE
            )
        if not last and (outworn or doubted):
            return following, 0.0, None
        if curvature is not None and not last:
            # The search may have ended on a saddle, or beside a second maximum.
            seen = curvature + penalty_at(problem, p).observed
            if not is_concave(seen, problem.free):
                point = _within_reach(point_at(problem, near), near)
                if (better := off_saddle(problem, own, point, seen)) is not own:
                    return replace(following, p=better.p), 0.0, None
        if self.rough:
            return None, 0.0, None
        further, share = near.further(p, evaluation)
        hard = np.union1d(cycle.hard, further)
        # With too many hard systems, none has adapted draws, and the same systems are found again.
        if len(hard) > len(cycle.hard) and near.can_adapt and not last:
            return replace(following, hard=hard), share, None
        steadier = None if last else self.steadier(following, near, evaluation)
        return steadier, share, curvature

    def spent(self, cycle: _Cycle, state: ScoringState) -> float:
        """Return the calls of the simulator in the evaluations up to this state of a cycle."""
        evaluations = state.iteration + _BEFORE_STEPS
        return cycle.spent + float(evaluations * cycle.draws * self.calls)

    def affords(self, cycle: _Cycle) -> float:
        """Return the largest number of draws of a system with which a cycle may be made."""
        return (self.granted - cycle.spent) / (_OF_A_CYCLE * self.calls)

    def steadier(self, following: _Cycle, near: Near, evaluation: Evaluation) -> _Cycle | None:
        """Return the next cycle with draws of smaller errors, or None if they are small enough.

        Its information is the last one that is known. Draws are adapted, or else their number is
        raised, as far as allowed.
        """
        problem, information, draws = self.problem, following.information, following.draws
        error, afforded = judged_errors(problem, evaluation, information), self.affords(following)
        more = self.more_draws(error, draws, afforded, _SMALL_ERROR, _FEW_DRAWS)
        if error > _ERROR or (error > _RIDGE_ERROR and more == draws):
            adapted = draws_of_hard(draws)
            while 2 * adapted <= min(_FIRST_ADAPTED, _ADAPTED_DRAWS / problem.count):
                adapted *= 2
            numbers = problem.count * adapted * (problem.data.shape[1] + problem.law.d_z)
            allowed = near.can_adapt and numbers <= _ADAPTED_VALUES and adapted <= afforded
            allowed = allowed and _all_told(evaluation)
            # With too many hard systems, none has adapted draws.
            if allowed and len(following.hard) < problem.count:
                return replace(following, hard=np.arange(problem.count), draws=adapted)
            if self.all_adapted(near):
                more = self.more_draws(error, draws, afforded, _RIDGE_ERROR, _ADAPTED_DRAWS)
        return replace(following, draws=more) if more > draws else None

    def more_draws(self, error: float, draws: int, afforded: float, small: float, few: int) -> int:
        """Return the number of draws for an error below 0.2, or a small one while draws are few."""
        most = min(MOST_DRAWS, MOST_TOGETHER / self.calls, afforded)
        wanted = float(draws)
        if error > _ERROR:
            wanted = draws * (error / _ERROR) ** (1 / _RATE)
        elif error > small:
            wanted = min(draws * error / small, few / self.calls)
        if wanted <= draws:
            return draws
        doubled = draws * 2 ** math.ceil(math.log2(wanted / draws))
        while doubled > max(most, draws):
            doubled //= 2
        return doubled


def _all_told(evaluation: Evaluation) -> bool:
    """Return whether the observations tell something of every random number of the systems.

    Draws z that do not depend on the law have scores of ``log p(z | alpha)``. Where the deviation s
    of a parameter is so small that the observations tell nothing of it, the information of s^-2 for
    each system is to cancel to zero, up to an error of the draws that is much larger than what the
    observations do tell.
    """
    return bool((1 - evaluation.variance.mean(axis=0)).min(initial=1.0) > _TOLD)


def _outworn(near: Near, evaluation: Evaluation) -> bool:
    """Return whether adapted draws no longer suit the posteriors at the end of a cycle."""
    if not len(near.hard):
        return False
    then, now = (_share_of_hard(near, each.memory) for each in (near.here, evaluation))
    return bool(now < _OUTWORN * then)


def _share_of_hard(near: Near, memory: Mapping[str, np.ndarray]) -> float:
    """Return the mean of the effective shares of the systems whose draws are adapted."""
    own = near.problem.rows_of(near.hard)
    return float(joined(near.problem, memory["effective_share"][own]).mean())


def _within_reach(point: Evaluate, near: Near) -> Evaluate:
    """Return a likelihood that refuses points at which far fewer adapted draws are effective.

    Far from where the draws are adapted, it may have maxima of its own.
    """
    if not len(near.hard):
        return point
    least = _TRUSTED * _share_of_hard(near, near.here.memory)

    def within(p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
        there = point(p, memory)
        if _share_of_hard(near, there.memory) < least:
            raise DivergenceError(f"the draws do not suit the posteriors at {p}")
        return there

    return within
