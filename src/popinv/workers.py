"""Processes that share a loop whose turns do not depend on each other, on one machine or several.

:func:`parallel` gives the turns of a loop, blocks of systems or repetitions of a fit, to processes.
The result of a turn depends on its number alone, and the results are returned in the order of the
turns. The caller adds them up, so that the bits do not depend on the number of processes.

The processes are forks. They see the data, the surrogate and everything else of the caller without
a copy, and only results travel. A loop within a turn is not shared again. A loop is also not shared
if a turn uses a process of a user's simulator or a GPU, which a fork cannot do, or on systems other
than Linux, whose libraries do not expect forks.

The jobs of a run on one machine lend each other the cores on which no job runs (:class:`Cores`).

The processes of several machines are the ranks of an MPI communicator (:func:`ranks`). All of them
run the same program. Each takes its turns of a loop, and gets the results of all. Where each has
systems of its own (:mod:`popinv.inference.density.division`), it runs the loops over these alone
(:func:`agreeing`).
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import itertools
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

import numpy as np
from tqdm import tqdm

from popinv.errors import PopinvError

Result = TypeVar("Result")

# The number of processes, and whether all loops run here.
_count = 1
_alone = sys.platform != "linux"
# Seconds of a turn of the loops of a name, as they were measured here.
_seconds: dict[str, float] = {}
# Forking processes takes some hundredths of a second: a shorter loop runs here.
_LEAST_SECONDS = 0.15
# Variables that the forks of a loop inherit: its turn, and the tallies that it may add to.
_turn: Callable[[Any], Any] | None = None
_added: list[Tally] = []
_tallies: WeakSet[Tally] = WeakSet()
_births = itertools.count()
# The communicator whose ranks share loops.
_communicator: Any = None
# Turns of each fork that are handed out before the first result arrives.
_AHEAD = 2
# Turns that each rank computes before the ranks exchange their results.
_TOGETHER = 4
_PARENT_DIES = 1


LENT_CORES = "POPINV_LENT_CORES"
"""Variable of the environment: the folder of the cores of a run, and their number, or ``none``."""


class Cores:
    """The cores of a run on this machine, which its jobs lend each other.

    A core is a file of a folder, and the holder of its lock computes on it. A job holds one from
    its start to its end. A loop takes the free cores, and gives them back when it ends. The system
    frees the locks of a process that dies.

    Parameters
    ----------
    folder : path
    count : int
        Number of cores.
    """

    def __init__(self, folder: str | os.PathLike[str], count: int) -> None:
        self._files = [Path(folder, str(number)) for number in range(count)]

    @classmethod
    def lent(cls) -> Cores:
        """Return the cores of the run to which this process belongs, none if there are none."""
        folder, _, count = os.environ.get(LENT_CORES, "").rpartition(":")
        there = bool(folder) and Path(folder).is_dir()
        return cls(folder, int(count) if there else 0)

    @classmethod
    def lend(cls, count: int) -> None:
        """Let the processes that this one starts lend each other ``count`` cores.

        They already do if this process belongs to a run with shared cores, and do not if the
        variable is ``none``.
        """
        if os.environ.get(LENT_CORES):
            return
        folder = tempfile.mkdtemp(prefix="popinv_cores_")
        os.environ[LENT_CORES] = f"{folder}:{count}"
        atexit.register(shutil.rmtree, folder, ignore_errors=True)

    def __bool__(self) -> bool:
        return bool(self._files)

    @contextmanager
    def taken(self, most: int) -> Iterator[int]:
        """Take up to ``most`` free cores, and provide their number."""
        with ExitStack() as held:
            number = 0
            for path in self._files:
                if number == most:
                    break
                file = held.enter_context(path.open("a"))
                with suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    number += 1
            yield number


class WorkerError(PopinvError):
    """A process that shared a loop was killed."""


class Tally:
    """A number that the processes of a loop add to, such as the number of solves."""

    def __init__(self) -> None:
        self.value, self._born = 0, next(_births)
        _tallies.add(self)

    def add(self, count: int) -> None:
        """Add to the number."""
        self.value += count

    @staticmethod
    def all() -> list[Tally]:
        """Return all tallies of this process, in the order in which they were made."""
        return sorted(_tallies, key=lambda tally: tally._born)


@contextmanager
def processes(count: int) -> Iterator[None]:
    """Share loops among ``count`` processes; 1 runs them here.

    Raises
    ------
    ValueError
        If the number is not positive.
    """
    global _count
    if count < 1:
        raise ValueError(f"{count} processes cannot share a loop; at least 1 is needed")
    before, _count = _count, count
    try:
        yield
    finally:
        _count = before


@contextmanager
def alone() -> Iterator[None]:
    """Run loops here, as long as a process of a user's simulator answers this one."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def keep_alone() -> None:
    """Run all loops here from now on, as a GPU is used, which forks cannot do."""
    global _alone
    _alone = True


