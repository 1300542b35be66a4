"""Policies run on vectors, with a simulated clock or with real worker processes.

The policies are the same as in simulated runs. Nodes and gradients are still numbers, but carry
their vectors, which exist as long as a policy holds them. The server makes all steps. A worker
receives a point and returns a gradient at it.
"""

from __future__ import annotations

import heapq
import math
import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any

import numpy as np

from popinv.downstream.birch.engine import Policy, Run, Workers
from popinv.errors import ConfigError, DataError

__all__ = ["LiveRun", "RealRun", "Slope", "Team"]

# Maps a worker, the number of its gradient and a point to the gradient, as a pure function.
Slope = Callable[[int, int, np.ndarray], np.ndarray]

# After this many seconds without an answer of any worker, an error is raised.
_PATIENCE = 300.0


class _Vector(int):
    """The number of a node or a gradient, with its vector."""

    vector: np.ndarray


def _vector(number: int, vector: np.ndarray) -> _Vector:
    node = _Vector(number)
    node.vector = vector
    return node


class LiveRun(Run):
    """A run with the simulated clock that computes its points at once.

    Parameters
    ----------
    workers : Workers
    policy : Policy
    start : ndarray of shape (d,)
        x^0.
    slope : callable
    rate : float
        gamma.
    every : int
        Number of gradients on the main branch between two looks.

    Attributes
    ----------
    looks : list of (float, ndarray)
        Times and points of the main branch.
    """

    def __init__(
        self,
        workers: Workers,
        policy: Policy,
        start: np.ndarray,
        slope: Slope,
        rate: float,
        every: int,
    ) -> None:
        super().__init__(workers, policy)
        self.slope, self.rate, self.every = slope, rate, every
        self.x = _vector(0, start)
        self.looks = [(0.0, start)]
        self.counts = [0] * workers.count

    def take(self, worker: int, node: int) -> int:  # noqa: D102
        assert isinstance(node, _Vector)
        gradient = self.slope(worker, self.counts[worker], node.vector)
        self.counts[worker] += 1
        return _vector(super().take(worker, node), gradient)

    def _stepped(self, base: int, gradient: int) -> np.ndarray:
        assert isinstance(base, _Vector)
        assert isinstance(gradient, _Vector)
        return base.vector - self.rate * gradient.vector

    def step(self, base: int, gradient: int) -> int:  # noqa: D102
        return _vector(super().step(base, gradient), self._stepped(base, gradient))

    def append(self, gradient: int) -> None:  # noqa: D102
        vector = self._stepped(self.x, gradient)
        super().append(gradient)
        self.x = _vector(self.x, vector)
        if self.applied % self.every == 0:
            self.looks.append((self.now, vector))


class Team:
    """Worker processes, each of which takes at least a given time for a gradient.

    Parameters
    ----------
    seconds : sequence of float
        h_i. A worker that finishes sooner waits.
    slope : callable
        It is inherited by forking, so it may hold any object.

    Raises
    ------
    ConfigError
        If there is no worker, or a time is not positive.
    """

    def __init__(self, seconds: Sequence[float], slope: Slope) -> None:
        if not seconds or not all(0 < h < math.inf for h in seconds):
            raise ConfigError(f"seconds of workers {list(seconds)}, must be positive, at least one")
        self.seconds, self.slope = list(seconds), slope
        self.connections: list[Connection] = []
        self.processes: list[Any] = []

    def __enter__(self) -> Team:
        context = multiprocessing.get_context("fork")
        for worker, least in enumerate(self.seconds):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_work,
                args=(theirs, worker, least, self.slope, [*self.connections, ours]),
                daemon=True,
            )
            process.start()
            theirs.close()
            self.connections.append(ours)
            self.processes.append(process)
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


def _work(
    connection: Connection,
    worker: int,
    least: float,
    slope: Slope,
    inherited: Sequence[Connection],
) -> None:
    """Answer points with gradients until the other end is closed."""
    # The closing of the other end is not seen as long as a copy of it is open.
    for other in inherited:
        other.close()
    count = 0
    while True:
        try:
            point = np.frombuffer(connection.recv_bytes())
            begun = time.perf_counter()
            gradient = slope(worker, count, point)
            count += 1
            time.sleep(max(0.0, least - (time.perf_counter() - begun)))
            took = time.perf_counter() - begun
            connection.send_bytes(np.concatenate([[took], gradient]).tobytes())
        except (EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
            return


class RealRun(LiveRun):
    """A run with real processes and the real clock.

    Messages between workers and server are fast on one machine. They are held back until the
    message time has passed.

    Attributes
    ----------
    took : list of list of float
        Seconds of each gradient, as each worker measured them.
    """

    def __init__(
        self,
        team: Team,
        message: float,
        policy: Policy,
        start: np.ndarray,
        rate: float,
        every: int,
    ) -> None:
        workers = Workers(tuple(team.seconds), (message,) * len(team.seconds))
        super().__init__(workers, policy, start, team.slope, rate, every)
        self.team = team
        self.took: list[list[float]] = [[] for _ in team.seconds]
        self._at: dict[int, int] = {}

    def compute(self, worker: int, node: int) -> None:  # noqa: D102
        assert isinstance(node, _Vector)
        self._at[worker] = node
        self.team.connections[worker].send_bytes(np.ascontiguousarray(node.vector).tobytes())

    def take(self, worker: int, node: int) -> int:  # noqa: D102
        answer = self._answer(worker)
        self.took[worker].append(float(answer[0]))
        return _vector(Run.take(self, worker, node), answer[1:])

    def _answer(self, worker: int) -> np.ndarray:
        try:
            return np.frombuffer(self.team.connections[worker].recv_bytes())
        except (EOFError, ConnectionResetError):
            raise DataError(f"worker process {worker} has ended before its work did") from None

    def until(
        self, applied: int, time_limit: float = math.inf, computed: int | None = None
    ) -> None:
        """Run until so many gradients are applied, then let the workers finish."""
        begun = time.perf_counter()
        self.policy.begin(self)
        worker_of = {id(c): i for i, c in enumerate(self.team.connections)}
        most = 100 * (applied + self.workers.count) if computed is None else computed
        while self.applied < applied and self.computed < most:
            self.now = time.perf_counter() - begun
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
                self.now = time.perf_counter() - begun
                gradient = self.take(worker, self._at.pop(worker))
                self.policy.computed(self, worker, gradient)
        for worker in self._at:
            self._answer(worker)
        self._at.clear()
