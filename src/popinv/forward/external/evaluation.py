"""Solves of many systems by a simulator that may fail, hang or crash; successful ones are kept.

The simulator is called with several systems at a time. Where a call fails, its systems are halved
until those at fault stand alone: they become NaN rows with the reason, the others are kept. Where a
call runs out of time, its systems are tried one at a time. Which row fails is therefore decided by
a call with that row alone, not by what else is in the batch.
"""

from __future__ import annotations

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
from popinv.forward.external.limits import CallLimit

if TYPE_CHECKING:
    from popinv.forward.external.journal import Journal

__all__ = ["CallFailed", "Simulator", "checked_answer", "evaluate", "one_line"]

_LONGEST_REASON = 300
# After this many lost calls of one system each, without a success, the simulator is given up, as
# time limits and restarts for all other systems could take days.
_HOPELESS = 10
# A call with one system may take another path through the simulator than a call with many. The
# results may differ by rounding only.
_TOLERANCE = 1e-6


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


class Simulator(Protocol):
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
    simulators: Sequence[Simulator],
    z: np.ndarray,
    seeds: np.ndarray,
    width: int,
    rows_per_call: int,
    retries: int,
    limit: CallLimit,
    journal: Journal | None = None,
    told: Callable[[int, float], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Call the simulators, each in a thread of its own, for all systems.

    If an error stops the evaluation, the simulators are closed.

    Parameters
    ----------
    simulators : sequence of Simulator
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

    Returns
    -------
    values : ndarray of shape (n, d_y)
        NaN throughout for a failed row.
    reasons : ndarray of object, shape (n,)
        Empty where the row succeeded.

    Raises
    ------
    SolverError
        If the simulator cannot be used, returns something else than d_y numbers for each system,
        or another result for a system alone than for the same system among others.
    """
    batches = _Batches(z, seeds, width, retries, limit, journal, told)
    free: queue.SimpleQueue[Simulator] = queue.SimpleQueue()
    for simulator in simulators:
        free.put(simulator)

    def run(start: int) -> None:
        simulator = free.get()
        try:
            batches.run(simulator, start, min(start + rows_per_call, len(z)))
        finally:
            free.put(simulator)

    with ThreadPoolExecutor(len(simulators)) as pool:
        try:
            # A call is made as a whole, so that its answers do not depend on what was known.
            starts = [
                start
                for start in range(0, len(z), rows_per_call)
                if not batches.known[start : start + rows_per_call].all()
            ]
            for done in as_completed([pool.submit(run, start) for start in starts]):
                done.result()
        except BaseException:
            # The simulators are closed before the pool waits for its threads, which may be in a
            # long call.
            batches.stopped = True
            for simulator in simulators:
                simulator.close()
            raise
    return batches.values, batches.reasons


@dataclass
class _Batches:
    """The systems, and their results so far."""

    z: np.ndarray
    seeds: np.ndarray
    width: int
    retries: int
    limit: CallLimit
    journal: Journal | None = None
    told: Callable[[int, float], None] | None = None
    stopped: bool = False
    succeeded: bool = False
    lost: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lock = Lock()
        if self.journal is not None:
            found = self.journal.look_up(self.z, self.seeds, self.width)
            self.values, self.reasons, self.known = found
            return
        self.values = np.full((len(self.z), self.width), np.nan)
        self.reasons = np.full(len(self.z), "", dtype=object)
        self.known = np.zeros(len(self.z), dtype=bool)

    def run(self, simulator: Simulator, start: int, stop: int) -> None:
        """Solve rows start, ..., stop - 1."""
        if start == 0 and stop > 1:
            self._begin(simulator, stop)
        else:
            self._solve(simulator, start, stop)

    def _begin(self, simulator: Simulator, stop: int) -> None:
        """Solve the first rows, and one of them alone as well; the results must agree.

        The first row that can be solved alone also shows how long a solve takes.
        """
        first = 0
        self._solve(simulator, 0, 1)
        while self.reasons[first]:
            first += 1
            if first == stop:
                return
            self._solve(simulator, first, first + 1)
        if first + 1 == stop:
            return
        alone = self.values[first].copy()
        self._solve(simulator, first, stop)
        if self.reasons[first]:
            return
        gap = np.abs(alone - self.values[first]).max()
        if gap > _TOLERANCE * np.abs(alone).max():
            raise SolverError(
                f"the simulator gives another answer for one system alone than for the same "
                f"system among {stop - first} (they differ by up to {gap:.3g}). Each row must "
                "depend on its own parameters only; a simulator that draws random numbers must "
                "draw them from the seed that it is given for each row (see config/README.md)."
            )

    def _solve(self, simulator: Simulator, start: int, stop: int) -> None:
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
                    self._solve(simulator, one, next_one)
            else:
                self._give_up(start, failure)
                self._keep(rows, began)
            return
        self.limit.ended(stop - start, time.monotonic() - began)
        finite = np.isfinite(values).all(axis=1)
        values[~finite] = np.nan
        self.values[rows] = values
        self.reasons[rows] = np.where(
            finite, "", "the simulator returned a value that is not finite"
        )
        self.succeeded = self.succeeded or bool(finite.any())
        self._keep(rows, began)

    def _keep(self, rows: slice, began: float) -> None:
        self._tell(rows.stop - rows.start, began)
        if self.journal is None:
            return
        # The calls run in threads.
        with self.lock:
            own = self.z[rows], self.seeds[rows], self.values[rows], self.reasons[rows]
            self.journal.keep(*own, time.monotonic() - began)

    def _tell(self, count: int, began: float) -> None:
        if self.told is not None:
            with self.lock:
                self.told(count, time.monotonic() - began)

    def _call(self, simulator: Simulator, rows: slice) -> np.ndarray:
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