@contextmanager
def ranks(communicator: Any) -> Iterator[None]:
    """Share loops among the ranks of an MPI communicator, all of which run the same program."""
    global _communicator
    before, _communicator = _communicator, communicator
    try:
        yield
    finally:
        _communicator = before


def communicator() -> Any:
    """Return the communicator of the ranks that share loops here, None if there is none."""
    return None if _alone else _communicator


@contextmanager
def agreeing(communicator: Any) -> Iterator[None]:
    """Run the block in each rank by itself, until all ranks have finished it.

    An error of one rank is raised by all ranks, so that none waits for it.
    """
    if _alone:
        # The loops already run here.
        yield
        return
    tallies = Tally.all()
    before, failure = [tally.value for tally in tallies], None
    try:
        with alone():
            yield
    except Exception as error:
        failure = error
    _exchanged(communicator, None, tallies, before, failure)


def number_of_processes() -> int:
    """Return among how many processes a loop is shared here."""
    return 1 if _alone else _count


def parallel(
    turn: Callable[[Any], Result],
    items: Sequence[Any] | np.ndarray,
    name: str,
    *,
    unit: str = "block",
    delay: float = 10,
    long: bool = False,
) -> Iterator[Result]:
    """Yield ``turn(item)`` for all items, in their order.

    Parameters
    ----------
    turn : callable
        It has no effect besides its result and :class:`Tally`. The result can be pickled.
    name : str
        Name of the loop, for its progress bar and for errors. The first turn of the first loop of a
        name runs here, so that the processes find compiled code, and short loops are not shared.
    unit : str
        Unit of the turns, for the progress bar.
    delay : float
        Seconds after which the bar is shown.
    long : bool
        Whether a turn takes seconds at least. All turns are then shared at once.

    Raises
    ------
    WorkerError
        If a process was killed.
    """
    with tqdm(
        total=len(items), desc=name, leave=False, unit=unit, delay=delay, disable=None
    ) as bar:
        for result in _results(turn, items, name, long):
            bar.update()
            yield result


def _results(
    turn: Callable[[Any], Result], items: Sequence[Any] | np.ndarray, name: str, long: bool
) -> Iterator[Result]:
    if (ranks_here := communicator()) is not None:
        yield from _of_ranks(turn, items, ranks_here)
        return
    cores = Cores.lent()
    if long:
        _seconds.setdefault(name, 1.0)
    if not _alone and (_count > 1 or cores) and name not in _seconds and len(items) > 1:
        began = time.perf_counter()
        yield turn(items[0])
        _seconds[name] = time.perf_counter() - began
        items = items[1:]
    if not _alone and len(items) * _seconds.get(name, 0.0) >= _LEAST_SECONDS:
        own = min(number_of_processes(), len(items))
        with cores.taken(len(items) - own) as further:
            if own + further > 1:
                yield from _forked(turn, items, name, own + further)
                return
    began = time.perf_counter()
    for item in items:
        yield turn(item)
    if len(items):
        _seconds[name] = (time.perf_counter() - began) / len(items)


