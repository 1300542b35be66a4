r"""The search for the places and the sizes of the groups of systems, by exchange.

A design consists of groups of systems. All systems of a group have the same known quantities (an
*arm*, such as a dose) and are observed at the same places. Systems are independent, so that

.. math:: M = M_0 + \sum_g N_g\, I(\text{arm}_g, \text{places}_g),

with M_0 what is known before. The search is greedy: it adds the place that improves the criterion
most, until there are enough places. Then it exchanges single places for others as long as this
improves the criterion (Fedorov, Theory of Optimal Experiments, 1972), and systems between the
groups in the same way. If all systems share their places, exchanges also start from places at equal
distances, and the better result counts. It is a local optimum of exchanges.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from popinv.planning.criteria import Criterion
from popinv.planning.information import LocalMoments

# Least improvement of a criterion, the logarithm of a standard error, for an exchange.
_LEAST = 1e-7
# Passes over all places, and rounds of places and sizes in turn.
_PASSES, _ROUNDS = 20, 6
# Parts of all systems that are exchanged between groups, from coarse to fine.
_PARTS = (4, 10, 25, 50, 100)


@dataclass(frozen=True)
class Group:
    """Systems that are observed alike.

    Attributes
    ----------
    arm : int
        Which of the candidates for the known quantities they have.
    places : tuple of int
        Which of the candidate places, in increasing order.
    systems : int
    """

    arm: int
    places: tuple[int, ...]
    systems: int


@dataclass(frozen=True)
class Scenario:
    """What would be true: moments of each arm at one p, and what is known before.

    Attributes
    ----------
    arms : tuple of LocalMoments
    before : ndarray of shape (n_p, n_p)
        M_0.
    criterion : Criterion
    """

    arms: tuple[LocalMoments, ...]
    before: np.ndarray
    criterion: Criterion


class Search:
    """Designs for a number of places and systems; informations are computed once.

    Parameters
    ----------
    scenarios : sequence of Scenario
        The mean of the criterion over them counts.
    replicates : int
    """

    def __init__(self, scenarios: Sequence[Scenario], replicates: int = 1) -> None:
        self.scenarios, self.replicates = tuple(scenarios), replicates
        self._kept: dict[tuple[int, tuple[int, ...]], np.ndarray] = {}

    @property
    def count(self) -> int:
        """Number of candidate places."""
        return self.scenarios[0].arms[0].count

    @property
    def arms(self) -> int:
        """Number of candidates for the known quantities."""
        return len(self.scenarios[0].arms)

    @property
    def of_systems(self) -> bool:
        """Whether the criterion is about single systems."""
        return self.scenarios[0].criterion.name == "systems"

    def information(self, arm: int, sets: Sequence[tuple[int, ...]]) -> np.ndarray:
        """Return what one system tells in each scenario, (S, B, n_p, n_p).

        For the criterion ``systems``, the shares of variance that its parameters keep, (S, B, d_z).
        """
        new = [each for each in dict.fromkeys(sets) if (arm, each) not in self._kept]
        if new:
            places = np.array(new, dtype=int).reshape(len(new), -1)
            found = [
                (s.arms[arm].posterior_variances if self.of_systems else s.arms[arm].information)(
                    places, self.replicates
                )
                for s in self.scenarios
            ]
            for i, each in enumerate(new):
                self._kept[arm, each] = np.array([one[i] for one in found])
        return np.stack([self._kept[arm, each] for each in sets], axis=1)

    def total(self, groups: Sequence[Group]) -> np.ndarray:
        """Return M in each scenario, (S, n_p, n_p)."""
        return self._totals(groups, None, [()])[:, 0]

    def value(self, groups: Sequence[Group]) -> float:
        """Return the criterion of a design, the mean over the scenarios."""
        return float(self._values(groups, None, [()])[0])

    def _totals(
        self,
        groups: Sequence[Group],
        changed: Sequence[int] | None,
        sets: Sequence[tuple[int, ...]],
    ) -> np.ndarray:
        """Return M (S, B, ...) with each of some sets of places in the changed groups."""
        systems = sum(group.systems for group in groups)
        first = None if self.of_systems else np.array([s.before for s in self.scenarios])[:, None]
        total: np.ndarray | None = first
        for number, group in enumerate(groups):
            if not group.systems:
                continue
            own = sets if changed is not None and number in changed else [group.places] * len(sets)
            weight = group.systems / systems if self.of_systems else group.systems
            more = weight * self.information(group.arm, own)
            total = more if total is None else total + more
        assert total is not None
        return total

    def _values(
        self,
        groups: Sequence[Group],
        changed: Sequence[int] | None,
        sets: Sequence[tuple[int, ...]],
    ) -> np.ndarray:
        total = self._totals(groups, changed, sets)
        each = [
            s.criterion.of_shares(of, s.criterion.wanted)
            if self.of_systems
            else s.criterion.of_information(of)
            for s, of in zip(self.scenarios, total, strict=True)
        ]
        values = np.mean(each, axis=0)
        # Places that repeat an observation are not chosen.
        return np.where(np.isnan(values), np.inf, values)

    # --- the search ------------------------------------------------------------------------------

    def best(
        self,
        places: int,
        systems: int,
        apart: int = 1,
        start: Sequence[Group] | None = None,
    ) -> tuple[Group, ...]:
        """Return the best design that the exchange finds.

        Parameters
        ----------
        places, systems : int
            Number of places of each system, and of systems.
        apart : int
            Number of groups of each arm whose places may differ; with 1, all systems share them.
        start : sequence of Group, optional
            A design with fewer places, or as many, from which the search starts.
        """
        if start is None:
            start = self._started(systems, apart)
        groups = tuple(start)
        sets = self._sets(groups, apart)
        while len(groups[sets[0][0]].places) < places:
            for own in sets:
                groups = self._added(groups, own)
        found = [self._improved(groups, sets)]
        if apart == 1:
            regular = regular_places(self.count, places)
            found.append(self._improved(_changed(groups, sets[0], regular), sets))
        best = min(found, key=self.value)
        return tuple(group for group in best if group.systems)

    def _improved(
        self, groups: tuple[Group, ...], sets: Sequence[Sequence[int]]
    ) -> tuple[Group, ...]:
        """Return the design after exchanges of places, and of systems, in turn."""
        value = self.value(groups)
        for _ in range(_ROUNDS):
            for own in sets:
                groups = self._exchanged(groups, own)
            if len(groups) > 1:
                groups = self._resized(groups)
            last, value = value, self.value(groups)
            if last - value < _LEAST:
                break
        return groups

    def _started(self, systems: int, apart: int) -> tuple[Group, ...]:
        count = self.arms * apart
        sizes = [systems // count + (i < systems % count) for i in range(count)]
        return tuple(Group(i // apart, (), size) for i, size in enumerate(sizes))

    def _sets(self, groups: Sequence[Group], apart: int) -> list[list[int]]:
        """Return which groups change their places together."""
        every = range(len(groups))
        return [list(every)] if apart == 1 else [[i] for i in every]

    def _added(self, groups: tuple[Group, ...], own: Sequence[int]) -> tuple[Group, ...]:
        here = groups[own[0]].places
        sets = [_with(here, place) for place in range(self.count) if place not in here]
        # A group that has no place yet is no part of the design.
        there = tuple(
            g if g.places or i in own else replace(g, systems=0) for i, g in enumerate(groups)
        )
        chosen = sets[int(np.argmin(self._values(there, own, sets)))]
        return _changed(groups, own, chosen)

    def _exchanged(self, groups: tuple[Group, ...], own: Sequence[int]) -> tuple[Group, ...]:
        if not any(groups[i].systems for i in own):
            return groups
        value = self.value(groups)
        for _ in range(_PASSES):
            before = value
            for place in groups[own[0]].places:
                here = groups[own[0]].places
                rest = tuple(each for each in here if each != place)
                sets = [_with(rest, each) for each in range(self.count) if each not in here]
                if not sets:
                    return groups
                values = self._values(groups, own, sets)
                if value - values.min() > _LEAST:
                    value = float(values.min())
                    groups = _changed(groups, own, sets[int(np.argmin(values))])
            if before - value < _LEAST:
                break
        return groups

    def _resized(self, groups: tuple[Group, ...]) -> tuple[Group, ...]:
        """Return the groups after exchanges of systems between them."""
        systems = sum(group.systems for group in groups)
        value = self.value(groups)
        for part in _PARTS:
            size = max(1, systems // part)
            while True:
                moves = list(_moves(groups, size))
                values = [self.value(each) for each in moves]
                if not moves or value - min(values) < _LEAST:
                    break
                groups, value = moves[int(np.argmin(values))], min(values)
            if size == 1:
                break
        return groups


def _moves(groups: Sequence[Group], size: int) -> Iterator[tuple[Group, ...]]:
    """Yield the designs with some systems moved from one group to another."""
    for i, giver in enumerate(groups):
        given = min(size, giver.systems)
        if not given:
            continue
        for j in range(len(groups)):
            if j != i:
                moved = list(groups)
                moved[i] = replace(giver, systems=giver.systems - given)
                moved[j] = replace(groups[j], systems=groups[j].systems + given)
                yield tuple(moved)


def _with(places: Sequence[int], more: int) -> tuple[int, ...]:
    return tuple(sorted((*places, more)))


def _changed(
    groups: Sequence[Group], own: Sequence[int], places: tuple[int, ...]
) -> tuple[Group, ...]:
    return tuple(replace(g, places=places) if i in own else g for i, g in enumerate(groups))


def regular_places(count: int, places: int) -> tuple[int, ...]:
    """Return places at equal distances among the candidates, in their order.

    Examples
    --------
    >>> regular_places(9, 3)
    (1, 4, 7)
    """
    middles = (np.arange(places) + 0.5) * count / places - 0.5
    return tuple(int(each) for each in np.unique(np.round(middles).astype(int)))
