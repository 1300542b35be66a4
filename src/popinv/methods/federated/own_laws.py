r"""The answer with a law for each site, which does not leave it, and one law of the noise.

Given the noise's gamma, a site maximises its likelihood over its law alpha_s. With scores
:math:`s_a, s_g` of law and noise and the information I of its systems there, the site sends the
profile score and the profile information of gamma,

.. math::
    t = s_g - I_{ga} I_{aa}^{-1} s_a, \qquad I_{gg} - I_{ga} I_{aa}^{-1} I_{ag},

summed over its systems (Murphy and van der Vaart, On profile likelihood, J. Am. Stat. Assoc. 95,
2000), and the server steps. The result is the joint maximum over all laws and the noise.

The covariance of gamma is :math:`V = B T B`, with B the inverse of the summed information and T the
sum of :math:`t_n t_n^T`. The server returns both matrices, from which each site knows the errors of
its law: with :math:`K = I_{aa}^{-1} I_{ag}`, and sums over its own systems, the covariance is

.. math::
    I_{aa}^{-1} \Bigl(\sum_n s_{a,n} s_{a,n}^T\Bigr) I_{aa}^{-1} + K V K^T - M K^T - K M^T,
    \quad M = I_{aa}^{-1} \Bigl(\sum_n s_{a,n} t_n^T\Bigr) B ,

and the covariance of its law with gamma is M - K V. A penalty of the law counts as one more score,
whose square is the penalty's curvature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import restricted_inverse
from popinv.inference.estimators.marginal_estimate import squares_of
from popinv.inference.estimators.newton import observed_information
from popinv.inference.estimators.scoring import Point, ScoringState, ascend, begin
from popinv.inference.integrate.penalty import law_penalty, noise_penalty
from popinv.late import torch
from popinv.methods.federated.channel import Channel, Message, packed
from popinv.methods.federated.server import MOST_ASCENTS, MOST_STEPS, FederatedAnswer, has_settled
from popinv.methods.federated.site import FIRST_DRAWS, Estimator, Site, units_of

_STEPS, _FIRST_STEPS = 30, 60
# Error of a site's value, due to the end of its search.
_LEFT = 1e-3


@dataclass(frozen=True)
class Profile:
    """A site at the maximum over its law, for one gamma.

    The point belongs to the likelihood of the site's systems, less the penalty of its law: the
    information includes the curvature of this penalty, but not of the noise's penalty. ``penalty``
    (n_p, n_p) is the curvature of the law's penalty. The entries ``law`` and ``noise`` of p move.
    """

    point: Point
    penalty: np.ndarray
    law: np.ndarray
    noise: np.ndarray
    d_alpha: int

    @property
    def scores(self) -> np.ndarray:
        """Scores of its systems, shape (n, n_p)."""
        return self.point.memory["scores"]

    @cached_property
    def inverse(self) -> np.ndarray:
        """I_aa^-1."""
        moves = np.isin(np.arange(len(self.point.p)), self.law)
        return restricted_inverse(self.point.information, moves)[np.ix_(self.law, self.law)]

    @cached_property
    def slope(self) -> np.ndarray:
        """K, the change of the law against a change of gamma."""
        return np.asarray(self.inverse @ self.point.information[np.ix_(self.law, self.noise)])

    @property
    def settled(self) -> np.ndarray:
        """P with the law's last step, which the search skipped as too short."""
        p = self.point.p.copy()
        p[self.law] += self.inverse @ self.point.gradient[self.law]
        return p

    @cached_property
    def to_message(self) -> np.ndarray:
        """The matrix (n_gamma, n_p) from a score s to t; zero for held parameters."""
        matrix = np.zeros((len(self.point.p) - self.d_alpha, len(self.point.p)))
        at = self.noise - self.d_alpha
        matrix[at, self.noise] = 1.0
        matrix[np.ix_(at, self.law)] = -self.slope.T
        return matrix

    @property
    def each(self) -> np.ndarray:
        """T of each system, shape (n, n_gamma)."""
        return np.asarray(self.scores @ self.to_message.T)

    @property
    def squares(self) -> np.ndarray:
        """Sum of the outer products of t (n_gamma, n_gamma), with that of the law's penalty."""
        of_penalty = self.to_message @ self.penalty @ self.to_message.T
        return np.asarray(self.each.T @ self.each + of_penalty)

    def told(self) -> Message:
        """Return the message: value, profile score and profile information of gamma."""
        left, at = self.point.gradient[self.law], self.noise - self.d_alpha
        information = np.zeros((len(self.to_message), len(self.to_message)))
        across = self.point.information[np.ix_(self.noise, self.law)]
        within = self.point.information[np.ix_(self.noise, self.noise)]
        information[np.ix_(at, at)] = within - across @ self.slope
        return {
            # The gain that remains after the site's steps is predicted.
            "value": np.array(self.point.value + 0.5 * left @ self.inverse @ left),
            "score": self.to_message @ self.point.gradient,
            "information": (information + information.T) / 2,
        }

    def covariance(self, bread: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Return the covariance (n_p, n_p) of its law and gamma.

        ``bread`` and ``noise`` (n_gamma, n_gamma) are B and V, zero for held parameters.
        """
        inverse, at, own = self.inverse, self.noise - self.d_alpha, self.scores[:, self.law]
        inner = np.ix_(at, at)
        across = own.T @ self.each + self.penalty[self.law] @ self.to_message.T
        mixed = inverse @ across[:, at] @ bread[inner]
        meat = own.T @ own + self.penalty[np.ix_(self.law, self.law)]
        moved = self.slope @ noise[inner]
        both = mixed @ self.slope.T
        whole = np.zeros((len(self.point.p), len(self.point.p)))
        whole[self.d_alpha :, self.d_alpha :] = noise
        law = inverse @ meat @ inverse + moved @ self.slope.T - both - both.T
        whole[np.ix_(self.law, self.law)] = law
        whole[np.ix_(self.law, self.noise)] = mixed - moved
        whole[np.ix_(self.noise, self.law)] = (mixed - moved).T
        return whole


class ProfilingSite:
    """A site with a law of its own, which starts at ``start`` (n_p,).

    The noise's part of the start is not used.
    """

    def __init__(self, site: Site, start: np.ndarray) -> None:
        self.site, self.estimator = site, "pseudo_likelihood"
        self.p = np.array(start, dtype=float)
        self._information: np.ndarray | None = None
        # Draws of the moments; None for all.
        self.draws: int | None = None
        self._kept: dict[int, Point] = {}
        self._last: Point | None = None
        # The site's profiles of the pseudo-likelihood so far, and the draws of the moments there.
        self.told: list[tuple[Profile, int | None]] = []

    estimator: Estimator

    @property
    def problem(self) -> Problem:
        """The problem of its systems; parameters that the estimator does not determine are held."""
        problem = self.site.problem
        return problem if self.estimator == "likelihood" else problem.of_moments

    def use(self, draws: int | None) -> None:
        """Use ``draws`` draws for the moments from now on; None for all."""
        self.draws, self._last = draws, None
        self._kept.clear()

    def begin_likelihood(self, gamma: np.ndarray) -> None:
        """Continue with the likelihood from here, with draws that adapt if the systems are few."""
        self.estimator, self._last, self._information = "likelihood", None, None
        self.p = np.concatenate([self.problem.split(self.p)[0], gamma])
        self._kept.clear()
        if self.site.adapts:
            self.site.adapt(self.p)
        self._last = self.point(self.p, {})
        self.observe()

    def observe(self, point: Point | None = None) -> None:
        """Replace the squares of the scores by the observed information at a point, or here."""
        self._last = point = self._last if point is None else point
        if point is None or self.estimator != "likelihood":
            return
        found, _ = observed_information(self.problem, self.site.evaluation, point)
        gamma = self.problem.tensors(point.p)[1]
        self._information = found - noise_penalty(self.problem, gamma).curvature
        self._last = replace(point, information=self._information)

    def law_curvature(self, p: np.ndarray) -> np.ndarray:
        """Return the curvature (n_p, n_p) of the law's penalty at p."""
        return law_penalty(self.problem, self.problem.split(p)[0]).curvature

    def profile(self, gamma: np.ndarray, since: int | None, now: int) -> Profile:
        """Return the profile at gamma (n_gamma,), which is kept under the number ``now``.

        The search starts from the profile with the number ``since``; by default from the last one.
        """
        nearby = self._last if since is None else self._kept[since]
        alpha = self.problem.split(self.p if nearby is None else nearby.p)[0]
        memory = {} if nearby is None else nearby.memory
        first = self.point(np.concatenate([alpha, gamma]), memory)
        held = replace(self.problem, free_noise=False)
        point = ascend(begin(first), self.point, held, _STEPS).point
        self._kept = {i: kept for i, kept in self._kept.items() if i == since}
        self._kept[now] = self._last = point
        self.p = point.p
        return self.here()

    def here(self) -> Profile:
        """Return the profile at the end of the last search."""
        if self._last is None:
            raise ValueError("no profile has been requested")
        point, problem = self._last, self.problem
        free, d_alpha = np.flatnonzero(problem.free), problem.d_alpha
        law, noise = free[free < d_alpha], free[free >= d_alpha]
        return Profile(point, self.law_curvature(point.p), law, noise, d_alpha)

    def told_start(self) -> Message:
        """Return the noise of its own pseudo-likelihood, times the number of its systems.

        The search for the site's law begins at the maximum of this likelihood. Far from the answer,
        a law given gamma may be badly determined.
        """
        own = ascend(begin(self.point(self.p, {})), self.point, self.problem, _FIRST_STEPS)
        self.p = own.point.p
        return {"noise": len(self.problem.data) * self.problem.split(self.p)[1]}

    def told_profile(self, gamma: np.ndarray, since: int | None, now: int) -> Message:
        """Return the message at gamma."""
        profile = self.profile(gamma, since, now)
        if self.estimator == "pseudo_likelihood":
            self.told.append((profile, self.draws))
        return profile.told()

    def told_here(self) -> Message:
        """Return the message at the current point, with the outer products of t."""
        profile = self.here()
        return {**profile.told(), "squares": profile.squares}

    def point(self, p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
        """Return the likelihood of its systems at p, less the penalty of its law."""
        penalty = law_penalty(self.problem, self.problem.split(p)[0])
        error, kept = 0.0, {}
        if self.estimator == "likelihood":
            found = self.site.evaluation(p, memory or None, None)
            information = self._information
            if information is None:
                information = squares_of(self.problem, found) + penalty.curvature
            error, kept = 2 * float(np.sqrt((found.value_error**2).sum())), found.memory
            value, scores = found.log_likelihood, found.scores
        else:
            moments = self.site.pseudo(p, self.draws)
            value, scores = moments.log_likelihood, moments.scores
            information, kept = moments.information + penalty.curvature, {"scores": scores}
        if not (np.isfinite(value).all() and np.isfinite(scores).all()):
            raise DivergenceError(f"the likelihood of a system of {self.site.name} is not finite")
        return Point(
            p,
            float(value.sum()) - penalty.value,
            scores.sum(axis=0) - penalty.gradient,
            information,
            error,
            kept,
        )


class OwnLawServer:
    """The server of sites that keep their laws."""

    def __init__(self, sites: Sequence[Site], channel: Channel) -> None:
        self.channel = channel
        first = sites[0].problem
        self.sites: list[ProfilingSite] = []
        self._of_sites = sites
        self.problem: Problem = replace(sites[0].of_all, free_law=False)
        # The noise's part of vectors and of matrices.
        part = slice(first.d_alpha, None)
        self._units = {name: unit[(part,) * unit.ndim] for name, unit in units_of(first).items()}
        self._units["noise"] = np.ones(len(first.noise.names))

    def answers(self, start: np.ndarray, estimator: Estimator) -> list[FederatedAnswer]:
        """Return the answer of each site from a start (n_p,), all with the same gamma.

        Raises
        ------
        DivergenceError
            If the likelihood is not finite at the start.
        """
        self.sites = [ProfilingSite(site, start) for site in self._of_sites]
        problem, p = self.problem.of_moments, np.array(start, dtype=float)
        for site in self.sites:
            site.use(FIRST_DRAWS)
        told = self._ask("start", p, [site.told_start for site in self.sites])
        p[problem.d_alpha :] = told["noise"] / len(self.problem.data)
        # Far from the answer, few draws suffice.
        for draws in (FIRST_DRAWS, None):
            for site in self.sites:
                site.use(draws)
            state = ascend(begin(self._point(p, {})), self._point, problem, MOST_STEPS)
            p = state.point.p
        if estimator == "likelihood":
            problem, state = self.problem, self._most_likely(state)
        return self._answers(state, problem)

    def _most_likely(self, state: ScoringState) -> ScoringState:
        """Return the end of an ascent of the likelihood from the pseudo-likelihood's end."""
        for _ in range(MOST_ASCENTS):
            p = state.point.p
            for site in self.sites:
                site.begin_likelihood(self.problem.split(p)[1])
            state = ascend(begin(self._point(p, {})), self._point, self.problem, MOST_STEPS)
            settled = has_settled(state.point, p, self.problem.free)
            if state.arrived and (settled or not self.sites[0].site.adapts):
                break
        return state

    def _answers(self, state: ScoringState, problem: Problem) -> list[FederatedAnswer]:
        p, d_alpha = state.point.p, problem.d_alpha
        # The last trial may differ from the last accepted point.
        self._point(p, state.point.memory)
        for site in self.sites:
            site.observe()
        told = self._ask("squares", np.array([]), [site.told_here for site in self.sites])
        penalty = noise_penalty(problem, torch.from_numpy(p[d_alpha:].copy())).curvature
        of_noise = penalty[d_alpha:, d_alpha:]
        bread = restricted_inverse(told["information"] + of_noise, problem.free[d_alpha:])
        noise = bread @ (told["squares"] + of_noise) @ bread
        self.channel.send("covariance", packed({"bread": bread, "covariance": noise}))
        return [
            FederatedAnswer(
                one.settled, one.covariance(bread, noise), state.point.value, state.arrived
            )
            for one in (site.here() for site in self.sites)
        ]

    def _point(self, p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
        """Request the profile at gamma; the memory names the round from which sites start."""
        now, since = len(self.channel.rounds), int(memory["round"]) if memory else None
        d_alpha, gamma = self.problem.d_alpha, self.problem.split(p)[1]
        answers = [partial(site.told_profile, gamma, since, now) for site in self.sites]
        told = self._ask(f"profile {self.sites[0].estimator.replace('_', '-')}", gamma, answers)
        penalty = noise_penalty(self.problem, torch.from_numpy(gamma.copy()))
        gradient, information = -penalty.gradient, penalty.curvature.copy()
        gradient[d_alpha:] += told["score"]
        information[d_alpha:, d_alpha:] += told["information"]
        value, error = float(told["value"]) - penalty.value, _LEFT * len(self.sites)
        return Point(p, value, gradient, information, error, {"round": np.array(now)})

    def _ask(
        self, question: str, sent: np.ndarray, answers: Sequence[Callable[[], Message]]
    ) -> dict[str, np.ndarray]:
        return self.channel.ask(question, sent, answers, self._units)
