"""Reference answers for a federated answer, from observations in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import restricted_inverse
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.estimators.scoring import Point, ascend, begin
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.penalty import noise_penalty
from popinv.late import torch
from popinv.methods.federated.channel import Channel
from popinv.methods.federated.own_laws import ProfilingSite
from popinv.methods.federated.server import MOST_STEPS, FederatedAnswer
from popinv.methods.federated.site import Estimator, Site, sites_of, units_of
from popinv.methods.invariants import Invariant, held

# Relative change of a step due to rounding and masks.
_ROUNDING = 1e-5


def fitted(
    problem: Problem, start: np.ndarray, estimator: Estimator, draws: int
) -> FederatedAnswer:
    """Return the answer of all systems of a problem by the estimators of a study.

    The problem holds the systems of a site alone, or all systems with one law. The likelihood has
    ``draws`` draws for each system's integral.

    Raises
    ------
    DivergenceError
        If the likelihood is not finite at the start, or too few of its draws are effective.
    """
    estimate = fit_pseudo_likelihood(problem, [start])
    if estimator == "likelihood":
        settings = MarginalSettings(draws=draws)
        estimate = fit_marginal_likelihood(problem, estimate.p, settings)
    value = estimate.diagnostics["value"]
    return FederatedAnswer(estimate.p, estimate.covariance, value, estimate.arrived)


def nothing_divided(
    problem: Problem, sites: Sequence[Site], channel: Channel, p: np.ndarray
) -> Invariant:
    """Check that the sites' sums give the step of the pseudo-likelihood that one place takes.

    The problem holds the systems of all sites, and the step begins at p (n_p,). The check uses a
    channel of its own, because the federation's channel counts its rounds.
    """
    (whole,) = sites_of({"all": problem}, sites[0].draws, sites[0].moments.groups)
    units, answers = units_of(problem), [partial(site.told_pseudo, p, None) for site in sites]
    told, known = channel.ask("step", p, answers, units), whole.told_pseudo(p, None)
    free = problem.of_moments.free
    covariance = restricted_inverse(np.asarray(known["information"]), free)
    step = restricted_inverse(told["information"], free) @ told["score"]
    errors = np.sqrt(np.diag(covariance))[free]
    apart = (step - covariance @ np.asarray(known["score"]))[free] / errors
    return held(
        "sums_of_the_sites",
        "observations in one place: change of the first step, in standard errors of the answer",
        float(np.abs(apart).max(initial=0.0)),
        _ROUNDING * max(1.0, float(np.abs(step[free] / errors).max(initial=0.0))),
    )


@dataclass(frozen=True)
class _Entries:
    """Which entries move, which by at most one per step, and their sizes, for an ascent."""

    free: np.ndarray
    logarithmic: np.ndarray
    scale: np.ndarray


def jointly(
    sites: Sequence[Site], start: np.ndarray, estimator: Estimator
) -> list[FederatedAnswer]:
    """Return the answers with a law for each site, by steps of all laws and the noise together.

    All observations are in one place, and all answers have the same noise and the same value.
    """
    joint = _Joint([ProfilingSite(site, start) for site in sites], start)
    point = joint.ascended(joint.start, {})
    if estimator == "likelihood":
        for _ in range(3):
            for s, site in enumerate(joint.sites):
                site.p = point.p[joint.entries[s]]
                site.begin_likelihood(site.p[joint.d_alpha :])
            point = joint.ascended(point.p, {})
            if not joint.sites[0].site.adapts:
                break
    return joint.answers(point)


class _Joint:
    """Laws and noise of some sites as one vector (alpha_1, ..., alpha_S, gamma)."""

    def __init__(self, sites: Sequence[ProfilingSite], start: np.ndarray) -> None:
        self.sites, problem = sites, sites[0].problem
        self.d_alpha = problem.d_alpha
        laws, width = self.d_alpha * len(sites), len(start) - self.d_alpha
        noise = laws + np.arange(width)
        self.size = laws + width
        of_law = [s * self.d_alpha + np.arange(self.d_alpha) for s in range(len(sites))]
        self.entries = [np.concatenate([law, noise]) for law in of_law]
        self.start = np.zeros(self.size)
        for at in self.entries:
            self.start[at] = start
        self.systems = sites[0].site.systems
        self._noise = noise

    @property
    def free(self) -> np.ndarray:
        return self._of_all("free").astype(bool)

    def _of_all(self, name: str) -> np.ndarray:
        every = np.zeros(self.size)
        for site, at in zip(self.sites, self.entries, strict=True):
            every[at] = getattr(site.problem, name)
        return every

    def ascended(self, p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
        logarithmic = self._of_all("logarithmic").astype(bool)
        entries = cast(Problem, _Entries(self.free, logarithmic, self._of_all("scale")))
        return ascend(begin(self.point(p, memory)), self.point, entries, MOST_STEPS).point

    def point(self, p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
        """Return the penalised likelihood of all systems at p (size,)."""
        penalty = self._penalty(p)
        value, gradient, information = -penalty[0], -penalty[1], penalty[2].copy()
        kept: dict[str, np.ndarray] = {}
        error = 0.0
        for s, (site, at) in enumerate(zip(self.sites, self.entries, strict=True)):
            part = site.point(p[at], _of_site(memory, s))
            value, error = value + part.value, float(np.hypot(error, part.error))
            gradient[at] += part.gradient
            information[np.ix_(at, at)] += part.information
            kept |= {f"{s}/{name}": array for name, array in part.memory.items()}
        return Point(p, value, gradient, information, error, kept)

    def answers(self, point: Point) -> list[FederatedAnswer]:
        """Return the answer of each site at the maximum."""
        free = self.free
        if self.sites[0].estimator == "likelihood":
            for s, (site, at) in enumerate(zip(self.sites, self.entries, strict=True)):
                site.observe(site.point(point.p[at], _of_site(point.memory, s)))
            point = self.point(point.p, point.memory)
        bread = restricted_inverse(point.information, free)
        meat = self._penalty(point.p)[2]
        for s, (site, at) in enumerate(zip(self.sites, self.entries, strict=True)):
            scores = point.memory[f"{s}/scores"]
            meat[np.ix_(at, at)] += scores.T @ scores + site.law_curvature(point.p[at])
        whole = bread @ meat @ bread
        return [
            FederatedAnswer(point.p[at], whole[np.ix_(at, at)], point.value, True)
            for at in self.entries
        ]

    def _penalty(self, p: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return value, gradient and curvature of the noise's penalty with all systems."""
        one, at = self.sites[0].problem, self.entries[0]
        shape = self.systems, one.data.shape[1]
        problem = replace(one, data=np.zeros(shape), conditions=Conditions.stated(shape))
        found = noise_penalty(problem, torch.from_numpy(p[self._noise].copy()))
        gradient, curvature = np.zeros(self.size), np.zeros((self.size, self.size))
        gradient[at], curvature[np.ix_(at, at)] = found.gradient, found.curvature
        return found.value, gradient, curvature


def _of_site(memory: Mapping[str, np.ndarray], site: int) -> dict[str, np.ndarray]:
    start = f"{site}/"
    return {n.removeprefix(start): a for n, a in memory.items() if n.startswith(start)}
