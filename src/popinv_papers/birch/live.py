"""Policies run on vectors, with a simulated clock or with real worker processes.

The policies are the same as in simulated runs. Nodes and gradients are still numbers, but carry
their vectors, which exist as long as a policy holds them. The server makes all steps, of plain
descent or of Adam. A worker receives a point and returns a gradient at it. The times of workers and
of the server are measured before the runs that they predict.
"""

from __future__ import annotations

import heapq
import math
import multiprocessing
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any

import numpy as np

from popinv.errors import ConfigError, DataError
from popinv.surrogate.training import BETA_1, BETA_2, EPSILON
from popinv_papers.birch.catalogue import policy
from popinv_papers.birch.engine import Policy, Run, Workers


class Plain:
    """x - gamma g, on the main branch and beside it; an array gamma broadcasts against points."""

    def __init__(self, rate: float | np.ndarray) -> None:
        self.rate = rate

    def onward(self, point: np.ndarray, gradient: np.ndarray) -> np.ndarray:  # noqa: D102
        return point - self.rate * gradient

    aside = onward


class Adam:
    """A step of Adam on the main branch for each gradient, in the order of their arrival.

    The theorem of computation trees does not cover it: x^k is no longer the start less a multiple
    of the sum of gradients on its path. The rate is constant; an array broadcasts against points.
    """

    def __init__(self, rate: float | np.ndarray) -> None:
        self.rate, self.count = rate, 0
        self.first: np.ndarray | float = 0.0
        self.second: np.ndarray | float = 0.0

    def onward(self, point: np.ndarray, gradient: np.ndarray) -> np.ndarray:  # noqa: D102
        self.count += 1
        self.first = BETA_1 * self.first + (1 - BETA_1) * gradient
        self.second = BETA_2 * self.second + (1 - BETA_2) * np.square(gradient)
        root = np.sqrt(self.second / (1 - BETA_2**self.count)) + EPSILON
        return point - self.rate / (1 - BETA_1**self.count) * self.first / root

    def aside(self, point: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Refuse: workers do not hold the moments."""
        raise ConfigError("Adam on the server needs a policy without local steps")


Steps = Plain | Adam
"""The steps of one run: ``onward`` on the main branch, and ``aside`` of a worker beside it.

They may have a state, so every run needs new ones.
"""

# Maps a worker, the number of its gradient and a point to the gradient, as a pure function.
Slope = Callable[[int, int, np.ndarray], np.ndarray]

# After this many seconds without an answer of any worker, an error is raised.
_PATIENCE = 300.0


# The number of a gradient, and the time of its request by the clock of all processes.
_ASKED = struct.Struct("qd")


class _Vector(int):
    """The number of a node or a gradient, with its vector."""

    vector: np.ndarray


def _vector(number: int, vector: np.ndarray) -> _Vector:
    node = _Vector(number)
    node.vector = vector
    return node


@dataclass(frozen=True)
class Handling:
    """Seconds of the server's work: to receive a gradient, for a step, and to send a point."""

    receive: float = 0.0
    step: float = 0.0
    send: float = 0.0


_AT_ONCE = Handling()


class LiveRun(Run):
    """A run with the simulated clock that computes its points at once.

    Parameters
    ----------
    start : ndarray of shape (d,) or (m, d)
        x^0, of m step sizes at once if the slope and the steps take as many.
    steps : Steps
        New ones for this run.
    every : int
        Number of gradients on the main branch between two looks.
    first : int
        Number of each worker's first gradient. Runs with other numbers draw other samples.
    handling : Handling
        The server does one thing at a time, and what comes meanwhile waits.
    look : callable
        Maps a point to what is kept of it, by default the point itself.

    Attributes
    ----------
    looks : list of (float, Any)
        Times of the main branch, and what was kept of its points.
    """

    def __init__(
        self,
        workers: Workers,
        policy: Policy,
        start: np.ndarray,
        slope: Slope,
        steps: Steps,
        every: int,
        first: int = 0,
        handling: Handling = _AT_ONCE,
        look: Callable[[np.ndarray], Any] = np.asarray,
    ) -> None:
        super().__init__(workers, policy)
        self.slope, self.steps, self.every = slope, steps, every
        self.handling, self.look = handling, look
        self.x = _vector(0, start)
        self.looks = [(0.0, look(start))]
        self.numbers = [first] * workers.count

    @contextmanager
    def _working(self, kind: str) -> Iterator[None]:
        """Let the clock go on by the server's work."""
        yield
        self.now += getattr(self.handling, kind)

    def _number(self, worker: int) -> int:
        self.numbers[worker] += 1
        return self.numbers[worker] - 1

    def compute(self, worker: int, node: int) -> None:  # noqa: D102
        with self._working("send"):
            pass
        super().compute(worker, node)

    def take(self, worker: int, node: int) -> int:  # noqa: D102
        assert isinstance(node, _Vector)
        with self._working("receive"):
            gradient = self.slope(worker, self._number(worker), node.vector)
        return _vector(super().take(worker, node), gradient)

    def step(self, base: int, gradient: int) -> int:  # noqa: D102
        assert isinstance(base, _Vector)
        assert isinstance(gradient, _Vector)
        with self._working("step"):
            vector = self.steps.aside(base.vector, gradient.vector)
        return _vector(super().step(base, gradient), vector)

    def append(self, gradient: int) -> None:  # noqa: D102
        assert isinstance(self.x, _Vector)
        assert isinstance(gradient, _Vector)
        with self._working("step"):
            vector = self.steps.onward(self.x.vector, gradient.vector)
        super().append(gradient)
        self.x = _vector(self.x, vector)
        if self.applied % self.every == 0:
            self.looks.append((self.now, self.look(vector)))


class Team:
    """Worker processes, each of which takes at least a given time for a gradient.

    Points and gradients lie in memory that a worker and the server share, so that nobody waits for
    a pipe to be emptied. A connection says when they are there. The ``seconds`` h_i count from the
    asking on, and a worker that finishes sooner waits. The slope is inherited by forking, so it may
    hold any object.
    """

    def __init__(self, seconds: Sequence[float], slope: Slope, size: int) -> None:
        self.seconds, self.slope, self.size = list(seconds), slope, size
        self.connections: list[Connection] = []
        self.processes: list[Any] = []
        self.points: list[np.ndarray] = []
        self.gradients: list[np.ndarray] = []

    def __enter__(self) -> Team:
        context = multiprocessing.get_context("fork")
        for worker, least in enumerate(self.seconds):
            ours, theirs = context.Pipe()
            point, gradient = (np.frombuffer(context.RawArray("d", self.size)) for _ in range(2))
            process = context.Process(
                target=_work,
                args=(theirs, worker, least, self.slope, (point, gradient)),
                kwargs={"inherited": [*self.connections, ours]},
                daemon=True,
            )
            process.start()
            theirs.close()
            self.connections.append(ours)
            self.processes.append(process)
            self.points.append(point)
            self.gradients.append(gradient)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for connection in self.connections:
            connection.close()
        for process in self.processes:
            process.join(timeout=5)
            if process.is_alive():
                process.terminate()
                process.join()

    def ask(self, worker: int, number: int, point: np.ndarray) -> float:
        """Let a worker compute its gradient of some number at a point; return when it begins."""
        self.points[worker][:] = point
        asked = time.perf_counter()
        self.connections[worker].send_bytes(_ASKED.pack(number, asked))
        return asked

    def answer(self, worker: int) -> np.ndarray:
        """Wait for the gradient that was requested from a worker, and return it.

        Raises
        ------
        DataError
            If the process has ended.
        """
        try:
            self.connections[worker].recv_bytes()
        except (EOFError, ConnectionResetError):
            raise DataError(f"worker process {worker} has ended too early") from None
        return self.gradients[worker].copy()


def _work(
    connection: Connection,
    worker: int,
    least: float,
    slope: Slope,
    shared: tuple[np.ndarray, np.ndarray],
    inherited: Sequence[Connection],
) -> None:
    """Answer points with gradients until the other end is closed."""
    # The closing of the other end is not seen as long as a copy of it is open.
    for other in inherited:
        other.close()
    point, gradient = shared
    while True:
        try:
            number, asked = _ASKED.unpack(connection.recv_bytes())
            gradient[:] = slope(worker, number, point.copy())
            time.sleep(max(0.0, least - (time.perf_counter() - asked)))
            connection.send_bytes(b"done")
        except (EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
            return


class RealRun(LiveRun):
    """A run with real processes and the real clock.

    Messages between workers and server are fast on one machine. They are held back until the
    message time has passed.

    Parameters
    ----------
    workers : Workers
        Their message times hold; a policy may read the times of their gradients, but the
        processes take their own times.
    policy, start, steps, every, first
        As in :class:`LiveRun`.

    Attributes
    ----------
    took : list of list of float
        Seconds of each gradient of each worker, from the server's asking to its noticing.
    worked : dict of str to list of float
        Seconds of each work of the server, by the names in :class:`Handling`.
    """

    def __init__(
        self,
        team: Team,
        workers: Workers,
        policy: Policy,
        start: np.ndarray,
        steps: Steps,
        every: int,
        first: int = 0,
    ) -> None:
        super().__init__(workers, policy, start, team.slope, steps, every, first)
        self.team = team
        self.took: list[list[float]] = [[] for _ in team.seconds]
        self.worked: dict[str, list[float]] = {field.name: [] for field in fields(Handling)}
        self._at: dict[int, int] = {}
        self._asked_at = [0.0] * workers.count
        self._begun_at = 0.0

    @contextmanager
    def _working(self, kind: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self._tell_time()
        self.worked[kind].append(time.perf_counter() - begun)

    def _tell_time(self) -> None:
        self.now = time.perf_counter() - self._begun_at

    def compute(self, worker: int, node: int) -> None:  # noqa: D102
        assert isinstance(node, _Vector)
        self._at[worker] = node
        with self._working("send"):
            asked = self.team.ask(worker, self._number(worker), node.vector)
        self._asked_at[worker] = asked - self._begun_at

    def take(self, worker: int, node: int) -> int:  # noqa: D102
        self._tell_time()
        self.took[worker].append(self.now - self._asked_at[worker])
        with self._working("receive"):
            gradient = self.team.answer(worker)
        return _vector(Run.take(self, worker, node), gradient)

    def until(self, applied: int, time_limit: float = math.inf) -> None:
        """Run until ``applied`` gradients are applied, then let the workers finish."""
        self._begun_at = time.perf_counter()
        self.policy.begin(self)
        worker_of = {id(c): i for i, c in enumerate(self.team.connections)}
        most = self.most(applied)
        while self.applied < applied and self.computed < most:
            self._tell_time()
            if self.now > time_limit:
                break
            if self._events and self._events[0][0] <= self.now:
                _, _, sender, messages, content = heapq.heappop(self._events)
                self.in_flight -= messages
                self.policy.arrived(self, sender, content)
                continue
            patience = self._events[0][0] - self.now if self._events else _PATIENCE
            busy = [self.team.connections[worker] for worker in self._at]
            if not busy and not self._events:
                raise DataError("no worker has anything to do, and no message is under way")
            # Without connections this only waits.
            ready = wait(busy, patience)
            if not ready and not self._events:
                raise DataError(f"no worker has answered for {_PATIENCE:g} s")
            for connection in ready:
                worker = worker_of[id(connection)]
                gradient = self.take(worker, self._at.pop(worker))
                self.policy.computed(self, worker, gradient)
        for worker in self._at:
            self.team.answer(worker)
        self._at.clear()


# Gradients of each worker that are left out as it warms up, and of the slowest that are timed.
_WARM, _TIMED = 2, 6
# Fewest gradients of any worker that are timed, and how often this number may double.
_FEWEST_TIMED, _MOST_TIMINGS = 2, 8


@dataclass(frozen=True)
class Speeds:
    """What was measured before the runs: times of gradients, and of the server's work."""

    workers: Workers
    handling: Handling


def measured(team: Team, start: np.ndarray, message: float) -> Speeds:
    """Let all workers compute at once, without steps, and time them and the server.

    Returned are the mean time of each worker's gradients, their coefficient of variation over all
    workers, and the mean times of the server's work.
    """
    slowest, n = max(team.seconds), len(team.seconds)
    wanted = (_WARM + _TIMED) * sum(slowest / least for least in team.seconds)
    workers = Workers(tuple(team.seconds), (0.0,) * n)
    for longer in range(_MOST_TIMINGS):
        run = RealRun(team, workers, policy("asynchronous", n, {}), start, Plain(0.0), 10**9)
        run.until(int(np.ceil(wanted * 2**longer)))
        # On a busy machine, the others may be done before a worker has begun.
        if min(map(len, run.took)) >= _WARM + _FEWEST_TIMED:
            break
    else:
        raise DataError(
            f"a worker computed {min(map(len, run.took))} gradients while the others computed "
            f"{max(map(len, run.took))}, too few to measure its time; set its 'seconds' nearer "
            "to the others' times, or try again when the machine is less busy"
        )
    kept = [np.array(took[_WARM:]) for took in run.took]
    relative = np.concatenate([times / times.mean() for times in kept])
    handling = {kind: float(np.mean(times[n:])) for kind, times in run.worked.items()}
    found = Workers(
        tuple(float(times.mean()) for times in kept), (message,) * n, float(relative.std())
    )
    return Speeds(found, Handling(**handling))
