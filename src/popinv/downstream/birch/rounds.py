"""Policies that gather gradients in rounds and append each round's together.

Whoever synchronises, the gradients of a worker are appended in the order in which it took them,
so that each one's path lies on the main branch before it does.
"""

from __future__ import annotations

from typing import Any

from popinv.downstream.birch.engine import Policy, Run
from popinv.errors import ConfigError

__all__ = ["Cycle", "DualProcess", "Rounds", "Vanilla"]


class Vanilla(Policy):
    """One worker, the fastest, by itself: x^{k+1} = x^k - gamma grad f(x^k; xi^k)."""

    def begin(self, run: Run) -> None:  # noqa: D102
        fastest = min(range(run.workers.count), key=lambda i: run.workers.compute[i])
        run.compute(fastest, run.x)

    def computed(self, run: Run, worker: int, gradient: int) -> None:  # noqa: D102
        run.append(gradient)
        run.compute(worker, run.x)


class Rounds(Policy):
    """Gather a number of gradients from whoever has them, then append them all.

    With ``local`` steps every worker walks on from its own last point (Local SGD), without it all
    stay at the round's start (Rennala SGD); with one gradient of each worker it is minibatch
    descent. The round ends at a total count, not at equal counts: fast workers give more. What
    was begun in an earlier round is finished and dropped.

    Parameters
    ----------
    batch : int
        Gradients of a round, B.
    local : bool
    each : int, optional
        Most gradients of a worker in a round.
    """

    def __init__(self, batch: int, local: bool, each: int | None = None) -> None:
        if batch < 1 or (each is not None and each < 1):
            raise ConfigError(f"batch {batch} and gradients of a worker {each}: at least 1")
        self.batch, self.local, self.each = batch, local, each
        self.round, self.waiting = -1, False
        self.gathered: list[list[int]] = []

    def begin(self, run: Run) -> None:  # noqa: D102
        n = run.workers.count
        if self.each is not None and n * self.each < self.batch:
            raise ConfigError(
                f"{n} workers of {self.each} gradients never gather a batch of {self.batch}"
            )
        self.idle, self.started = [True] * n, [-1] * n
        self.broadcast(run)

    def broadcast(self, run: Run) -> None:
        """Begin a round from the end of the main branch."""
        n = run.workers.count
        self.round += 1
        self.waiting, self.total, self.under_way = False, 0, 0
        self.gathered, self.place = [[] for _ in range(n)], [run.x] * n
        for worker in range(n):
            self.work(run, worker)

    def work(self, run: Run, worker: int) -> None:
        """Let a worker compute, if it is idle and its round is not over for it."""
        if self.idle[worker] and not self.waiting and not self.over(worker):
            self.idle[worker], self.started[worker] = False, self.round
            self.under_way += 1
            run.compute(worker, self.place[worker])

    def over(self, worker: int) -> bool:
        """Whether a worker has done its share of the round."""
        return self.each is not None and len(self.gathered[worker]) >= self.each

    def computed(self, run: Run, worker: int, gradient: int) -> None:  # noqa: D102
        self.idle[worker] = True
        if self.started[worker] == self.round:
            self.under_way -= 1
        if self.waiting or self.started[worker] != self.round:
            run.drop()
        else:
            self.gathered[worker].append(gradient)
            self.total += 1
            if self.local:
                self.place[worker] = run.step(self.place[worker], gradient)
            self.gather(run)
        self.work(run, worker)

    def gather(self, run: Run) -> None:
        """Synchronise, if enough has been gathered."""
        if self.total == self.batch:
            self.waiting = True
            run.reduce([i for i, part in enumerate(self.gathered) if part], None)

    def arrived(self, run: Run, sender: int, content: Any) -> None:  # noqa: D102
        for part in self.gathered:
            for gradient in part:
                run.append(gradient)
        self.broadcast(run)


class DualProcess(Rounds):
    """Local SGD whose first half of a round is summed while the second is computed.

    Parameters
    ----------
    batch : int
        Gradients that a round needs, half of them before the first sum begins.
    most : int, optional
        Gradients at which all pause until the first sum is there; twice the batch if left out.
        The largest distance is below it.
    """

    def __init__(self, batch: int, most: int | None = None) -> None:
        super().__init__(batch, local=True)
        self.most = 2 * batch if most is None else most
        if batch < 2 or self.most < batch:
            raise ConfigError(
                f"batch {batch}, must be at least 2, and most {self.most}, at least the batch"
            )

    def broadcast(self, run: Run) -> None:  # noqa: D102
        self.first: list[list[int]] | None = None
        self.summed = False
        super().broadcast(run)

    def over(self, worker: int) -> bool:  # noqa: D102
        # Those under way count: a round never holds more than ``most``.
        return self.total + self.under_way >= self.most

    def gather(self, run: Run) -> None:  # noqa: D102
        half = -(-self.batch // 2)
        if self.first is None and self.total >= half:
            self.first, self.gathered = self.gathered, [[] for _ in self.gathered]
            run.reduce([i for i, part in enumerate(self.first) if part], False)
        elif self.summed and self.total >= self.batch:
            self.waiting = True
            run.reduce([i for i, part in enumerate(self.gathered) if part], True)

    def arrived(self, run: Run, sender: int, content: Any) -> None:  # noqa: D102
        if not content:
            self.summed = True
            self.gather(run)
            return
        assert self.first is not None
        for part in (*self.first, *self.gathered):
            for gradient in part:
                run.append(gradient)
        self.broadcast(run)


class Cycle(Policy):
    """Local steps of all workers in step, of whom one group after the other synchronises.

    Parameters
    ----------
    group : int
        Workers s of a group; divides n. So many messages are under way at most.
    """

    def __init__(self, group: int) -> None:
        if group < 1:
            raise ConfigError(f"a group of {group} workers, must have at least 1")
        self.group = group

    def begin(self, run: Run) -> None:  # noqa: D102
        n = run.workers.count
        if n % self.group:
            allowed = ", ".join(str(s) for s in range(1, n + 1) if n % s == 0)
            raise ConfigError(
                f"groups of {self.group} do not divide {n} workers, allowed: {allowed}"
            )
        self.tick = self.done = 0
        self.gathered: list[list[int]] = [[] for _ in range(n)]
        self.place = [run.x] * n
        self.all_compute(run)

    def all_compute(self, run: Run) -> None:
        """Let every worker take one step."""
        for worker, place in enumerate(self.place):
            run.compute(worker, place)

    def computed(self, run: Run, worker: int, gradient: int) -> None:  # noqa: D102
        n = run.workers.count
        self.gathered[worker].append(gradient)
        self.place[worker] = run.step(self.place[worker], gradient)
        self.done += 1
        if self.done == n:
            first = self.tick % (n // self.group) * self.group
            group = range(first, first + self.group)
            run.reduce(group, group)

    def arrived(self, run: Run, sender: int, content: Any) -> None:  # noqa: D102
        for worker in content:
            for gradient in self.gathered[worker]:
                run.append(gradient)
        for worker in content:
            self.gathered[worker], self.place[worker] = [], run.x
        self.tick, self.done = self.tick + 1, 0
        self.all_compute(run)
