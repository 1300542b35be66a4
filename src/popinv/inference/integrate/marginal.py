r"""The marginal likelihood of law and noise, by importance sampling in each system.

With omega the law's standard normal numbers,

.. math:: p(y_n \mid \alpha, \gamma) = \int N\bigl(y_n;\, G(T(\alpha, \omega)),\,
    s_n^2 \Gamma(\gamma)\bigr)\, \phi(\omega)\, d\omega .

S draws from :mod:`popinv.inference.integrate.proposals` about the mode of each system estimate
the integral (:mod:`popinv.inference.integrate.integrals`). The same standard normal numbers are
used at all (alpha, gamma), so the estimate is a smooth function of them. By Fisher's identity, the
scores are means over the weighted draws,

.. math::
    \nabla_\alpha \log p(y_n) = E[\nabla_\alpha \log N \mid y_n], \qquad
    \partial_{\gamma_i} \log p(y_n) =
    \tfrac12 E[r^T E_i r - \operatorname{tr} E_i \mid y_n], \quad
    E_i = L^{-1} (\partial_i \Gamma) L^{-T} .

Both have large variances over the draws, which the control variates of
:mod:`popinv.inference.integrate.integrals` reduce. The control variates suit a map T that is
nearly affine where a system's omega may lie. For other laws, such as mixtures, the scores of alpha
are :math:`E[\nabla_\alpha \log p(z \mid \alpha) \mid y_n]` at the draws' z, which is Fisher's
identity with z in place of omega. Their proposals are defensive.

The logarithm of a mean of S weights has a bias of about -Var(w) / 2S, in every system alike, and so
have the scores. The jackknife estimate, twice the estimate from all draws minus the mean of the
estimates from the two halves, has a bias of order 1 / S^2. The difference of the halves estimates
the error due to the draws.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.density.densities import DensitiesAt, density_of
from popinv.inference.density.density import Density
from popinv.inference.density.division import block_with, blocks_of_rows, joined, together
from popinv.inference.density.problem import Problem
from popinv.inference.density.reduced import Span, reducible
from popinv.inference.integrate.draws import draws_of_law
from popinv.inference.integrate.group_modes import MemberGroups
from popinv.inference.integrate.integrals import Integrals, MarginalSettings
from popinv.inference.integrate.nested import NestedIntegrals
from popinv.inference.integrate.push_forward import PushForward
from popinv.late import torch
from popinv.seeds import generator
from popinv.workers import parallel

# Number of entries in the largest array of a block of systems: larger blocks leave the caches. With
# fewer systems than the last number in a block, its small operations take longer than its sums, and
# the block may have the second number of entries.
_BLOCK_VALUES, _LARGE_BLOCK_VALUES, _FEW_IN_A_BLOCK = 2**21, 2**23, 16
# The loop over blocks has this many turns, of about the same number of blocks each.
_MOST_TURNS = 4096
# Number of systems searched for further modes: it determines a share of 1 % to 0.1 %.
_SEARCHED_SYSTEMS = 10_000
# Two modes are different if they are further apart than this, in posterior standard deviations. The
# second mode counts if its weight is at least this share of the first mode's weight. Smaller modes
# are about as many as systems, and together they mislead the ascent.
_APART, _COMPARABLE = 2.0, 1e-4
# A system has a tail if its draws miss more than this share of its posterior; and the number of
# draws of the law that tell, for each system and for all systems together.
_MISSED, _TAIL_DRAWS = 0.03, (512, 4096)


# The systems of some blocks to be computed otherwise, the other systems, and the fields of these
# others.
_OfBlocks = tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class Evaluation:
    """The marginal likelihood at one (alpha, gamma), system by system.

    If the problem is divided, the systems are the rank's own.

    Attributes
    ----------
    log_likelihood : ndarray of shape (N,)
        log p(y_n), by the jackknife.
    value_error : ndarray of shape (N,)
        Half the difference of the estimates from the two halves of the draws: a draw of the error.
    scores : ndarray of shape (N, n_p)
        Derivatives of log p(y_n) in (alpha, gamma), by the jackknife.
    score_bias : ndarray of shape (N, n_p)
        The correction of the scores by the jackknife.
    score_error : ndarray of shape (N, n_p)
        As ``value_error``.
    modes, mean, variance : ndarray of shape (N, d_omega)
        Posterior modes, means and variances of omega.
    effective_share : ndarray of shape (N,)
        Effective number of draws divided by S.
    corrections : ndarray of int, shape (N,)
        Chord steps of each system's proposals.
    """

    log_likelihood: np.ndarray
    value_error: np.ndarray
    scores: np.ndarray
    score_bias: np.ndarray
    score_error: np.ndarray
    modes: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    effective_share: np.ndarray
    corrections: np.ndarray

    @property
    def memory(self) -> dict[str, np.ndarray]:
        """All fields by name, from which a nearby evaluation starts."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def of(self, systems: np.ndarray | slice) -> Evaluation:
        """Return the rows of some systems."""
        return Evaluation(*(getattr(self, field.name)[systems] for field in fields(self)))

    def put(self, systems: np.ndarray, other: Evaluation) -> None:
        """Overwrite the rows of some systems by another's."""
        for field in fields(self):
            getattr(self, field.name)[systems] = getattr(other, field.name)

    @classmethod
    def of_nobody(cls, problem: Problem) -> Evaluation:
        """Return the evaluation of no system."""
        none, scores, modes = (
            np.empty((0, n)) for n in (1, len(problem.free), problem.law.d_omega)
        )
        each, corrections = none[:, 0], np.empty(0, dtype=int)
        return cls(each, each, scores, scores, scores, modes, modes, modes, each, corrections)

    @classmethod
    def joined(cls, count: int, parts: Sequence[tuple[np.ndarray, Evaluation]]) -> Evaluation:
        """Return one evaluation of ``count`` systems from the evaluations of groups of rows."""
        found: list[np.ndarray] = []
        for rows, part in parts:
            _put(found, count, rows, tuple(part.memory.values()))
        return cls(*found)


