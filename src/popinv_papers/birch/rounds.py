"""Policies that gather gradients in rounds and append those of a round together.

The gradients of a worker are always appended in the order in which it took them, so that the path
of each lies on the main branch before it does.
"""

from __future__ import annotations

from typing import Any

from popinv.errors import ConfigError
from popinv_papers.birch.engine import Policy, Run


class Vanilla(Policy):
    """A single worker, the fastest: x^{k+1} = x^k - gamma grad f(x^k; xi^k)."""

    def begin(self, run: Run) -> None:  # noqa: D102
        fastest = min(range(run.workers.count), key=lambda i: run.workers.compute[i])
        run.compute(fastest, run.x)

    def computed(self, run: Run, worker: int, gradient: int) -> None:  # noqa: D102
        run.append(gradient)
        run.compute(worker, run.x)


class Rounds(Policy):
    """Gather a number of gradients from any workers, then append them all.

    With ``local`` steps every worker continues from its own last point (Local SGD). Without it, all
    stay at the round's start (Rennala SGD). With one gradient per worker it is minibatch descent.
    The round ends at a total count, not at equal counts, so fast workers contribute more. Gradients
    begun in an earlier round are finished and dropped.

    Parameters
    ----------
    batch : int
        B, the number of gradients in a round.
    each : int, optional
        Largest number of gradients of a worker in a round.
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
        self.waiting, self.total = False, 0
        self.gathered, self.place = [[] for _ in range(n)], [run.x] * n
        for worker in range(n):
            self.work(run, worker)

    def work(self, run: Run, worker: int) -> None:
        """Let a worker compute if it is idle and has not finished its share of the round."""
        if self.idle[worker] and not self.waiting and not self.over(worker):
            self.idle[worker], self.started[worker] = False, self.round
            run.compute(worker, self.place[worker])

    def over(self, worker: int) -> bool:
        """Return whether a worker has finished its share of the round."""
        return self.each is not None and len(self.gathered[worker]) >= self.each

    def computed(self, run: Run, worker: int, gradient: int) -> None:  # noqa: D102
        self.idle[worker] = True
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
        """Synchronise, if enough gradients have been gathered."""
        if self.total == self.batch:
            self.waiting = True
            run.reduce([i for i, part in enumerate(self.gathered) if part], None)

    def arrived(self, run: Run, sender: int, content: Any) -> None:  # noqa: D102
        for part in self.gathered:
            for gradient in part:
                run.append(gradient)
        self.broadcast(run)


class DualProcess(Rounds):
    """Local SGD that sums the first half of a round while the second half is computed.

    Parameters
    ----------
    batch : int
        Number of gradients in a round. The first sum begins at half of them.
    most : int, optional
        Number of gradients at which all workers pause until the first sum arrives; by default twice
        the batch. The largest distance is below it.
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
        # Gradients in progress do not count: a slow worker's would keep the fast ones idle.
        return self.total >= self.most

    def computed(self, run: Run, worker: int, gradient: int) -> None:
        """Gather a gradient; one that comes when the round holds ``most`` is dropped."""
        if self.started[worker] == self.round and not self.waiting and self.over(worker):
            self.idle[worker] = True
            run.drop()
            return
        super().computed(run, worker, gradient)

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
    """Synchronous local steps of all workers; one group after the other synchronises.

    Parameters
    ----------
    group : int
        Workers s of a group; divides n. At most this many messages are in flight.
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
