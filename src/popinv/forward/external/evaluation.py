"""Solves of many systems by a simulator that may fail, hang or crash; successful ones are kept.

The simulator is called with several systems at a time. Where a call fails, its systems are halved
until those at fault stand alone: they become NaN rows with the reason, the others are kept. Where a
call runs out of time, its systems are tried one at a time. Which row fails is therefore decided by
a call with that row alone, not by what else is in the batch.

Two systems are solved twice, to see that the answer of a system is its own: the first that can be
solved, alone before its call, and one at random, alone after all others. The last call is made in a
new process where this is asked for, or where starting one takes little beside the solves. What is
seen is an answer that depends on the other rows of a call, on earlier calls, on the process, on the
time, or on chance. A fault that leaves one row of a call in place, at most, is seen in any case. Of
a fault that leaves a share s of the rows in place, a share s^2 of the jobs do not see it.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import numpy as np

from popinv.errors import SolverError

if TYPE_CHECKING:
    from popinv.forward.external.journal import Journal


# A call of several systems is stopped once it has taken this many times as long as the slowest
# systems so far would take.
_PATIENCE = 10
# Seconds of solves beside which starting a process again takes little.
_WORTH_A_START = 60.0


@dataclass
class CallLimit:
    """The time limit of a call of n systems.

    One system may take T seconds. A call of n may take n T seconds, or C where that is less. Once
    solves have taken up to s seconds each, it may take 10 n s seconds, but no less than T: one
    system that hangs among many quick ones then costs about T, not n T. The systems of a call that
    is stopped are tried one at a time, so that none fails that takes less than T alone.

    Parameters
    ----------
    solve : float
        T.
    call : float, optional
        C, at least T.
    """

    solve: float
    call: float | None = None

    def __post_init__(self) -> None:
        self._slowest: float | None = None

    def seconds(self, count: int) -> float:
        """Return the limit of a call of ``count`` systems."""
        most = count * self.solve
        if count == 1:
            return most
        if self.call is not None:
            most = min(most, self.call)
        if self._slowest is None:
            return most
        return min(most, max(self.solve, _PATIENCE * count * self._slowest))

    def ended(self, count: int, seconds: float) -> None:
        """Take note of a call of ``count`` systems that has ended."""
        self._slowest = max(self._slowest or 0.0, seconds / count)


_LONGEST_REASON = 300
# After this many lost calls of one system each, without a success, the simulator is given up, as
# time limits and restarts for all other systems could take days.
_HOPELESS = 10
_NOT_FINITE = "the simulator returned a value that is not finite"
# A call with one system may take another path through the simulator than a call with many: sums in
# another order, as in matrix products, differ in the last digits. Their error is a share of an
# entry's usual size; the error of an entry whose terms cancel is a share of the largest entry. Both
# shares leave a few digits to the simulator. Single precision has half as many digits.
_SHARES = {"single": (1e-4, 1e-5), "double": (1e-5, 1e-10)}


class CallFailed(Exception):
    """A call of the simulator failed.

    Parameters
    ----------
    reason : str
        Why, for the record of the solves.
    lost : bool
        Whether the call ran out of time or took the simulator with it, so that it was expensive.
    late : bool
        Whether it ran out of time.
    """

    def __init__(self, reason: str, lost: bool = False, late: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.lost, self.late = one_line(reason), lost, late


class RunningSimulator(Protocol):
    """One running simulator, which is called with one batch after another."""

    def call(self, z: np.ndarray, seeds: np.ndarray, seconds: float) -> np.ndarray:
        """Return the observations of a batch, a row for each of z (n, d_z).

        Raises
        ------
        CallFailed
            If systems of this batch are at fault, or take longer than ``seconds`` together.
        SolverError
            If the simulator cannot be used at all.
        """
        ...

    def close(self) -> None:
        """End the simulator, also in the middle of a call."""
        ...


class DifferentiableSimulator(RunningSimulator, Protocol):
    """A running simulator that returns derivatives and observations.

    Both raise what ``call`` raises.
    """

    def jvp(
        self, z: np.ndarray, tangents: np.ndarray, seeds: np.ndarray, seconds: float
    ) -> np.ndarray:
        """Return y and its changes for z (n, d_z) and tangents (n, k, d_z), (n, (1 + k) d_y)."""
        ...

    def vjp(
        self, z: np.ndarray, cotangents: np.ndarray, seeds: np.ndarray, seconds: float
    ) -> np.ndarray:
        """Return gradients for z (n, d_z) and cotangents (n, d_y), shape (n, d_z)."""
        ...


def one_line(text: str) -> str:
    """Return a text on one line, cut short, as reasons are stored."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 3] + "..."


