"""Policies in which every worker sends and continues at its own pace."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from popinv.errors import ConfigError
from popinv_papers.birch.engine import Policy, Run


class Delayed(Policy):
    """A worker computes M gradients and sends them; they count if the delay is not too large.

    The delay of a message is the number of messages accepted since its worker last read. With
    M = 1 this is Ringmaster ASGD, and plain asynchronous descent if there is no limit on the delay.
    With ``local`` steps it is Async-Local SGD, and with all M gradients at the point that was read
    it is Async-Batch SGD.

    Parameters
    ----------
    delay : int, optional
        G: a message is accepted if its delay is less. By default every message is accepted.
    steps : int
        M, the number of gradients in a message.
    """

    def __init__(self, delay: int | None, steps: int = 1, local: bool = False) -> None:
        if steps < 1 or (delay is not None and delay < 1):
            raise ConfigError(f"delay {delay} and steps {steps}, must be at least 1")
        self.delay = math.inf if delay is None else delay
        self.steps, self.local = steps, local
        self.accepted = 0

    def begin(self, run: Run) -> None:  # noqa: D102
        n = run.workers.count
        self.gathered: list[list[int]] = [[] for _ in range(n)]
        self.place, self.read = [run.x] * n, [0] * n
        for worker in range(n):
            run.compute(worker, run.x)

    def computed(self, run: Run, worker: int, gradient: int) -> None:  # noqa: D102
        part = self.gathered[worker]
        part.append(gradient)
        if len(part) == self.steps:
            run.send(worker, part)
            return
        if self.local:
            self.place[worker] = run.step(self.place[worker], gradient)
        run.compute(worker, self.place[worker])

    def arrived(self, run: Run, sender: int, content: Any) -> None:  # noqa: D102
        if self.accepted - self.read[sender] < self.delay:
            for gradient in content:
                run.append(gradient)
            self.accepted += 1
        else:
            run.drop(len(content))
        self.read[sender], self.gathered[sender], self.place[sender] = self.accepted, [], run.x
        run.compute(sender, run.x)


# Maps a worker's number, its gradients and the time since it read to whether it synchronises.
Rule = Callable[[int, int, float], bool]


def every(period: float) -> Rule:
    """Return the rule by which a worker synchronises after working for a period."""
    return lambda worker, count, elapsed: elapsed >= period


class MetaLocal(Policy):
    """Local SGD in which a rule decides on synchronisation, with a bounded distance.

    A worker synchronises if the rule says so. It also synchronises before the sum of the gradients
    appended since it read and of its own gradients can exceed R + 1. A message that arrives too
    late nevertheless is dropped.

    Parameters
    ----------
    bound : int
        R.
    rule : callable
        Maps a worker, the number of its gradients and the time since it read to whether it
        synchronises. It must not depend on values of gradients.
    """

    def __init__(self, bound: int, rule: Rule) -> None:
        if bound < 0:
            raise ConfigError(f"bound {bound} of the distance, must not be negative")
        self.bound, self.rule = bound, rule

    def begin(self, run: Run) -> None:  # noqa: D102
        n = run.workers.count
        self.gathered: list[list[int]] = [[] for _ in range(n)]
        self.place, self.read, self.since = [run.x] * n, [0] * n, [run.now] * n
        for worker in range(n):
            run.compute(worker, run.x)

    def computed(self, run: Run, worker: int, gradient: int) -> None:  # noqa: D102
        part = self.gathered[worker]
        part.append(gradient)
        span = run.applied - self.read[worker] + len(part)
        asked = self.rule(worker, len(part), run.now - self.since[worker])
        if asked or span >= self.bound + 1:
            run.send(worker, part)
            return
        self.place[worker] = run.step(self.place[worker], gradient)
        run.compute(worker, self.place[worker])

    def arrived(self, run: Run, sender: int, content: Any) -> None:  # noqa: D102
        if run.applied - self.read[sender] + len(content) <= self.bound + 1:
            for gradient in content:
                run.append(gradient)
        else:
            run.drop(len(content))
        self.read[sender], self.since[sender] = run.applied, run.now
        self.gathered[sender], self.place[sender] = [], run.x
        run.compute(sender, run.x)
