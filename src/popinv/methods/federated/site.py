r"""A site of a federation: its systems, and its answers to the server's questions.

The estimators of the study give the scores s_n and values, through the shared surrogate. The draws
of each system have its number among all systems, so that the sum over sites equals the sum computed
in one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.integrate import model_moments
from popinv.inference.integrate.marginal import Evaluation, MarginalSettings
from popinv.inference.integrate.marginal_near import Near, can_adapt, likelihood_near
from popinv.inference.integrate.model_moments import (
    draws_for,
    matched_draws,
    moments_of_systems,
)
from popinv.inference.integrate.pseudo import PseudoEvaluation
from popinv.inference.integrate.pseudo import evaluate as evaluate_pseudo
from popinv.late import torch
from popinv.methods.federated.channel import Message

Estimator = Literal["likelihood", "pseudo_likelihood"]
# Draws of the moments far from the answer.
FIRST_DRAWS = 4000


class MomentsSoFar:
    """Mean and covariance of the model at the points requested so far.

    Every site computes the same moments. If these do not depend on known quantities or limits of
    the systems, they are computed once for all sites of this machine. The draws serve all systems
    and all different known quantities.
    """

    def __init__(self, systems: int, groups: int = 0) -> None:
        self.groups = groups
        self._draws: dict[int, torch.Tensor] = {}
        self._found: dict[tuple[bytes, int], model_moments.Moments] = {}
        self.most = draws_for(systems)

    def __call__(
        self, problem: Problem, p: np.ndarray, draws: int | None = None
    ) -> model_moments.Moments:
        """Return the moments of a problem's systems at p, by default from all draws."""
        count = self.most if draws is None else min(draws, self.most)
        alpha, gamma = problem.tensors(p)
        if problem.known.width or problem.conditions.limited:
            draws_of_rows = matched_draws(problem, count, self.groups)
            return moments_of_systems(problem, alpha, gamma, draws_of_rows)
        key = p.tobytes(), count
        if key not in self._found:
            if count not in self._draws:
                self._draws[count] = matched_draws(problem, count)
            self._found[key] = moments_of_systems(problem, alpha, gamma, self._draws[count])
        return self._found[key]


@dataclass
class Site:
    """A site with n systems, whose problem goes through the shared surrogate.

    Its systems have the numbers (n,) among the ``systems`` of all sites. Each system's integral in
    the likelihood has ``draws`` draws.
    """

    name: str
    problem: Problem
    numbers: np.ndarray
    systems: int
    draws: int
    moments: MomentsSoFar

    def __post_init__(self) -> None:
        self._memories: dict[int, Mapping[str, np.ndarray]] = {}
        self._near: Near | None = None

    @property
    def count(self) -> int:
        """Number of its systems."""
        return len(self.problem.data)

    @property
    def of_all(self) -> Problem:
        """The model and the number of the systems of all sites, without observations."""
        empty = np.zeros((self.systems, self.problem.data.shape[1]))
        return replace(self.problem, data=empty, conditions=Conditions.stated(empty.shape))

    @property
    def adapts(self) -> bool:
        """Whether the draws of the likelihood can adapt to hard systems."""
        return can_adapt(self.problem.law)

    def pseudo(self, p: np.ndarray, draws: int | None = None) -> PseudoEvaluation:
        """Return the pseudo-likelihood of its systems, without any penalty.

        By default the moments have as many draws as the study's own estimate.
        """
        problem = self.problem.of_moments
        return evaluate_pseudo(problem, self.moments(problem, p, draws))

    def adapt(self, p: np.ndarray) -> None:
        """Adapt the draws of the likelihood to the systems at p."""
        settings = MarginalSettings(draws=self.draws)
        self._near = likelihood_near(self.problem, p, settings, self.numbers)
        self._memories.clear()

    def evaluation(
        self,
        p: np.ndarray,
        memory: Mapping[str, np.ndarray] | None = None,
        systems: np.ndarray | None = None,
    ) -> Evaluation:
        """Return the likelihood of its systems, or of some, from an evaluation at a nearby p."""
        if self._near is None:
            self.adapt(p)
        assert self._near is not None
        return self._near(p, memory, systems)

    def likelihood(self, p: np.ndarray, since: int | None, now: int | None) -> Evaluation:
        """Return the likelihood of its systems, kept under the number ``now``.

        It starts from the evaluation with the number ``since``.
        """
        found = self.evaluation(p, None if since is None else self._memories[since], None)
        if now is not None:
            # Evaluations start from the last accepted evaluation, or from later ones.
            self._memories = {i: m for i, m in self._memories.items() if i == since}
            self._memories[now] = found.memory
        return found

    def scores(self, estimator: Estimator, p: np.ndarray) -> np.ndarray:
        """Return the score of each system, shape (n, n_p)."""
        if estimator == "pseudo_likelihood":
            return self.pseudo(p).scores
        return self.likelihood(p, None, None).scores

    def told_pseudo(self, p: np.ndarray, draws: int | None) -> Message:
        """Return value, score and information of the pseudo-likelihood, summed over systems."""
        found = self.pseudo(p, draws)
        return {
            "value": found.log_likelihood.sum(),
            "score": found.scores.sum(axis=0),
            "information": found.information,
        }

    def told_likelihood(self, p: np.ndarray, since: int | None, now: int) -> Message:
        """Return value, score and outer products of the scores of the likelihood, summed."""
        found = self.likelihood(p, since, now)
        return {
            "value": found.log_likelihood.sum(),
            "square_error": (found.value_error**2).sum(),
            "score": found.scores.sum(axis=0),
            "squares": found.scores.T @ found.scores,
            "error_squares": found.score_error.T @ found.score_error,
            "effective": found.effective_share.sum(),
        }

    def told_score(self, p: np.ndarray, since: int | None) -> Message:
        """Return the score of the likelihood, summed over systems."""
        return {"score": self.likelihood(p, since, None).scores.sum(axis=0)}

    def told_squares(self, p: np.ndarray) -> Message:
        """Return the outer products of the scores of the pseudo-likelihood, summed."""
        scores = self.pseudo(p).scores
        return {"squares": scores.T @ scores}


def units_of(problem: Problem) -> dict[str, np.ndarray]:
    """Return public units in which the entries of messages are numbers of few digits."""
    inverse = 1 / problem.scale
    of_matrix, one = np.outer(inverse, inverse), np.array(1.0)
    return {
        "value": one,
        "square_error": one,
        "score": inverse,
        "information": of_matrix,
        "squares": of_matrix,
        "error_squares": of_matrix,
        "effective": one,
    }


def sites_of(problems: Mapping[str, Problem], draws: int, groups: int | None = None) -> list[Site]:
    """Return the sites with these problems, whose systems are numbered one site after the other.

    The number of groups with moments of their own is by default the sum of the sites' numbers.
    """
    total, first, sites = sum(len(problem.data) for problem in problems.values()), 0, []
    own = sum(len(problem.conditions.groups[0]) for problem in problems.values())
    moments = MomentsSoFar(total, groups or own)
    for name, problem in problems.items():
        numbers = first + np.arange(len(problem.data))
        sites.append(Site(name, problem, numbers, total, draws, moments))
        first += len(problem.data)
    return sites
