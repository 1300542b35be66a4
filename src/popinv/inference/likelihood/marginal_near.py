r"""The marginal likelihood near one (alpha, gamma), with draws that suit each system.

Draws about one mode (:mod:`popinv.inference.likelihood.marginal`) suffice for a posterior that is
close to a normal density. A *hard* system has few effective draws, or a further mode that these
draws leave out. Its draws are adapted to its posterior at one p_0, and serve near it
(:mod:`popinv.inference.likelihood.fixed_draws`). This takes a law that has a density, and at most
eight parameters that vary.

Under a mixture, a system belongs to component k with probability w_k, and its likelihood is a sum
of integrals over normal laws,

.. math:: p(y) = \sum_k w_k\, p_k(y), \qquad
    \nabla \log p = \sum_k r_k \bigl(\nabla \log w_k + \nabla \log p_k\bigr), \qquad
    r_k = w_k\, p_k / p .
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from popinv.inference.likelihood.components import Split
from popinv.inference.likelihood.fixed_draws import FixedDraws, adapted_draws
from popinv.inference.likelihood.integrals import MarginalSettings
from popinv.inference.likelihood.marginal import Evaluation, evaluate, further_modes
from popinv.inference.problem import Problem
from popinv.population.laws.base import Law

# Maps p, the memory of a nearby evaluation, and the numbers of some systems (None for all) to
# their evaluation.
Likelihood = Callable[[np.ndarray, Mapping[str, np.ndarray] | None, np.ndarray | None], Evaluation]

# A system is hard if its draws about the mode have a smaller effective share.
_HARD = 0.3
# Largest number of parameters that vary with which draws adapt, and of hard systems.
_MOST_DIMENSIONS, _MOST_HARD = 8, 20_000
# Adapted draws of a system, at least.
_FEWEST_ADAPTED = 512


@dataclass(frozen=True)
class Near:
    """The likelihood near p_0; calling it evaluates systems at p.

    Attributes
    ----------
    numbers : ndarray of int, shape (N,)
        Numbers of the systems, which determine their draws.
    here : Evaluation
        The evaluation at p_0.
    hard : ndarray of int
        The systems whose draws are adapted.
    adapted : FixedDraws or None
        Their draws.
    """

    problem: Problem
    settings: MarginalSettings
    numbers: np.ndarray
    here: Evaluation
    hard: np.ndarray
    adapted: FixedDraws | None

    def __call__(
        self,
        p: np.ndarray,
        memory: Mapping[str, np.ndarray] | None = None,
        systems: np.ndarray | None = None,
    ) -> Evaluation:
        """Evaluate some systems, by default all, from the memory of a nearby evaluation."""
        rows = np.arange(len(self.numbers)) if systems is None else systems
        place = np.full(len(self.numbers), -1)
        place[self.hard] = np.arange(len(self.hard))
        is_hard = place[rows] >= 0
        easy, hard = np.flatnonzero(~is_hard), np.flatnonzero(is_hard)
        found: list[tuple[np.ndarray, Evaluation]] = []
        if len(easy):
            own = None if not memory else {name: each[easy] for name, each in memory.items()}
            some = self.problem.of_systems(rows[easy]) if len(easy) < len(self.numbers) else None
            numbers = self.numbers[rows[easy]]
            found.append((easy, evaluate(some or self.problem, p, self.settings, own, numbers)))
        if len(hard) and self.adapted is not None:
            found.append((hard, self.adapted.of(place[rows[hard]])(p)))
        return Evaluation.joined(len(rows), found)

    def further(self, p: np.ndarray, evaluation: Evaluation) -> tuple[np.ndarray, float]:
        """Return the systems with a further mode that their draws leave out, and their share."""
        return further_modes(self.problem, p, self.settings, evaluation, self.hard, self.numbers)

    @property
    def can_adapt(self) -> bool:
        """Whether draws can be adapted to posteriors of this law."""
        return can_adapt(self.problem.law)


@dataclass(frozen=True)
class MixtureNear:
    """The same for a law that is a mixture.

    Attributes
    ----------
    parts : sequence of Near
        The likelihood of each component, as if all systems belonged to it.
    here : Evaluation
        The evaluation at p_0.
    """

    problem: Problem
    parts: Sequence[Near]
    here: Evaluation

    def __call__(
        self,
        p: np.ndarray,
        memory: Mapping[str, np.ndarray] | None = None,
        systems: np.ndarray | None = None,
    ) -> Evaluation:
        """Evaluate some systems, by default all, from the memory of a nearby evaluation."""
        (alpha, gamma), each = self.problem.split(np.asarray(p, dtype=float)), []
        split = Split.of(self.problem, alpha)
        for k, part in enumerate(self.parts):
            own = None if not memory else _of_component(memory, k, len(self.parts))
            each.append(part(np.concatenate([split.alphas[k], gamma]), own, systems))
        return _summed(split, each)

    @property
    def hard(self) -> np.ndarray:
        """The systems whose draws are adapted in some component."""
        return np.unique(np.concatenate([part.hard for part in self.parts]))

    @property
    def adapted(self) -> FixedDraws | None:
        """The adapted draws of some component, if any has some."""
        return next((part.adapted for part in self.parts if part.adapted is not None), None)

    def further(self, p: np.ndarray, evaluation: Evaluation) -> tuple[np.ndarray, float]:
        """Return the systems with a further mode in some component, and the largest share."""
        (alpha, gamma), memory = self.problem.split(p), evaluation.memory
        split = Split.of(self.problem, alpha)
        found, shares = [np.zeros(0, dtype=int)], [0.0]
        for k, part in enumerate(self.parts):
            own = Evaluation(**_of_component(memory, k, len(self.parts)))
            systems, share = part.further(np.concatenate([split.alphas[k], gamma]), own)
            found.append(systems)
            shares.append(share)
        return np.unique(np.concatenate(found)), max(shares)

    @property
    def can_adapt(self) -> bool:
        """Whether draws can be adapted to posteriors of the components."""
        return self.parts[0].can_adapt


def likelihood_near(
    problem: Problem,
    p: np.ndarray,
    settings: MarginalSettings,
    numbers: np.ndarray | None = None,
    memory: Mapping[str, np.ndarray] | None = None,
    cheap: Problem | None = None,
    hard: np.ndarray | None = None,
) -> Near | MixtureNear:
    """Return the likelihood for evaluations near p, with the one at p itself.

    Parameters
    ----------
    p : ndarray of shape (n_p,)
    numbers : ndarray of int, shape (N,), optional
        The numbers of the systems, by default their positions.
    memory : mapping, optional
        :attr:`~popinv.inference.likelihood.marginal.Evaluation.memory` of a nearby evaluation.
    cheap : Problem, optional
        The same problem with a cheaper simulator, to whose posteriors the draws are adapted.
    hard : ndarray of int, optional
        Systems that are known to be hard.

    Raises
    ------
    DivergenceError
        As :func:`popinv.inference.likelihood.marginal.evaluate`.
    """
    p = np.asarray(p, dtype=float)
    numbers = np.arange(len(problem.data)) if numbers is None else numbers
    if problem.law.component is not None:
        (alpha, gamma), parts = problem.split(p), []
        split = Split.of(problem, alpha)
        for k, part in enumerate(split.problems):
            own = np.concatenate([split.alphas[k], gamma])
            start = None if not memory else _of_component(memory, k, len(split.alphas))
            near_by = None if cheap is None else replace(part, simulate=cheap.simulate)
            parts.append(_near(part, own, settings, numbers, start, near_by, hard))
        return MixtureNear(problem, parts, _summed(split, [part.here for part in parts]))
    return _near(problem, p, settings, numbers, memory, cheap, hard)


def _near(
    problem: Problem,
    p: np.ndarray,
    settings: MarginalSettings,
    numbers: np.ndarray,
    memory: Mapping[str, np.ndarray] | None,
    cheap: Problem | None,
    hard: np.ndarray | None,
) -> Near:
    here = evaluate(problem, p, settings, memory, numbers)
    known = np.zeros(0, dtype=int) if hard is None else hard
    poor = np.flatnonzero(~(here.effective_share >= _HARD))
    every = np.union1d(known, poor)
    if not len(every) or len(every) > _MOST_HARD or not can_adapt(problem.law):
        return Near(problem, settings, numbers, here, np.zeros(0, dtype=int), None)
    of_hard = replace(settings, draws=max(settings.draws, _FEWEST_ADAPTED))
    by = None if cheap is None else cheap.of_systems(every)
    adapted = adapted_draws(problem.of_systems(every), p, of_hard, numbers[every], by)
    here.put(every, adapted(p))
    return Near(problem, settings, numbers, here, every, adapted)


def can_adapt(law: Law) -> bool:
    """Return whether draws can be adapted to posteriors of this law."""
    return law.has_density and 1 <= law.d_omega <= _MOST_DIMENSIONS


# Fields of an evaluation that a mixture has for each component, side by side.
_BY_COMPONENT = ("modes", "mean", "variance")


def _of_component(memory: Mapping[str, np.ndarray], k: int, count: int) -> dict[str, np.ndarray]:
    """Return the part of a mixture's memory that belongs to a component."""
    own = {"corrections": memory["corrections"][:, k]}
    for name in _BY_COMPONENT:
        own[name] = memory[name].reshape(len(memory[name]), count, -1)[:, k]
    return {**memory, **own}