def _of_ranks(
    turn: Callable[[Any], Result], items: Sequence[Any] | np.ndarray, communicator: Any
) -> Iterator[Result]:
    rank, size, tallies = communicator.rank, communicator.size, Tally.all()
    for start in range(0, len(items), _TOGETHER * size):
        some = items[start : start + _TOGETHER * size]
        before = [tally.value for tally in tallies]
        found: list[Result] = []
        failure: Exception | None = None
        try:
            with alone():
                found += map(turn, some[rank::size])
        except Exception as error:
            failure = error
        every = _exchanged(communicator, found, tallies, before, failure)
        yield from (every[i % size][i // size] for i in range(len(some)))


def _exchanged(
    communicator: Any,
    found: Any,
    tallies: Sequence[Tally],
    before: Sequence[int],
    failure: Exception | None,
) -> list[Any]:
    """Return the result of each rank, and add the counts of the others.

    An error of one rank is raised by all ranks, so that none waits for it.
    """
    every = communicator.allgather((found, _increase(tallies, before), failure))
    for other, (_, added, told) in enumerate(every):
        if told is not None:
            raise told
        if other != communicator.rank:
            _add(tallies, added)
    return [each for each, _, _ in every]


def _forked(
    turn: Callable[[Any], Result], items: Sequence[Any] | np.ndarray, name: str, count: int
) -> Iterator[Result]:
    global _turn, _added
    _turn, _added = turn, (tallies := Tally.all())
    # Each fork would also write buffered output.
    sys.stdout.flush()
    sys.stderr.flush()
    # This process computes turns, too.
    pool = ProcessPoolExecutor(count - 1, get_context("fork"), _begin, (os.getpid(),))
    left = iter(items)
    waiting: deque[Future[tuple[Result, list[int], float]]] = deque()

    def hand_out() -> None:
        missing = _AHEAD * (count - 1) - sum(not each.done() for each in waiting)
        waiting.extend(pool.submit(_take, item) for item in itertools.islice(left, max(0, missing)))

    try:
        hand_out()
        while waiting:
            while not waiting[0].done() and (own := list(itertools.islice(left, 1))):
                waiting.append(_taken_here(own[0]))
                hand_out()
            result, added, _seconds[name] = waiting.popleft().result()
            _add(tallies, added)
            hand_out()
            yield result
    except BrokenProcessPool as error:
        raise WorkerError(
            f"{name}: one of {count} processes was killed, most often by the system for lack of "
            "memory. Fewer processes need less: give the job fewer threads, or one"
        ) from error
    finally:
        _end(pool)


def _end(pool: ProcessPoolExecutor) -> None:
    """End the processes, at once if they still compute."""
    running = dict(pool._processes or {})
    pool.shutdown(wait=False, cancel_futures=True)
    for process in running.values():
        with suppress(OSError, ValueError):
            process.kill()
    for process in running.values():
        with suppress(OSError, ValueError, AssertionError):
            process.join()


def _begin(parent: int) -> None:
    """Prepare a process: it ends with its parent, and leaves Ctrl+C to it."""
    keep_alone()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with(parent)


def end_with(parent: int) -> None:
    """Let this process, a fork, be killed when the process that has made it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DIES, signal.SIGKILL)
    # It may have ended already.
    if os.getppid() != parent:
        os._exit(1)


def _take(item: Any) -> tuple[Any, list[int], float]:
    """Return the result of a turn, its additions to each tally, and its seconds."""
    assert _turn is not None
    before, began = [tally.value for tally in _added], time.perf_counter()
    result = _turn(item)
    return result, _increase(_added, before), time.perf_counter() - began


def _taken_here(item: Any) -> Future[tuple[Any, list[int], float]]:
    """Return the same for a turn of this process, which adds to the tallies itself."""
    assert _turn is not None
    future: Future[tuple[Any, list[int], float]] = Future()
    began = time.perf_counter()
    try:
        with alone():
            result = _turn(item)
        future.set_result((result, [0] * len(_added), time.perf_counter() - began))
    except Exception as error:
        # The error is reported in the order of the turns, like errors of other processes.
        future.set_exception(error)
    return future


def _increase(tallies: Sequence[Tally], before: Sequence[int]) -> list[int]:
    """Return by how much tallies have grown."""
    return [tally.value - was for tally, was in zip(tallies, before, strict=True)]


def _add(tallies: Sequence[Tally], added: Sequence[int]) -> None:
    """Add another process's counts to the tallies."""
    for tally, number in zip(tallies, added, strict=True):
        tally.add(number)


def blocks_of(count: int, size: int) -> list[np.ndarray]:
    """Return the numbers 0 to count - 1 in blocks of this size.

    Examples
    --------
    >>> [block.tolist() for block in blocks_of(5, 2)]
    [[0, 1], [2, 3], [4]]
    """
    ends = [*range(0, count, size), count]
    return [np.arange(first, last) for first, last in itertools.pairwise(ends)]
