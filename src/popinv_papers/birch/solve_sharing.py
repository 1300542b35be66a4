r"""Which of n unequal machines should take which solves of a round.

Machine i needs h_i seconds for a solve, and a chunk of c solves takes o + c h_i. There are three
ways to share m solves: as many for each machine, one chunk of the best size for each, or equal
chunks that a machine pulls whenever it is idle, as the workflow does. No way ends before

.. math:: o + m \Bigl( \sum_i \frac1{h_i} \Bigr)^{-1},

since a machine that ends at T has done at most (T - o)/h_i. (Without o this is the paper's lower
bound for gradients, where only the noise counts.)

Times vary: a solve follows a gamma law of mean h_i, and the h_i themselves differ from what was
stated, in each round by another factor of mean 1, as machines have other work.

Processes that sleep for as long as the solves would take rehearse what is advised.
"""

from __future__ import annotations

import heapq
import math
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from tqdm import tqdm

from popinv.errors import DataError
from popinv.methods.invariants import Invariant, held
from popinv.seeds import generator
from popinv.store.variables import variable


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
    """

    seconds: tuple[float, ...]
    overhead: float = 0.0
    solve_variation: float = 0.0
    machine_variation: float = 0.0

    @property
    def count(self) -> int:
        """The number n of machines."""
        return len(self.seconds)


@dataclass(frozen=True)
class RoundTimes:
    """Draws of a round's times: the machines' times, and a source of the solves' times.

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
    def drawn(machines: Machines, draws: int, seed: int) -> RoundTimes:
        """Return a number of draws."""
        source = generator(seed, "birch/machines")
        factors = _gamma(source, np.ones((draws, machines.count)), machines.machine_variation)
        order = source.random(factors.shape).argsort(axis=1)
        return RoundTimes(machines, np.array(machines.seconds) * factors, order, seed)

    def units(self, chunks: Sequence[int]) -> np.ndarray:
        """Return the times of chunks on a machine of h = 1, shape (draws, chunks)."""
        source = generator(self.seed, "birch/solves")
        sizes = np.broadcast_to(np.array(chunks, float), (len(self.rates), len(chunks)))
        return _gamma(source, sizes, self.machines.solve_variation)

    def least(self, solves: int) -> np.ndarray:
        """Return the bound for the machines as they are in each draw, shape (draws,)."""
        return self.machines.overhead + solves / (1 / self.rates).sum(axis=1)


def _gamma(source: np.random.Generator, mean: np.ndarray, variation: float) -> np.ndarray:
    """Return sums of ``mean`` times, each of mean 1 and the given variation."""
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
    """Return equal numbers of solves, up to one; the fast machines get the rest."""
    share, rest = divmod(solves, machines.count)
    by_speed = np.argsort(machines.seconds, kind="stable")
    counts = np.full(machines.count, share)
    counts[by_speed[:rest]] += 1
    return [int(count) for count in counts]


def chunks_of(solves: int, chunk: int) -> list[int]:
    """Return the sizes of the chunks of a round; the last may be smaller."""
    return [min(chunk, solves - start) for start in range(0, solves, chunk)]


def divided(times: RoundTimes, counts: Sequence[int]) -> np.ndarray:
    """Return the makespan of one chunk for each machine, max(o + h_i n_i), shape (draws,)."""
    work = times.rates * times.units(counts)
    return np.where(np.array(counts) > 0, times.machines.overhead + work, 0.0).max(axis=1)


def pulled(times: RoundTimes, chunks: Sequence[int]) -> np.ndarray:
    """Return the makespan of chunks that idle machines pull, shape (draws,)."""
    rates, draws = np.take_along_axis(times.rates, times.order, axis=1), np.arange(len(times.rates))
    free = np.zeros_like(rates)
    for unit in times.units(chunks).T:
        # Of machines that are idle at once, that is, at the start, the first in the order.
        first = free.argmin(axis=1)
        free[draws, first] += times.machines.overhead + rates[draws, first] * unit
    return free.max(axis=1)