def _summed(split: Split, each: Sequence[Evaluation]) -> Evaluation:
    """Return the evaluation of a mixture from those of its components.

    The errors and biases of the draws are combined to first order.
    """

    def stacked(name: str) -> np.ndarray:
        return np.stack([getattr(e, name) for e in each], axis=1)

    def in_alpha(name: str) -> np.ndarray:
        return np.stack([split.in_alpha(getattr(e, name), k) for k, e in enumerate(each)], axis=1)

    values = stacked("log_likelihood") + split.log_weights
    top = values.max(axis=1, keepdims=True)
    weights = np.exp(values - top)
    total = weights.sum(axis=1, keepdims=True)
    belongs = weights / total
    own = in_alpha("scores")
    own[..., : split.of_log_weights.shape[1]] += split.of_log_weights
    value_errors = stacked("value_error")
    value_error = (belongs * value_errors).sum(axis=1)
    moved = belongs * (value_errors - value_error[:, None])
    errors = belongs[..., None] * in_alpha("score_error") + moved[..., None] * own
    return Evaluation(
        log_likelihood=(top + np.log(total))[:, 0],
        value_error=value_error,
        scores=(belongs[..., None] * own).sum(axis=1),
        score_bias=(belongs[..., None] * in_alpha("score_bias")).sum(axis=1),
        score_error=errors.sum(axis=1),
        effective_share=(belongs * stacked("effective_share")).sum(axis=1),
        corrections=stacked("corrections"),
        **{n: np.concatenate([getattr(e, n) for e in each], axis=1) for n in _BY_COMPONENT},
    )