def evaluate(
    problem: Problem,
    p: np.ndarray,
    settings: MarginalSettings,
    memory: Mapping[str, np.ndarray] | None = None,
    numbers: np.ndarray | None = None,
    rows: np.ndarray | None = None,
) -> Evaluation:
    """Evaluate the likelihood and the scores of systems, block by block.

    Parameters
    ----------
    p : ndarray of shape (n_p,)
    memory : mapping, optional
        :attr:`Evaluation.memory` of a nearby evaluation of the same systems: the start of the
        search for the modes, and the corrections to keep. Without it the search starts at the best
        of some draws of the law, and the corrections are chosen.
    numbers : ndarray of int, shape (N,), optional
        The number of each of the problem's systems, which determines its draws; by default its
        position among all.
    rows : ndarray of int, optional
        The systems to evaluate, in increasing order; by default all.

    Raises
    ------
    DivergenceError
        If the noise covariance is not positive definite, or the simulator's derivatives give no
        finite curvature at a mode.
    """
    rows = np.arange(len(problem.data)) if rows is None else rows
    try:
        with together(problem):
            run = _Evaluator(problem, np.asarray(p, dtype=float), settings, numbers)
            return _evaluate(run, rows, memory)
    except torch.linalg.LinAlgError as error:
        raise DivergenceError(f"the likelihood at {p} has no finite curvature") from error


def _evaluate(
    run: _Evaluator, rows: np.ndarray, memory: Mapping[str, np.ndarray] | None
) -> Evaluation:
    problem, settings = run.problem, run.settings
    if memory:
        return run.evaluate(rows, memory["modes"], memory["corrections"])
    evaluation = run.evaluate(rows, None, np.zeros(len(rows), dtype=int))
    # The defensive proposals, and the proposals of groups, know no corrections.
    for corrections, share in settings.corrections if _about_modes(problem) else ():
        poor = np.flatnonzero(evaluation.effective_share < share)
        if len(poor):
            more = np.full(len(poor), corrections)
            other = run.evaluate(rows[poor], evaluation.modes[poor], more)
            better = other.effective_share > evaluation.effective_share[poor]
            evaluation.put(poor[better], other.of(np.flatnonzero(better)))
    return evaluation