def checked_answer(values: np.ndarray, count: int, width: int) -> np.ndarray:
    """Return what a simulator returned for ``count`` systems, if it has the shape (count, width).

    Raises
    ------
    SolverError
        If it has another one.
    """
    if values.shape == (count, width):
        return values
    hint = ""
    if values.shape == (width, count):
        hint = " It looks transposed."
    elif values.ndim != 2:
        hint = " The result needs a row for each system, even for a single system."
    raise SolverError(
        f"the simulator returned an array of shape {values.shape} for {count} system(s), but "
        f"{(count, width)} is expected: a row for each system, and a column for each of the "
        f"{width} observations that the configuration describes.{hint}"
    )


def evaluate(
    simulators: Sequence[RunningSimulator],
    z: np.ndarray,
    seeds: np.ndarray,
    width: int,
    rows_per_call: int,
    retries: int,
    limit: CallLimit,
    journal: Journal | None = None,
    told: Callable[[int, float], None] | None = None,
    compared: bool = True,
    random: bool = False,
    renewed: bool = False,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Call the simulators, each in a thread of its own, for all systems.

    If an error stops the evaluation, the simulators are closed.

    Parameters
    ----------
    simulators : sequence of RunningSimulator
        As many as calls may run at a time.
    z : ndarray of shape (n, d_z)
    seeds : ndarray of int, shape (n,)
    width : int
        Number of observations of each system, d_y.
    rows_per_call : int
        Most systems in one call.
    retries : int
        Number of times that a failed call with one system is repeated.
    limit : CallLimit
        Seconds that a call may take.
    journal : Journal, optional
        Calls whose systems it all has are not made, and what comes out of the others goes there.
    told : callable, optional
        Called after each call with the number of systems that it has decided, 0 if they are tried
        again in other calls, and its seconds. Never called twice at a time.
    compared : bool
        Whether two systems are solved twice, and their answers compared.
    random : bool
        Whether the answers are known to be random, each by its own seed.
    renewed : bool
        Whether the last comparison is made in a new process, however short the solves are.

    Returns
    -------
    values : ndarray of shape (n, d_y)
        NaN throughout for a failed row.
    reasons : ndarray of object, shape (n,)
        Empty where the row succeeded.
    compared : bool
        Whether answers of one system were compared. There are none if every system fails, or is in
        the journal.

    Raises
    ------
    SolverError
        If the simulator cannot be used, returns something else than d_y numbers for each system,
        or another result for a system alone than for the same system among others, or for a
        system that is solved again.
    """
    batches = _Batches(
        z, seeds, width, rows_per_call, retries, limit, journal, told, random, renewed
    )
    free: queue.SimpleQueue[RunningSimulator] = queue.SimpleQueue()
    for simulator in simulators:
        free.put(simulator)

    def in_turn(work: Callable[..., None], *arguments: int) -> None:
        simulator = free.get()
        try:
            work(simulator, *arguments)
        finally:
            free.put(simulator)

    # A call is made as a whole, so that its answers do not depend on what was known.
    starts = [
        start
        for start in range(0, len(z), rows_per_call)
        if not batches.known[start : start + rows_per_call].all()
    ]
    compared = compared and bool(starts)
    with ThreadPoolExecutor(len(simulators)) as pool:
        try:
            if compared:
                pool.submit(in_turn, batches.begin, *starts).result()
            for done in as_completed([pool.submit(in_turn, batches.run, each) for each in starts]):
                done.result()
            if compared:
                pool.submit(in_turn, batches.end).result()
        except BaseException:
            # The simulators are closed before the pool waits for its threads, which may be in a
            # long call.
            batches.stopped = True
            for simulator in simulators:
                simulator.close()
            raise
    return batches.values, batches.reasons, batches.compared


@dataclass
class _Batches:
    """The systems, and their results so far."""

    z: np.ndarray
    seeds: np.ndarray
    width: int
    rows_per_call: int
    retries: int
    limit: CallLimit
    journal: Journal | None = None
    told: Callable[[int, float], None] | None = None
    random: bool = False
    renewed: bool = False
    stopped: bool = False
    succeeded: bool = False
    compared: bool = False
    lost: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lock, self.began = Lock(), time.monotonic()
        # The first row that can be solved alone, with its answer.
        self.first: int | None = None
        self.alone = np.empty(0)
        self.failed_alone: set[int] = set()
        # This row goes to the journal after all comparisons, so that a simulator that fails them
        # is called again, and compared again, by the next attempt.
        self.held: int | None = None
        self.held_seconds = 0.0
        # Calls that go to the journal after the first comparison.
        self.waiting: list[tuple[slice, float]] = []
        if self.journal is not None:
            found = self.journal.look_up(self.z, self.seeds, self.width)
            self.values, self.reasons, self.known = found
            return
        self.values = np.full((len(self.z), self.width), np.nan)
        self.reasons = np.full(len(self.z), "", dtype=object)
        self.known = np.zeros(len(self.z), dtype=bool)

    def begin(self, simulator: RunningSimulator, *starts: int) -> None:
        """Solve the first row that can be solved alone, which also shows how long a solve takes."""
        self.held = min(starts[-1] + self.rows_per_call, len(self.z)) - 1
        for start in starts:
            for row in range(start, min(start + self.rows_per_call, len(self.z))):
                self._solve(simulator, row, row + 1, waits=True)
                if not self.reasons[row]:
                    self.first, self.alone = row, self.values[row].copy()
                    # The answer of its call is kept.
                    self.waiting.clear()
                    return
                self.failed_alone.add(row)
                self._keep_waiting()

    def run(self, simulator: RunningSimulator, start: int) -> None:
        """Make the call that begins with this row, but without rows that have failed alone."""
        stop = min(start + self.rows_per_call, len(self.z))
        while start < stop and start in self.failed_alone:
            start += 1
        if start == stop:
            return
        begins = start == self.first
        self._solve(simulator, start, stop, waits=begins)
        if begins:
            others = "when it is called again for the same system"
            if stop - start > 1:
                others = f"for one system alone than for the same system among {stop - start}"
            self._compare(start, self.alone, self.values[start:stop], others)
            self._keep_waiting()

    def end(self, simulator: RunningSimulator) -> None:
        """Solve a random row alone, after all others, and compare the answer with its first."""
        rows = self._rows_to_repeat()
        if len(rows):
            row, began = int(rows[0]), time.monotonic()
            others = "for one system alone, after all others, than in the call before"
            if self.renewed or began - self.began > _WORTH_A_START:
                # The next call starts it again.
                simulator.close()
                others = "for one system alone, in a new process or connection, than before"
            # A call that fails says nothing about the answer.
            with contextlib.suppress(CallFailed):
                again = self._call(simulator, slice(row, row + 1))[0]
                self._tell(1, began)
                self._compare(row, again, self.values, others)
        self.compared = self.first is not None
        held, self.held = self.held, None
        if held is not None:
            self._keep(slice(held, held + 1), self.held_seconds)

    def _rows_to_repeat(self) -> np.ndarray:
        """Return solved rows in random order, with the first ones of their calls at the end."""
        rows = np.random.default_rng(self.seeds).permutation(len(self.z))
        rows = rows[(self.reasons[rows] == "") & (rows != self.first)]
        return rows[np.argsort(rows % self.rows_per_call == 0, kind="stable")]

    def _compare(self, row: int, alone: np.ndarray, table: np.ndarray, others: str) -> None:
        """Stop if the answer of a row alone differs from the kept answer, which is one of a table.

        A failed call is no answer.
        """
        if self.reasons[row] not in ("", _NOT_FINITE):
            return
        entry = _differing_entry(alone, self.values[row], table)
        if entry is not None:
            found = (
                f"the simulator gives another answer {others} (entry {entry}, counted from 0, is "
                f"{alone[entry]:.9g} and {self.values[row, entry]:.9g}). "
            )
            if self.random:
                raise SolverError(
                    found + "The seed of the row was the same. The random numbers of each row "
                    "must come from its own seed alone, as from numpy.random.default_rng(seeds[i]) "
                    "for row i: one generator for all rows of a call, a generator with a fixed "
                    "seed, or numbers that depend on earlier calls give the rows random numbers "
                    "in common, or results that cannot be repeated."
                )
            raise SolverError(
                found + "Each row must depend on "
                "its own parameters only; a simulator that draws random numbers must draw them "
                "from the seed that it is given for each row, and a server from a fixed seed (see "
                "config/README.md). If the answer is random by nature, set 'forward.stochastic: "
                "true' ('stochastic=True' in popinv.fit): the study then learns its mean and its "
                "covariance."
            )

    def _solve(
        self, simulator: RunningSimulator, start: int, stop: int, waits: bool = False
    ) -> None:
        """Solve rows start, ..., stop - 1, which may wait for the journal."""
        rows, began = slice(start, stop), time.monotonic()
        try:
            values = self._call(simulator, rows)
        except CallFailed as failure:
            if stop - start > 1:
                self._tell(0, began)
                # One system at fault may have taken the time of all: each is given its own.
                middle = (start + stop) // 2
                cuts = range(start, stop + 1) if failure.late else (start, middle, stop)
                for one, next_one in itertools.pairwise(cuts):
                    self._solve(simulator, one, next_one, waits)
                return
            self._give_up(start, failure)
        else:
            self.limit.ended(stop - start, time.monotonic() - began)
            finite = np.isfinite(values).all(axis=1)
            values[~finite] = np.nan
            self.values[rows] = values
            self.reasons[rows] = np.where(finite, "", _NOT_FINITE)
            self.succeeded = self.succeeded or bool(finite.any())
        self._tell(stop - start, began)
        if waits:
            self.waiting.append((rows, time.monotonic() - began))
        else:
            self._keep(rows, time.monotonic() - began)

    def _keep_waiting(self) -> None:
        for rows, seconds in self.waiting:
            self._keep(rows, seconds)
        self.waiting.clear()

    def _keep(self, rows: slice, seconds: float) -> None:
        """Write the solves of a call to the journal, but for the row that is held back."""
        if self.journal is None:
            return
        numbers = np.arange(rows.start, rows.stop)
        each, kept = seconds / len(numbers), numbers[numbers != self.held]
        if len(kept) < len(numbers):
            self.held_seconds = each
        # The calls run in threads.
        with self.lock:
            own = self.z[kept], self.seeds[kept], self.values[kept], self.reasons[kept]
            self.journal.keep(*own, each * len(kept))

    def _tell(self, count: int, began: float) -> None:
        if self.told is not None:
            with self.lock:
                self.told(count, time.monotonic() - began)

    def _call(self, simulator: RunningSimulator, rows: slice) -> np.ndarray:
        alone = rows.stop - rows.start == 1
        for attempt in range(1 + (self.retries if alone else 0)):
            if self.stopped:
                raise SolverError("stopped, because another call failed")
            try:
                seconds = self.limit.seconds(rows.stop - rows.start)
                values = simulator.call(self.z[rows], self.seeds[rows], seconds)
            except CallFailed:
                if not alone or attempt == self.retries:
                    raise
                continue
            return checked_answer(values, rows.stop - rows.start, self.width)
        raise AssertionError("the last attempt returns or raises")

    def _give_up(self, row: int, failure: CallFailed) -> None:
        self.values[row], self.reasons[row] = np.nan, failure.reason
        if not failure.lost or self.succeeded:
            return
        self.lost.append(failure.reason)
        if len(self.lost) >= _HOPELESS:
            counts = "; ".join(f"{n} times: {why}" for why, n in Counter(self.lost).most_common(3))
            raise SolverError(
                f"the simulator cannot be used: the first {_HOPELESS} systems were lost, each in "
                f"its own call, and none has succeeded ({counts})"
            )


def _differing_entry(one: np.ndarray, other: np.ndarray, table: np.ndarray) -> int | None:
    """Return the entry in which two answers for one system differ most, None if they agree.

    Parameters
    ----------
    one, other : ndarray of shape (d_y,)
    table : ndarray of shape (n, d_y)
        Answers for several systems, with the usual size of each entry.
    """
    finite = np.isfinite(one) & np.isfinite(other)
    if not finite.all():
        return int(finite.argmin())
    table = np.vstack([one, table[np.isfinite(table).all(axis=1)]])
    with np.errstate(over="ignore"):
        single = np.array_equal(table, table.astype(np.float32))
        share, share_of_largest = _SHARES["single" if single else "double"]
        sizes = np.column_stack([np.abs(table), np.abs(table).max(axis=1)])
        *usual, largest = np.maximum(sizes[0], np.median(sizes, axis=0))
        tolerated = share * np.array(usual) + share_of_largest * largest
        excess = np.abs(one - other) - tolerated
    return int(excess.argmax()) if excess.max() > 0 else None
