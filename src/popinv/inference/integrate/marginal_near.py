r"""The marginal likelihood near one (alpha, gamma), with draws that suit each system.

Draws about one mode (:mod:`popinv.inference.integrate.marginal`) suffice for a posterior that is
close to a normal density. A *hard* system has few effective draws, or a further mode or a long tail
that these draws leave out. Its draws are adapted to its posterior at one p_0, and serve near it
(:mod:`popinv.inference.integrate.fixed_draws`). Adapted draws require a law that has a density,
and at most eight parameters that vary.

Under a mixture, a system belongs to component k with probability w_k, and its likelihood is a sum
of integrals over normal laws,

.. math:: p(y) = \sum_k w_k\, p_k(y), \qquad
    \nabla \log p = \sum_k r_k \bigl(\nabla \log w_k + \nabla \log p_k\bigr), \qquad
    r_k = w_k\, p_k / p .
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from popinv.inference.density.division import blocks_of_rows, joined, together, total
from popinv.inference.density.problem import Problem
from popinv.inference.integrate.components import Split
from popinv.inference.integrate.fixed_draws import FixedDraws, adapted_draws
from popinv.inference.integrate.integrals import MarginalSettings
from popinv.inference.integrate.marginal import (
    Evaluation,
    evaluate,
    further_modes,
    with_tails,
)
from popinv.population.laws.base import Law

# A system is hard if its draws about the mode have a smaller effective share.
_HARD = 0.3
# Adapted draws require at most this many parameters that vary, and this many hard systems.
_MOST_DIMENSIONS, _MOST_HARD = 8, 20_000
# Smallest number of adapted draws of a system.
_FEWEST_ADAPTED = 512


@dataclass(frozen=True)
class Near(ABC):
    """The likelihood near p_0; calling it evaluates systems at p.

    Attributes
    ----------
    here : Evaluation
        The evaluation at p_0.
    hard : ndarray of int
        The systems whose draws are adapted, by their positions among all; of a mixture, in some
        component.
    """

    problem: Problem
    here: Evaluation
    hard: np.ndarray

    def __call__(
        self,
        p: np.ndarray,
        memory: Mapping[str, np.ndarray] | None = None,
        systems: np.ndarray | None = None,
    ) -> Evaluation:
        """Evaluate systems from the memory of a nearby evaluation.

        Without ``systems``, these are all that the problem has. Some of all systems (n,) are
        evaluated on the ranks that have them, and every rank returns their evaluation.
        """
        problem = self.problem
        if systems is None:
            return self.of_rows(p, memory, np.arange(len(problem.data)))
        own = problem.has(systems)
        some = None if not memory else {name: each[own] for name, each in memory.items()}
        found = self.of_rows(p, some, problem.rows_of(systems)).memory
        return Evaluation(**{name: joined(problem, each) for name, each in found.items()})

    @abstractmethod
    def of_rows(
        self, p: np.ndarray, memory: Mapping[str, np.ndarray] | None, rows: np.ndarray
    ) -> Evaluation:
        """Evaluate some of the problem's systems, in increasing order."""

    @abstractmethod
    def further(self, p: np.ndarray, evaluation: Evaluation) -> tuple[np.ndarray, float]:
        """Return the systems with a further mode that their draws leave out, and their share.

        Of a mixture: the systems with one in some component, and the largest share.
        """

    @property
    def can_adapt(self) -> bool:
        """Whether draws can be adapted to posteriors of this law, or of its components."""
        return can_adapt(self.problem.law.component or self.problem.law)


@dataclass(frozen=True)
class _OneLaw(Near):
    """The likelihood near p_0 for a law without components.

    Attributes
    ----------
    numbers : ndarray of int, shape (N,)
        Numbers of the problem's systems, which determine their draws.
    adapted : list of FixedDraws
        The draws of hard systems, for each block of systems that has some.
    """

    settings: MarginalSettings
    numbers: np.ndarray
    adapted: list[FixedDraws]

    def of_rows(
        self, p: np.ndarray, memory: Mapping[str, np.ndarray] | None, rows: np.ndarray
    ) -> Evaluation:
        """Evaluate some of the problem's systems, in increasing order."""
        place = np.full(len(self.numbers), -1)
        adapted = self.problem.rows_of(self.hard)
        place[adapted] = np.arange(len(adapted))
        places = place[rows]
        easy, hard = np.flatnonzero(places < 0), np.flatnonzero(places >= 0)
        found: list[tuple[np.ndarray, Evaluation]] = []
        with together(self.problem):
            if len(easy) or not len(hard):
                own = None if not memory else {name: each[easy] for name, each in memory.items()}
                at = evaluate(self.problem, p, self.settings, own, self.numbers, rows[easy])
                found.append((easy, at))
            first = 0
            for draws in self.adapted:
                last = first + len(draws.omega)
                some = hard[(places[hard] >= first) & (places[hard] < last)]
                if len(some):
                    found.append((some, draws.of(places[some] - first)(p)))
                first = last
        return Evaluation.joined(len(rows), found)

    def further(self, p: np.ndarray, evaluation: Evaluation) -> tuple[np.ndarray, float]:
        """Return the systems with a further mode that their draws leave out, and their share."""
        return further_modes(self.problem, p, self.settings, evaluation, self.hard, self.numbers)