def rehearse(
    rates: Sequence[float],
    overhead: float,
    units: Sequence[float],
    order: Sequence[int] | None = None,
) -> float:
    """Return the seconds from the first start to the last end of n processes.

    Parameters
    ----------
    rates : sequence of float
        Seconds of a solve on each machine; ``overhead`` is a chunk's additional seconds.
    units : sequence of float
        Times of the chunks on a machine of one second for a solve.
    order : sequence of int, optional
        The processes in the order in which they take their first chunk. Then an idle process takes
        the next one. Without it, process i takes chunk i and no other.

    Raises
    ------
    DataError
        If a process ends without having done its work.
    """
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(len(rates))
    shared = None if order is None else context.Value("q", len(rates))
    chunks = range(len(rates)) if order is None else np.argsort(order)
    begun, ended = (context.RawArray("d", len(rates)) for _ in range(2))
    processes = [
        context.Process(
            target=_solve,
            args=(i, int(chunks[i]), rate, overhead, units, shared, barrier, begun, ended),
            daemon=True,
        )
        for i, rate in enumerate(rates)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise DataError("a process that rehearses solves has ended too early")
    return float(np.max(ended) - np.min(begun))


def _solve(
    machine: int,
    chunk: int,
    rate: float,
    overhead: float,
    units: Sequence[float],
    following: Any,
    barrier: Any,
    begun: Any,
    ended: Any,
) -> None:
    barrier.wait()
    begun[machine] = time.perf_counter()
    # A chunk without solves is none.
    while chunk < len(units) and units[chunk] > 0:
        time.sleep(overhead + rate * units[chunk])
        if following is None:
            break
        with following:
            chunk = following.value
            following.value += 1
    ended[machine] = time.perf_counter()


_DRAWS = 400
# More chunks than this are planned nowhere.
_MOST_CHUNKS = 5000
NEAR = 0.05
"""Part of the bound within which a chunk size is near it."""
# Ways whose mean makespans differ by less count as equally fast.
_ALIKE = 0.02
# Draws, and solves of each machine, where all machines are alike.
_FEW_DRAWS, _EACH = 2, 20
WAYS = {
    "equal": "as many solves for each machine",
    "by_speed": "shares in proportion to speed",
    "pulled": "chunks pulled by idle machines",
}


def chunk_sizes(solves: int) -> list[int]:
    """Return the chunk sizes that are tried, by factors of about 1.26, up to the whole round."""
    powers = range(math.ceil(3 * math.log2(solves)) + 1)
    sizes = {round(2 ** (p / 3)) for p in powers} | {solves}
    return sorted(size for size in sizes if size <= solves and solves / size <= _MOST_CHUNKS)


def makespans(machines: Machines, solves: int, seed: int) -> dict[str, Any]:
    """Return the mean makespans of all ways, over draws of the times.

    The names are ``equal`` and ``by_speed``, ``pulled`` (by chunk size), and the mean ``bound``.
    """
    times = RoundTimes.drawn(machines, _DRAWS, seed)
    return {
        "bound": float(times.least(solves).mean()),
        "equal": float(divided(times, equal_split(machines, solves)).mean()),
        "by_speed": float(divided(times, best_split(machines, solves)).mean()),
        "pulled": {
            size: float(pulled(times, chunks_of(solves, size)).mean())
            for size in chunk_sizes(solves)
        },
    }


def _plans(machines: Machines, solves: int, chunk: int) -> dict[str, list[int]]:
    """Return the sizes of the chunks of each way."""
    return {
        "equal": equal_split(machines, solves),
        "by_speed": best_split(machines, solves),
        "pulled": chunks_of(solves, chunk),
    }


def _makespan(times: RoundTimes, way: str, sizes: Sequence[int]) -> np.ndarray:
    return pulled(times, sizes) if way == "pulled" else divided(times, sizes)


def alike_machines(count: int, seed: int) -> Invariant:
    """Check that all ways end at the bound where machines are alike and chunks cost nothing."""
    times = RoundTimes.drawn(Machines((1.0,) * count), _FEW_DRAWS, seed)
    solves = count * _EACH
    ends = [
        _makespan(times, way, sizes) for way, sizes in _plans(times.machines, solves, 1).items()
    ]
    return held(
        "machines_alike",
        "machines alike, chunks free: largest distance of a way's time from the bound, relative",
        float(np.abs(np.array(ends) / times.least(solves) - 1).max()),
        1e-9,
    )


def advise_solves(
    stated: Mapping[str, float],
    machines: Machines,
    solves: int,
    repeats: int,
    seed: int,
    rehearsal: float = 6.0,
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Compare the ways to share a round, and rehearse them with processes that sleep.

    ``stated`` are the machines' names and seconds for a solve; ``machines`` have their variation,
    too. The longest rehearsal takes ``rehearsal`` seconds, all times being divided by as much.

    Returns
    -------
    result : Dataset
        Makespans by ``chunk_size``, and of the rehearsals by ``way`` and ``rehearsal``.
    metrics : dict
    """
    found = makespans(machines, solves, seed)
    by_size: dict[int, float] = found["pulled"]
    best = min(by_size, key=by_size.__getitem__)
    near = [size for size, time in by_size.items() if time <= (1 + NEAR) * found["bound"]]
    mean = {"equal": found["equal"], "by_speed": found["by_speed"], "pulled": by_size[best]}
    fastest = min(mean.values())
    # Pulling needs no knowledge of the speeds, and is what the workflow does.
    alike = mean["pulled"] <= (1 + _ALIKE) * fastest
    choice = "pulled" if alike else min(mean, key=mean.__getitem__)
    expected, real = _rehearsed(machines, solves, best, repeats, seed, rehearsal)
    metrics: dict[str, Any] = {
        "solves_of_round": solves,
        "solves_bound_seconds": found["bound"],
        "solves_constant_times_bound_seconds": least_makespan(machines, solves),
        "solves_advice": choice,
        "solves_chunk_size": best,
        "solves_smallest_chunk_near_bound": min(near) if near else "none",
        "solves_largest_chunk_near_bound": max(near) if near else "none",
    }
    for name, count in zip(stated, best_split(machines, solves), strict=True):
        metrics[f"solves_share_{name}"] = count
    for place, (way, seconds) in enumerate(mean.items()):
        ratios = real[place] / expected[place]
        metrics |= {
            f"solves_{way}_seconds": seconds,
            f"solves_{way}_over_bound": seconds / found["bound"],
            f"solves_{way}_rehearsed_over_predicted": float(ratios.mean()),
            f"solves_{way}_rehearsed_over_predicted_least": float(ratios.min()),
            f"solves_{way}_rehearsed_over_predicted_most": float(ratios.max()),
        }
    metrics["solves_statement"] = _statement(choice, mean, best, near, found["bound"], solves)
    sizes = np.array(list(by_size))
    dims = ("way", "rehearsal")
    result = xr.Dataset(
        {
            "makespan": variable(
                ("chunk_size",), np.array(list(by_size.values())), "makespan", "s"
            ),
            "rehearsal_expected": variable(dims, expected, "expected time of a rehearsal", "s"),
            "rehearsal_measured": variable(dims, real, "measured time of a rehearsal", "s"),
        },
        coords={
            "chunk_size": variable("chunk_size", sizes, "solves of a chunk"),
            "way": variable("way", list(mean), "way to share solves"),
        },
        attrs={name: found[name] for name in ("bound", "equal", "by_speed")},
    )
    return result, metrics


def _rehearsed(
    machines: Machines, solves: int, chunk: int, repeats: int, seed: int, rehearsal: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return expected and measured seconds of rehearsals, shape (ways, repeats) each."""
    times = RoundTimes.drawn(machines, repeats, seed)
    plans = _plans(machines, solves, chunk)
    full = np.array([_makespan(times, way, sizes) for way, sizes in plans.items()])
    scale = rehearsal / full.max()
    units = {way: times.units(sizes) for way, sizes in plans.items()}
    real = np.empty_like(full)
    for k in tqdm(range(repeats), desc="rehearsals", unit="round", disable=None):
        for place, way in enumerate(plans):
            real[place, k] = rehearse(
                list(scale * times.rates[k]),
                scale * machines.overhead,
                list(units[way][k]),
                list(times.order[k]) if way == "pulled" else None,
            )
    return scale * full, real


def _statement(
    choice: str, mean: Mapping[str, float], chunk: int, near: list[int], bound: float, solves: int
) -> str:
    times = ", ".join(f"{WAYS[way]} {time:.3g} s" for way, time in mean.items())
    within = f"within {100 * NEAR:.0f} % of the bound of {bound:.3g} s"
    sizes = (
        f"chunks of {min(near)} to {max(near)} are {within}"
        if near
        else f"no chunk size is {within}, the best is {100 * (mean['pulled'] / bound - 1):.0f} % "
        "above it"
    )
    return (
        f"{solves} solves of a round: {WAYS[choice]}, {sizes}; the best chunk size is {chunk} "
        f"({times})"
    )
