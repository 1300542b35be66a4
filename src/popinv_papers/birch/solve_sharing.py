r"""Which of n unequal machines should take which solves of a round.

Machine i needs h_i seconds for a solve, and a chunk of c solves takes o + c h_i. There are three
ways to share m solves: as many for each machine, one chunk of the best size for each, or equal
chunks that a machine pulls whenever it is idle, as the workflow does. No way ends before

.. math:: o + m \Bigl( \sum_i \frac1{h_i} \Bigr)^{-1},

since a machine that ends at T has done at most (T - o)/h_i. (Without o this is the paper's lower
bound for gradients, where only the noise counts.)

Times vary: a solve follows a gamma law of mean h_i, and the h_i themselves differ from what was
stated, in each round by another factor of mean 1, as machines have other work.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from popinv.errors import ConfigError
from popinv.seeds import generator


@dataclass(frozen=True)
class Machines:
    """Machines that solve.

    Attributes
    ----------
    seconds : tuple of float, length n
        h_i, the mean time of a solve.
    overhead : float
        o, the seconds that a chunk takes beside its solves.
    solve_variation, machine_variation : float
        Coefficients of variation: of the times of single solves, and of the factors by which whole
        machines are slower or faster than stated.

    Raises
    ------
    ConfigError
        If there is no machine, or a number is out of range.
    """

    seconds: tuple[float, ...]
    overhead: float = 0.0
    solve_variation: float = 0.0
    machine_variation: float = 0.0

    def __post_init__(self) -> None:
        if not self.seconds or not all(0 < h < np.inf for h in self.seconds):
            raise ConfigError(
                f"seconds of a solve {list(self.seconds)}, must be positive and finite, at least "
                "one machine"
            )
        for name in ("overhead", "solve_variation", "machine_variation"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ConfigError(f"{name} {getattr(self, name)}, must be finite and at least 0")

    @property
    def count(self) -> int:
        """The number n of machines."""
        return len(self.seconds)


@dataclass(frozen=True)
class Round:
    """Draws of a round's times: those of machines, and a source of those of solves.

    Attributes
    ----------
    rates : ndarray of shape (draws, n)
        Mean seconds of a solve on each machine in this round.
    order : ndarray of int, shape (draws, n)
        The machines in the order in which they ask for their first chunk, which is by chance.
    """

    machines: Machines
    rates: np.ndarray
    order: np.ndarray
    seed: int

    @staticmethod
    def drawn(machines: Machines, draws: int, seed: int) -> Round:
        """Return a number of draws."""
        source = generator(seed, "birch/machines")
        factors = _gamma(source, np.ones((draws, machines.count)), machines.machine_variation)
        order = source.random(factors.shape).argsort(axis=1)
        return Round(machines, np.array(machines.seconds) * factors, order, seed)

    def units(self, chunks: Sequence[int]) -> np.ndarray:
        """Return the times of chunks on a machine of h = 1, shape (draws, chunks)."""
        source = generator(self.seed, "birch/solves")
        sizes = np.broadcast_to(np.array(chunks, float), (len(self.rates), len(chunks)))
        return _gamma(source, sizes, self.machines.solve_variation)

    def least(self, solves: int) -> np.ndarray:
        """Return the bound for the machines as they are in each draw, shape (draws,)."""
        return self.machines.overhead + solves / (1 / self.rates).sum(axis=1)


def _gamma(source: np.random.Generator, mean: np.ndarray, variation: float) -> np.ndarray:
    """Return sums of as many times as ``mean`` says, each of mean 1 and that variation."""
    if not variation:
        return np.array(mean)
    shape = variation**-2
    # A sum of no times is 0.
    return np.where(mean > 0, source.gamma(np.maximum(mean, 1e-12) * shape) / shape, 0.0)


def least_makespan(machines: Machines, solves: int) -> float:
    """Return o + m / sum(1/h_i), before which no way of sharing ends."""
    return machines.overhead + solves / sum(1 / h for h in machines.seconds)


def best_split(machines: Machines, solves: int) -> list[int]:
    """Return the sizes of one chunk for each machine that end first, for constant times.

    The k-th solve of machine i would end at o + k h_i. The m earliest of these ends are taken;
    their latest is the makespan, and no other sizes have an earlier one. Up to rounding, the sizes
    are in proportion to the speeds 1/h_i.
    """
    counts = [0] * machines.count
    ends = [(h, i) for i, h in enumerate(machines.seconds)]
    heapq.heapify(ends)
    for _ in range(solves):
        _, i = ends[0]
        counts[i] += 1
        heapq.heapreplace(ends, ((counts[i] + 1) * machines.seconds[i], i))
    return counts


def equal_split(machines: Machines, solves: int) -> list[int]:
    """Return as many solves for each machine, up to one; the fast ones get the rest."""
    share, rest = divmod(solves, machines.count)
    by_speed = np.argsort(machines.seconds, kind="stable")
    counts = np.full(machines.count, share)
    counts[by_speed[:rest]] += 1
    return [int(count) for count in counts]


def chunks_of(solves: int, chunk: int) -> list[int]:
    """Return the sizes of the chunks of a round; the last may be smaller."""
    if solves < 1 or chunk < 1:
        raise ConfigError(f"{solves} solves in chunks of {chunk}, must be at least 1 each")
    return [min(chunk, solves - start) for start in range(0, solves, chunk)]


def divided(times: Round, counts: Sequence[int]) -> np.ndarray:
    """Return the makespan of one chunk for each machine, max(o + h_i n_i), shape (draws,)."""
    work = times.rates * times.units(counts)
    return np.where(np.array(counts) > 0, times.machines.overhead + work, 0.0).max(axis=1)


def pulled(times: Round, chunks: Sequence[int]) -> np.ndarray:
    """Return the makespan of chunks that idle machines pull, shape (draws,)."""
    rates, draws = np.take_along_axis(times.rates, times.order, axis=1), np.arange(len(times.rates))
    free = np.zeros_like(rates)
    for unit in times.units(chunks).T:
        # Of machines that are idle at once, that is, at the start, the first in the order.
        first = free.argmin(axis=1)
        free[draws, first] += times.machines.overhead + rates[draws, first] * unit
    return free.max(axis=1)