@dataclass(frozen=True)
class _Mixture(Near):
    """The likelihood near p_0 for a law that is a mixture.

    Attributes
    ----------
    parts : sequence of Near
        The likelihood of each component, as if all systems belonged to it.
    """

    parts: Sequence[Near]

    def of_rows(
        self, p: np.ndarray, memory: Mapping[str, np.ndarray] | None, rows: np.ndarray
    ) -> Evaluation:
        """Evaluate some of the problem's systems, in increasing order."""
        (alpha, gamma), each = self.problem.split(np.asarray(p, dtype=float)), []
        split = Split.of(self.problem, alpha)
        for k, part in enumerate(self.parts):
            own = None if not memory else _of_component(memory, k, len(self.parts))
            each.append(part.of_rows(np.concatenate([split.alphas[k], gamma]), own, rows))
        return _summed(split, each, rows)

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


def likelihood_near(
    problem: Problem,
    p: np.ndarray,
    settings: MarginalSettings,
    numbers: np.ndarray | None = None,
    memory: Mapping[str, np.ndarray] | None = None,
    cheap: Problem | None = None,
    hard: np.ndarray | None = None,
) -> Near:
    """Return the likelihood for evaluations near p, with the one at p itself.

    Parameters
    ----------
    p : ndarray of shape (n_p,)
    numbers : ndarray of int, shape (N,), optional
        The numbers of the problem's systems, by default their positions among all.
    memory : mapping, optional
        :attr:`~popinv.inference.integrate.marginal.Evaluation.memory` of a nearby evaluation.
    cheap : Problem, optional
        The same problem with a cheaper simulator, to whose posteriors the draws are adapted.
    hard : ndarray of int, optional
        Systems that are known to be hard, by their positions among all.

    Raises
    ------
    DivergenceError
        As :func:`popinv.inference.integrate.marginal.evaluate`.
    """
    p = np.asarray(p, dtype=float)
    numbers = problem.numbers if numbers is None else numbers
    if problem.law.component is not None:
        (alpha, gamma), parts = problem.split(p), []
        split = Split.of(problem, alpha)
        for k, part in enumerate(split.problems):
            own = np.concatenate([split.alphas[k], gamma])
            start = None if not memory else _of_component(memory, k, len(split.alphas))
            near_by = None if cheap is None else replace(part, simulate=cheap.simulate)
            parts.append(_near(part, own, settings, numbers, start, near_by, hard))
        here = _summed(split, [part.here for part in parts], np.arange(len(numbers)))
        hard = np.unique(np.concatenate([part.hard for part in parts]))
        return _Mixture(problem, here, hard, parts)
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
    every = np.zeros(0, dtype=int) if hard is None else hard
    poor = ~(here.effective_share >= _HARD)
    many = total(problem, np.count_nonzero, poor) > _MOST_HARD
    if not many:
        every = np.union1d(every, joined(problem, problem.numbers[poor]))
        if can_adapt(problem.law):
            tails = with_tails(cheap or problem, p, settings, here, every, numbers)
            every = np.union1d(every, tails)
    if many or not len(every) or len(every) > _MOST_HARD or not can_adapt(problem.law):
        return _OneLaw(problem, here, np.zeros(0, dtype=int), settings, numbers, [])
    of_hard = replace(settings, draws=draws_of_hard(settings.draws))
    rows = problem.rows_of(every)
    adapted = adapted_draws(problem, p, of_hard, rows, numbers[rows], cheap)
    with together(problem):
        for block, draws in zip(blocks_of_rows(rows), adapted, strict=True):
            here.put(rows[block], draws(p))
    return _OneLaw(problem, here, every, settings, numbers, adapted)


def draws_of_hard(draws: int) -> int:
    """Return the number of adapted draws of a hard system, where others have so many draws."""
    return max(draws, _FEWEST_ADAPTED)


def can_adapt(law: Law) -> bool:
    """Return whether draws can be adapted to posteriors of this law."""
    return law.has_density and 1 <= law.d_omega <= _MOST_DIMENSIONS


# Fields of an evaluation that a mixture stores for each component, side by side.
_BY_COMPONENT = ("modes", "mean", "variance")


def _of_component(memory: Mapping[str, np.ndarray], k: int, count: int) -> dict[str, np.ndarray]:
    """Return the part of a mixture's memory that belongs to a component."""
    own = {"corrections": memory["corrections"][:, k]}
    for name in _BY_COMPONENT:
        width = memory[name].shape[1] // count
        own[name] = memory[name][:, k * width : (k + 1) * width]
    return {**memory, **own}


def _summed(split: Split, each: Sequence[Evaluation], rows: np.ndarray) -> Evaluation:
    """Return the evaluation of some systems of a mixture from its components' evaluations."""
    parts = [
        (np.arange(block.start, block.stop), _sum_of(split, [e.of(block) for e in each]))
        for block in blocks_of_rows(rows)
    ]
    return Evaluation.joined(len(rows), parts) if parts else _sum_of(split, each)


def _sum_of(split: Split, each: Sequence[Evaluation]) -> Evaluation:
    """Return the evaluation of a block of systems.

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