def further_modes(
    problem: Problem,
    p: np.ndarray,
    settings: MarginalSettings,
    evaluation: Evaluation,
    known: np.ndarray,
    numbers: np.ndarray,
) -> tuple[np.ndarray, float]:
    """Return the systems with a further mode that is not negligible.

    Further searches start at separate draws of the law. They miss modes that attract none of the
    searches. With more than 10,000 systems, 10,000 are searched first, and the others only if one
    of these has a further mode.

    Parameters
    ----------
    p : ndarray of shape (n_p,)
    evaluation : Evaluation
        At p.
    known : ndarray of int
        Systems that are not searched, as their draws cover several modes, in increasing order.
    numbers : ndarray of int, shape (N,)
        The number of each of the problem's systems, which determines its draws.

    Returns
    -------
    systems : ndarray of int
        Their positions among all systems, in the same form as ``known``.
    share : float
        Their share among those that were searched.
    """

    def search(rows: np.ndarray) -> np.ndarray:
        run = _Evaluator(problem, p, settings, numbers)
        return run.further_modes(rows, evaluation.of(rows))

    return _found(problem, known, search)


def with_tails(
    problem: Problem,
    p: np.ndarray,
    settings: MarginalSettings,
    evaluation: Evaluation,
    known: np.ndarray,
    numbers: np.ndarray,
) -> np.ndarray:
    """Return the systems of whose posteriors draws about the mode miss a part.

    Their effective share does not show it; see
    :meth:`popinv.inference.integrate.integrals.Integrals.missed`. Defensive draws have a small
    effective share there. Arguments and result are as for :func:`further_modes`.
    """
    if not _about_modes(problem):
        return np.zeros(0, dtype=int)

    def search(rows: np.ndarray) -> np.ndarray:
        run = _Evaluator(problem, p, settings, numbers)
        return run.with_tails(rows, evaluation.of(rows))

    return _found(problem, known, search)[0]


def _about_modes(problem: Problem) -> bool:
    """Return whether all draws of a system are about its mode."""
    return problem.is_normal and not (problem.law.strongly_curved or problem.law.nested)


def _found(
    problem: Problem, known: np.ndarray, search: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, float]:
    """Return the systems, except for the known ones, that a search finds, and their share.

    The search receives some of the own rows, and returns positions among them. It is made for
    some systems first, and for the others if it finds one.
    """
    left = problem.count - len(known)
    searched_first = min(left, _SEARCHED_SYSTEMS)
    some = np.arange(left)
    if left > searched_first:
        rng = generator(problem.seed, f"{problem.stage}/searched")
        some = np.sort(rng.choice(left, searched_first, replace=False))
    # The positions of the remaining systems, without a list of all.
    some = some + np.searchsorted(known - np.arange(len(known)), some, side="right")

    def searched(rows: np.ndarray) -> np.ndarray:
        with together(problem):
            found = rows[search(rows)] if len(rows) else rows
        return joined(problem, problem.numbers[found])

    first = problem.rows_of(some)
    found = searched(first)
    share = len(found) / max(1, searched_first)
    if len(found) and left > searched_first:
        seen = np.concatenate([first, problem.rows_of(known)])
        rest = np.setdiff1d(np.arange(len(problem.data)), seen)
        found = np.sort(np.concatenate([found, searched(rest)]))
    return found, share


def integrals_at(problem: Problem, p: np.ndarray) -> Integrals:
    """Return the integrals of all systems of a problem at p (n_p,)."""
    alpha, gamma = problem.tensors(p)
    push_forward = PushForward(problem, alpha, problem.known)
    return Integrals(problem, push_forward, density_of(problem, gamma), problem.numbers)


