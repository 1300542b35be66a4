r"""The answer with a law for each site, which does not leave it, and one law of the noise.

The sites send profile scores and profile information of the noise's gamma
(:mod:`popinv.methods.federated.profile`), and the server steps. The maximum is that of all laws
and of the noise together. The covariance of gamma is :math:`V = B T B`, with B the inverse of the
summed information and T the sum of :math:`t_n t_n^T`. The server returns both matrices, from which
each site knows the errors of its law.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from popinv.inference.estimate import restricted_inverse
from popinv.inference.likelihood.penalty import noise_penalty
from popinv.inference.likelihood.scoring import Point, ScoringState, ascend, begin
from popinv.inference.problem import Problem
from popinv.methods.federated.channel import Channel
from popinv.methods.federated.messages import Message, packed
from popinv.methods.federated.profile import ProfilingSite
from popinv.methods.federated.server import Answer
from popinv.methods.federated.site import FIRST_DRAWS, Estimator, Site, units_of

_MOST_STEPS, _MOST_ASCENTS, _SETTLED = 60, 12, 0.1
# Error of a site's value, due to the end of its search.
_LEFT = 1e-3


class OwnLawServer:
    """The server of sites that keep their laws.

    Parameters
    ----------
    sites : sequence of Site
    channel : Channel
    """

    def __init__(self, sites: Sequence[Site], channel: Channel) -> None:
        self.channel = channel
        first, count = sites[0].problem, sites[0].systems
        empty = np.zeros((count, first.data.shape[1]))
        self.sites: list[ProfilingSite] = []
        self._of_sites = sites
        self.problem: Problem = replace(first, data=empty, conditions=None, free_law=False)
        units, d_alpha = units_of(first), first.d_alpha
        self._units = {name: unit[d_alpha:] for name, unit in units.items() if unit.ndim == 1}
        self._units |= {n: unit[d_alpha:, d_alpha:] for n, unit in units.items() if unit.ndim == 2}
        self._units |= {name: unit for name, unit in units.items() if unit.ndim == 0}
        self._units["noise"] = np.ones(len(first.noise.names))

    def answers(self, start: np.ndarray, estimator: Estimator) -> list[Answer]:
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
            state = ascend(begin(self._point(p, {})), self._point, problem, _MOST_STEPS)
            p = state.point.p
        if estimator == "likelihood":
            problem, state = self.problem, self._most_likely(state)
        return self._answers(state, problem)

    def _most_likely(self, state: ScoringState) -> ScoringState:
        """Return the end of an ascent of the likelihood from that of the pseudo-likelihood."""
        for _ in range(_MOST_ASCENTS):
            p = state.point.p
            for site in self.sites:
                site.begin_likelihood(self.problem.split(p)[1])
            state = ascend(begin(self._point(p, {})), self._point, self.problem, _MOST_STEPS)
            errors = np.sqrt(
                np.diag(restricted_inverse(state.point.information, self.problem.free))
            )
            free = self.problem.free
            moved = float((np.abs(state.point.p - p)[free] / errors[free]).max(initial=0.0))
            if state.arrived and (moved < _SETTLED or not self.sites[0].site.adapts):
                break
        return state

    def _answers(self, state: ScoringState, problem: Problem) -> list[Answer]:
        p, d_alpha = state.point.p, problem.d_alpha
        # The last trial may have been another one than the last accepted.
        self._point(p, state.point.memory)
        for site in self.sites:
            site.observe()
        told = self._ask("squares", np.array([]), [site.told_here for site in self.sites])
        penalty = noise_penalty(problem, torch.from_numpy(p[d_alpha:].copy())).curvature
        of_noise = penalty[d_alpha:, d_alpha:]
        bread = restricted_inverse(told["information"] + of_noise, problem.free[d_alpha:])
        noise = bread @ (told["squares"] + of_noise) @ bread
        matrices = packed({"bread": bread, "covariance": noise})
        self.channel.send("covariance", matrices)
        profiles = [site.here() for site in self.sites]
        return [
            Answer(one.settled, one.covariance(bread, noise), state.point.value, state.arrived)
            for one in profiles
        ]

    def _point(self, p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
        """Ask for the profile at gamma; the memory names the round from which sites start."""
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
