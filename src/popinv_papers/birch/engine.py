"""A simulated run: workers that compute, messages in flight, and a clock.

The actions of a policy depend on the times and numbers of events, never on the values of
gradients. A run is therefore simulated once, as a tree of whole numbers. Its points are computed
afterwards, for any number of step sizes (``replay``).

A worker finishes every gradient that it has begun. A message from worker i arrives tau_i after it
was sent. Messages to workers arrive at once. Workers that reduce together wait for the slowest
message among them. Counts are known everywhere at all times.
"""

from __future__ import annotations

import heapq
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from popinv.seeds import generator
from popinv_papers.birch.tree import Tree


@dataclass(frozen=True)
class Workers:
    """Speeds of n workers.

    Attributes
    ----------
    compute : tuple of float, length n
        h_i, the time for a stochastic gradient; positive.
    message : tuple of float, length n
        tau_i, the time for a message from worker i; not negative.
    variation : float
        Coefficient of variation of a worker's gradient times, which then follow a gamma law of
        mean h_i; 0 for constant times.
    seed : int
        Address of these times.
    """

    compute: tuple[float, ...]
    message: tuple[float, ...]
    variation: float = 0.0
    seed: int = 0

    @property
    def count(self) -> int:
        """The number n of workers."""
        return len(self.compute)


class Policy(ABC):
    """Assignment of work to workers, and of gradients to the main branch.

    A policy holds the state of one run. Every run needs a new one.
    """

    @abstractmethod
    def begin(self, run: Run) -> None:
        """Give the workers their first work. Every worker is idle at ``run.x``."""

    @abstractmethod
    def computed(self, run: Run, worker: int, gradient: int) -> None:
        """Receive the gradient that a worker has computed. The worker is then idle."""

    def arrived(self, run: Run, sender: int, content: Any) -> None:
        """Receive the content of :meth:`Run.send` or of :meth:`Run.reduce` (with sender -1)."""
        raise NotImplementedError(f"{type(self).__name__} sends no messages")


class Run:
    """A run of a policy on workers, with a simulated clock.

    Attributes
    ----------
    tree : Tree
        All points and gradients that were computed.
    x : int
        End of the main branch.
    dropped, messages : int
        Numbers of gradients that the policy has discarded, and of messages sent.
    in_flight, most_in_flight : int
        Messages in flight, now and at most.
    """

    def __init__(self, workers: Workers, policy: Policy) -> None:
        self.workers, self.policy = workers, policy
        self.tree = Tree()
        self.now = 0.0
        self.x = 0
        self.dropped = self.messages = self.in_flight = self.most_in_flight = 0
        self._events: list[tuple[float, int, int, int, Any]] = []
        self._serial = 0
        self._begun = False
        self._times = generator(workers.seed, "birch/gradient_times")

    @property
    def applied(self) -> int:
        """Number of gradients on the main branch so far."""
        return len(self.tree.main) - 1

    @property
    def computed(self) -> int:
        """Number of gradients computed so far."""
        return len(self.tree.point)

    # --- what policies call ----------------------------------------------------------------------

    def compute(self, worker: int, node: int) -> None:
        """Let an idle worker compute a gradient at a node."""
        self._push(self._gradient_time(worker), worker, 0, node)

    def send(self, worker: int, content: Any, share: float = 1.0) -> None:
        """Send from a worker. Near workers need only a ``share`` of its message time."""
        self._send(share * self.workers.message[worker], worker, 1, content)

    def reduce(self, workers: Sequence[int], content: Any, share: float = 1.0) -> None:
        """Sum over workers, in the time of the slowest message among them."""
        slowest = max((self.workers.message[i] for i in workers), default=0.0)
        self._send(share * slowest, -1, len(workers), content)

    def step(self, base: int, gradient: int) -> int:
        """Step aside from a node, and return the new one."""
        return self.tree.step(base, gradient)

    def append(self, gradient: int) -> None:
        """Step from the end of the main branch, which grows by one node."""
        self.x = self.tree.append(gradient, self.now)

    def extend(self, gradients: Iterable[int]) -> None:
        """Step from the end of the main branch with several gradients, one after the other."""
        for gradient in gradients:
            self.append(gradient)

    def drop(self, count: int = 1) -> None:
        """Discard gradients."""
        self.dropped += count

    def _gradient_time(self, worker: int) -> float:
        mean, variation = self.workers.compute[worker], self.workers.variation
        if not variation:
            return mean
        # Shape k has a coefficient of variation of 1/sqrt(k).
        shape = variation**-2
        return mean * float(self._times.gamma(shape)) / shape

    # --- the clock -------------------------------------------------------------------------------

    def _push(self, duration: float, worker: int, messages: int, content: Any) -> None:
        # The serial number keeps simultaneous events in the order in which they were begun.
        self._serial += 1
        heapq.heappush(self._events, (self.now + duration, self._serial, worker, messages, content))

    def _send(self, duration: float, worker: int, messages: int, content: Any) -> None:
        self.messages += messages
        self.in_flight += messages
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        # An event without messages is a gradient.
        self._push(duration, worker, max(1, messages), content)

    def most(self, applied: int) -> int:
        """Return how many gradients are computed at most, as a policy may drop all of them."""
        return 100 * (applied + self.workers.count)

    def until(self, applied: int, time: float = math.inf) -> None:
        """Run until ``applied`` gradients are applied, or the next event lies beyond a time."""
        if not self._begun:
            self._begun = True
            self.policy.begin(self)
        most = self.most(applied)
        events, tree, policy = self._events, self.tree, self.policy
        while events and len(tree.main) <= applied and events[0][0] <= time:
            if len(tree.point) >= most:
                break
            event, _, worker, messages, content = heapq.heappop(events)
            # A server whose work takes time meets an event when it has done with the last.
            self.now = max(self.now, event)
            if messages:
                self.in_flight -= messages
                policy.arrived(self, worker, content)
            else:
                policy.computed(self, worker, self.take(worker, content))

    def take(self, worker: int, node: int) -> int:
        """Return the gradient that a worker has computed at a node."""
        return self.tree.take(node)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the tree as arrays: base, gradient, point, main and time."""
        return {
            name: np.asarray(getattr(self.tree, name), dtype=float if name == "time" else np.int64)
            for name in ("base", "gradient", "point", "main", "time")
        }