class _Evaluator:
    """The evaluation at one p."""

    def __init__(
        self,
        problem: Problem,
        p: np.ndarray,
        settings: MarginalSettings,
        numbers: np.ndarray | None,
    ) -> None:
        self.problem, self.settings = problem, settings
        self.numbers = problem.numbers if numbers is None else numbers
        self.alpha, self.gamma = problem.tensors(p)
        self.push_forward = PushForward(problem, self.alpha, problem.known)
        # The first row of the last requested block, and its densities.
        self.densities: tuple[int, DensitiesAt] | None = None
        self.span: Span | None = None
        if settings.features is None and reducible(problem):
            of_all = DensitiesAt(problem, self.gamma)
            self.span = Span.of(self.push_forward, p, of_all.noise, of_all.changes)

    @property
    def widths(self) -> tuple[int, int]:
        """Numbers of observations at each draw, and at each draw of corrected proposals."""
        if self.span is None:
            return (self.problem.data.shape[1],) * 2
        return len(self.span.entries), self.span.rough.shape[1]

    def evaluate(
        self, systems: np.ndarray, modes: np.ndarray | None, corrections: np.ndarray
    ) -> Evaluation:
        """Evaluate some systems from these modes, or from draws of the law if None."""

        def of_block(chosen: np.ndarray) -> _OfBlocks:
            """Return the systems to be computed otherwise, the others, and the fields of these."""
            level = int(corrections[chosen[0]])
            start = None if modes is None else torch.from_numpy(modes[chosen])
            block, block_modes, served = self._with_modes(systems[chosen], start)
            left = chosen[~served.numpy()]
            if len(left):
                # As an array: numpy reads a tensor of one entry as a number.
                chosen, kept = chosen[served.numpy()], torch.nonzero(served)[:, 0]
                block, block_modes = block.of(kept), block_modes.of(kept)
            values = block.evaluate(self.settings, block_modes, level) if len(chosen) else ()
            return left, chosen, values

        def of_blocks(several: list[np.ndarray]) -> _OfBlocks:
            each = [of_block(chosen) for chosen in several]
            values = zip(*(own for _, _, own in each if own), strict=True)
            left, chosen = (np.concatenate([one[i] for one in each]) for i in (0, 1))
            return left, chosen, tuple(np.concatenate(parts) for parts in values)

        found: list[np.ndarray] = []
        unserved = np.zeros(len(systems), dtype=bool)
        blocks = list(self._blocks(systems, corrections))
        # Every process that shares the turns stores the results of all turns.
        size = max(1, -(-len(blocks) // _MOST_TURNS))
        turns = [blocks[i : i + size] for i in range(0, len(blocks), size)]
        # A million systems take a quarter of an hour.
        for left, chosen, values in parallel(of_blocks, turns, "integrals"):
            unserved[left] = True
            if len(chosen):
                _put(found, len(systems), chosen, values)
        if unserved.any():
            whole = copy.copy(self)
            whole.span = None
            near = None if modes is None else modes[unserved]
            others = whole.evaluate(systems[unserved], near, corrections[unserved])
            _put(found, len(systems), np.flatnonzero(unserved), tuple(others.memory.values()))
        return Evaluation(*found) if found else Evaluation.of_nobody(self.problem)

    def _with_modes(
        self, systems: np.ndarray, start: torch.Tensor | None
    ) -> tuple[Integrals | NestedIntegrals, Any, torch.Tensor]:
        """Return integrals, their modes, and which systems are not to be computed otherwise."""
        if self.span is None:
            block = self.integrals(systems)
            everyone = torch.ones(len(systems), dtype=torch.bool)
            return block, block.find_modes(self.settings, start), everyone
        rows, data = torch.from_numpy(systems), self._data(systems)
        rough = self.span.integrals(rows, self.numbers[systems], data)
        modes = rough.find_modes(self.settings, start)
        exact, served = self.span.about(rough, modes, rows, data)
        return exact, modes, served

    def integrals(self, systems: np.ndarray) -> Integrals | NestedIntegrals:
        """Return the integrals of some systems of one block of the division."""
        rows, numbers = torch.from_numpy(systems), self.numbers[systems]
        if self.span is not None:
            return self.span.integrals(rows, numbers, self._data(systems))
        if self.problem.law.nested:
            groups = MemberGroups.of_problem(
                self.problem, self.alpha, self._density(systems), systems
            )
            return NestedIntegrals(groups, numbers)
        push_forward = self.push_forward.rows(rows)
        return Integrals(self.problem, push_forward, self._density(systems), numbers)

    def _density(self, systems: np.ndarray) -> Density:
        """Return the density of some systems of one block of the division.

        The density is the whole block's, whatever other systems the problem has.
        """
        count = len(self.problem.data)
        block = block_with(int(systems[0]), count)
        if self.densities is None or self.densities[0] != block.start:
            rows = np.arange(block.start, block.stop)
            whole = self.problem if len(rows) == count else self.problem.of_systems(rows)
            self.densities = block.start, DensitiesAt(whole, self.gamma)
        return self.densities[1].of(systems - block.start)

    def _data(self, systems: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(self.problem.data[systems])

    def further_modes(self, systems: np.ndarray, evaluation: Evaluation) -> np.ndarray:
        """Return the positions, among some systems, of those with a further mode."""

        def of_block(chosen: np.ndarray) -> np.ndarray:
            block = self.integrals(systems[chosen])
            here = block.find_modes(self.settings, torch.from_numpy(evaluation.modes[chosen]))
            several = torch.zeros(len(chosen), dtype=torch.bool)
            for other in block.all_modes(self.settings, "further_starts"):
                weight = other.evidence - here.evidence
                counts = (weight < -math.log(_COMPARABLE)) & other.arrived
                several |= (here.distance(other.omega) > _APART**2) & counts
            return chosen[several.numpy()]

        return self._chosen(of_block, systems, "further modes")

    def with_tails(self, systems: np.ndarray, evaluation: Evaluation) -> np.ndarray:
        """Return the positions, among some systems, of those with a tail that draws miss."""
        problem, whole = self.problem, copy.copy(self)
        whole.span = None
        alike = not problem.known.width
        draws = draws_of_law(problem, "tails", None, _TAIL_DRAWS[alike])
        signals = self.push_forward(draws) if alike else None

        def of_block(chosen: np.ndarray) -> np.ndarray:
            block = whole.integrals(systems[chosen])
            assert isinstance(block, Integrals)
            modes = block.find_modes(self.settings, torch.from_numpy(evaluation.modes[chosen]))
            value = torch.from_numpy(evaluation.log_likelihood[chosen])
            missed = block.missed(modes, value, draws, signals)
            return chosen[(missed > _MISSED).numpy()]

        return self._chosen(of_block, systems, "tails")

    def _chosen(
        self, of_block: Callable[[np.ndarray], np.ndarray], systems: np.ndarray, what: str
    ) -> np.ndarray:
        """Return the positions that a function chooses from each block of some systems."""
        blocks = list(self._blocks(systems, np.zeros(len(systems), dtype=int)))
        return np.concatenate(list(parallel(of_block, blocks, what)))

    def _blocks(self, systems: np.ndarray, corrections: np.ndarray) -> Iterator[np.ndarray]:
        """Yield positions of systems that are computed together.

        The systems of a group are in one block of the division, have equal numbers of corrections,
        and fit into memory.
        """
        (width, few), d = self.widths, self.problem.law.d_omega
        for block in blocks_of_rows(systems):
            for level in np.unique(corrections[block]):
                per_draw = 8 * max(width, d) + (3 * d * (few + d) if level else 0)
                values = self.settings.draws * per_draw + 2 * d * width
                if self.problem.law.nested:
                    # The draws of groups are computed some at a time.
                    values = width * (self.problem.d_z + 8)
                large = min(_FEW_IN_A_BLOCK, _LARGE_BLOCK_VALUES // values)
                size = max(_BLOCK_VALUES // values, large, 1)
                alike = block.start + np.flatnonzero(corrections[block] == level)
                for start in range(0, len(alike), size):
                    yield alike[start : start + size]


def _put(
    arrays: list[np.ndarray], count: int, systems: np.ndarray, values: tuple[np.ndarray, ...]
) -> None:
    """Write values of some of ``count`` systems into arrays, which the first call makes."""
    if not arrays:
        arrays += [np.empty((count, *v.shape[1:]), v.dtype) for v in values]
    for array, part in zip(arrays, values, strict=True):
        array[systems] = part
