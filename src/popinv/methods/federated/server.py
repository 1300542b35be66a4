r"""The answer with one law for all sites.

The server takes the steps of the study's own estimators: scoring steps with the sums of scores and
information over all sites. The pseudo-likelihood comes first and gives the start of the likelihood.
The server adds the penalties, which depend on no observation.

The covariance is the sandwich :math:`A^{-1} B A^{-1}`. A is the expected information of the
pseudo-likelihood; for the likelihood it is the observed information, from differences of the sums
of the scores at 2 n_p points. B is the sum of the outer products of the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import restricted_inverse
from popinv.inference.estimators.marginal_estimate import without_errors
from popinv.inference.estimators.newton import informed
from popinv.inference.estimators.scoring import Evaluate, Point, ScoringState, ascend, begin
from popinv.inference.integrate.penalty import penalty_at
from popinv.methods.federated.channel import Channel, Message
from popinv.methods.federated.site import FIRST_DRAWS, Estimator, Site, units_of

MOST_STEPS = 60
# Largest number of ascents, and the move, in standard errors, after which no further ascent is
# needed.
MOST_ASCENTS, _STEPS, _SETTLED = 12, 12, 0.1
# Distance between the points of the differences, in standard errors, and in the parameter.
_STEP, _LONGEST = 0.3, 0.5
# Least effective share at any point of use, relative to the share where the draws are adapted.
_TRUSTED = 0.5


@dataclass(frozen=True)
class FederatedAnswer:
    """An answer p (n_p,) on law and noise, unconstrained.

    The covariance (n_p, n_p) is zero for parameters that are held, and the value is the log
    likelihood, less the penalties. ``arrived`` says whether the search has converged.
    """

    p: np.ndarray
    covariance: np.ndarray
    value: float
    arrived: bool

    @property
    def standard_error(self) -> np.ndarray:
        """Standard error of each entry, shape (n_p,)."""
        return np.sqrt(np.diag(self.covariance))


class Server:
    """The server of some sites, which knows their model and the number of their systems."""

    def __init__(self, sites: Sequence[Site], channel: Channel) -> None:
        self.sites, self.channel = sites, channel
        self.problem: Problem = sites[0].of_all
        self._units = units_of(sites[0].problem)
        # Points of the pseudo-likelihood so far, and the draws of the moments there.
        self.asked: list[tuple[np.ndarray, int | None]] = []

    def answer(self, start: np.ndarray, estimator: Estimator) -> FederatedAnswer:
        """Return the answer from a start (n_p,).

        Raises
        ------
        DivergenceError
            If the likelihood is not finite at the start.
        """
        of_moments = self.problem.of_moments
        p = np.array(start, dtype=float)
        # Far from the answer, few draws suffice.
        for draws in (FIRST_DRAWS, None):
            pseudo = partial(self._pseudo, draws=draws)
            state = ascend(begin(pseudo(p, {})), pseudo, of_moments, MOST_STEPS)
            p = state.point.p
        if estimator == "likelihood":
            return self._most_likely(p)
        told = self._ask("squares", p, [partial(site.told_squares, p) for site in self.sites])
        bread = restricted_inverse(state.point.information, of_moments.free)
        return self._answer(state, bread, told["squares"])

    def _most_likely(self, p: np.ndarray) -> FederatedAnswer:
        """Return the maximum of the likelihood near p."""
        adapts, information, point = self.sites[0].adapts, None, None
        for _ in range(MOST_ASCENTS):
            if adapts:
                # The draws adapt at the sites, and no message goes back.
                for site in self.sites:
                    site.adapt(p)
            if adapts or point is None:
                point = self._likelihood(p, {})
            evaluate = self._within_reach(point)
            if information is not None:
                point = replace(point, information=information)
                evaluate = informed(evaluate, information)
            state = ascend(begin(point), evaluate, self.problem, _STEPS if adapts else MOST_STEPS)
            point = state.point
            settled = has_settled(point, p, self.problem.free)
            p = point.p
            if state.arrived and (settled or not adapts):
                break
            information = self._observed(point)
        bread = restricted_inverse(self._observed(state.point), self.problem.free)
        return self._answer(state, bread, state.point.memory["squares"])

    def _answer(
        self, state: ScoringState, bread: np.ndarray, squares: np.ndarray
    ) -> FederatedAnswer:
        point = state.point
        meat = squares + penalty_at(self.problem, point.p).curvature
        return FederatedAnswer(point.p, bread @ meat @ bread, point.value, state.arrived)

    def _pseudo(self, p: np.ndarray, memory: Mapping[str, np.ndarray], draws: int | None) -> Point:
        """Request the pseudo-likelihood at p."""
        self.asked.append((p, draws))
        answers = [partial(site.told_pseudo, p, draws) for site in self.sites]
        told = self._ask("pseudo-likelihood", p, answers)
        return self._point(p, told, told["information"])

    def _likelihood(self, p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
        """Request the likelihood at p; the memory names the round from which sites start."""
        now, since = len(self.channel.rounds), int(memory["round"]) if memory else None
        told = self._ask(
            "likelihood", p, [partial(site.told_likelihood, p, since, now) for site in self.sites]
        )
        squares = without_errors(told["squares"], told["error_squares"], self.sites[0].systems)
        point = self._point(p, told, squares)
        known = {"round": np.array(now), "squares": squares, "effective": told["effective"]}
        return replace(point, error=2 * float(np.sqrt(told["square_error"])), memory=known)

    def _point(self, p: np.ndarray, told: Message, information: np.ndarray) -> Point:
        penalty = penalty_at(self.problem, p)
        return Point(
            p,
            float(told["value"]) - penalty.value,
            told["score"] - penalty.gradient,
            information + penalty.curvature,
        )

    def _observed(self, point: Point) -> np.ndarray:
        """Return the observed information with the penalties' curvature; squares if it fails."""
        free, since = np.flatnonzero(self.problem.free), int(point.memory["round"])
        errors = _errors(point.information, self.problem.free)
        curvature = np.zeros((len(errors), len(errors)))
        for i in free:
            shift = np.zeros(len(errors))
            shift[i] = min(_STEP * errors[i], _LONGEST)
            up, down = (self._score(point.p + s, since) for s in (shift, -shift))
            curvature[i, free] = (down - up)[free] / (2 * shift[i])
        penalty = penalty_at(self.problem, point.p).curvature
        curvature = (curvature + curvature.T) / 2 + penalty
        definite = np.linalg.eigvalsh(curvature[np.ix_(free, free)])[0] > 0
        return curvature if definite else point.memory["squares"] + penalty

    def _score(self, p: np.ndarray, since: int) -> np.ndarray:
        """Request the score of the likelihood near an earlier round."""
        told = self._ask("score", p, [partial(site.told_score, p, since) for site in self.sites])
        return told["score"]

    def _within_reach(self, adapted: Point) -> Evaluate:
        """Return the likelihood, which refuses points at which far fewer draws are effective."""
        least = _TRUSTED * float(adapted.memory["effective"])

        def near(p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
            there = self._likelihood(p, memory)
            if self.sites[0].adapts and float(there.memory["effective"]) < least:
                raise DivergenceError(f"the draws do not suit the posteriors at {p}")
            return there

        return near

    def _ask(
        self, question: str, p: np.ndarray, answers: Sequence[Callable[[], Message]]
    ) -> dict[str, np.ndarray]:
        if not np.isfinite(p).all():
            raise DivergenceError(f"the parameters {p} are not finite")
        return self.channel.ask(question, p, answers, self._units)


def _errors(information: np.ndarray, free: np.ndarray) -> np.ndarray:
    return np.sqrt(np.diag(restricted_inverse(information, free)))


def has_settled(point: Point, before: np.ndarray, free: np.ndarray) -> bool:
    """Return whether an ascent has moved so little that the draws need not be adapted again."""
    moved = np.abs(point.p - before)[free] / _errors(point.information, free)[free]
    return float(moved.max(initial=0.0)) < _SETTLED
