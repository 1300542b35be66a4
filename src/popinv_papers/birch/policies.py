"""The policies of the paper's methods.

Some gather gradients in rounds and append each round at once. The gradients of a worker are
always appended in the order in which it took them, so that the path of each lies on the main branch
before it does. In others every worker sends and continues at its own pace. In nested clusters,
descent is asynchronous within a cluster and local between clusters.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
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
            run.extend(part)
        self.broadcast(run)


class DualProcess(Rounds):
    """Local SGD that sums the first half of a round while the second half is computed.

    Parameters
    ----------
    batch : int
        Number of gradients in a round. The first sum begins at half of them.
    most : int
        Number of gradients at which all workers pause until the first sum arrives. The largest
        distance is below it.
    """

    def __init__(self, batch: int, most: int) -> None:
        super().__init__(batch, local=True)
        self.most = most
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
            run.extend(part)
        self.broadcast(run)


class Cycle(Policy):
    """Synchronous local steps of all workers; one group after the other synchronises.

    A group has s workers, and s divides n. At most this many messages are in flight.
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
            run.extend(self.gathered[worker])
        for worker in content:
            self.gathered[worker], self.place[worker] = [], run.x
        self.tick, self.done = self.tick + 1, 0
        self.all_compute(run)


class _OwnPace(Policy):
    """Every worker computes from the point that it last read, and sends when it is time.

    ``gathered`` holds each worker's gradients since it read, and ``place`` where it is.
    """

    def begin(self, run: Run) -> None:
        n = run.workers.count
        self.gathered: list[list[int]] = [[] for _ in range(n)]
        self.place, self.read, self.since = [run.x] * n, [0] * n, [run.now] * n
        for worker in range(n):
            run.compute(worker, run.x)

    def resume(self, run: Run, worker: int, read: int) -> None:
        """Let a worker go on from the end of the main branch."""
        self.gathered[worker], self.place[worker] = [], run.x
        self.read[worker], self.since[worker] = read, run.now
        run.compute(worker, run.x)


class Delayed(_OwnPace):
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
            run.extend(content)
            self.accepted += 1
        else:
            run.drop(len(content))
        self.resume(run, sender, self.accepted)


class MetaLocal(_OwnPace):
    """Local SGD in which a rule decides on synchronisation, with a bounded distance R.

    By the rule a worker synchronises after working for a period. It also synchronises before the
    sum of the gradients appended since it read and of its own gradients can exceed R + 1. A message
    that arrives too late nevertheless is dropped.
    """

    def __init__(self, bound: int, period: float) -> None:
        if bound < 0:
            raise ConfigError(f"bound {bound} of the distance, must not be negative")
        self.bound, self.period = bound, period

    def computed(self, run: Run, worker: int, gradient: int) -> None:  # noqa: D102
        part = self.gathered[worker]
        part.append(gradient)
        span = run.applied - self.read[worker] + len(part)
        if run.now - self.since[worker] >= self.period or span >= self.bound + 1:
            run.send(worker, part)
            return
        self.place[worker] = run.step(self.place[worker], gradient)
        run.compute(worker, self.place[worker])

    def arrived(self, run: Run, sender: int, content: Any) -> None:  # noqa: D102
        if run.applied - self.read[sender] + len(content) <= self.bound + 1:
            run.extend(content)
        else:
            run.drop(len(content))
        self.resume(run, sender, run.applied)


class _Group:
    """Workers that share an iterate: a cluster, or a cluster of clusters.

    ``gathered`` holds the gradients on the path from the group's last start to ``place``.
    ``version`` numbers the paths that it has started.
    """

    def __init__(self, parent: _Group | None, depth: int) -> None:
        self.parent, self.depth = parent, depth
        self.children: list[_Group] = []
        self.workers: list[int] = []
        self.place, self.version, self.total = 0, 0, 0
        self.gathered: list[int] = []
        self.waiting = False

    def everything(self) -> list[int]:
        """Return the gradients of the group and of its children, each after its path."""
        gradients = list(self.gathered)
        for child in self.children:
            gradients += child.everything()
        return gradients

    def restart(self, place: int) -> None:
        """Restart the group and its children at a node."""
        self.place, self.total, self.gathered, self.waiting = place, 0, [], False
        self.version += 1
        for child in self.children:
            child.restart(place)

    def paused(self) -> bool:
        """Return whether this group or a group around it is synchronising."""
        return self.waiting or (self.parent is not None and self.parent.paused())


class NestedLocalAsync(Policy):
    """Asynchronous descent in the smallest clusters, local descent of the clusters around them.

    In a smallest cluster each worker sends its gradient to the cluster's iterate and continues from
    there. Once the clusters of a larger one have gathered its batch since its last synchronisation,
    all their gradients are appended to its iterate, from which they restart. Gradients that were
    still being computed are dropped. The outermost iterate is the main branch. The worker with the
    fastest messages sends for a cluster.

    Parameters
    ----------
    clusters : sequence of int
        Number of parts into which each cluster is divided, from the outermost level; each number
        divides the workers of its level.
    batches : sequence of int
        Number of gradients at which a cluster of each level synchronises, from the outermost level,
        whose batch B is the largest.
    near : float
        Ratio of message times from level to level: the outermost level takes the whole time, the
        next this share of it, the next the square, ...
    """

    def __init__(self, clusters: Sequence[int], batches: Sequence[int], near: float = 0.1) -> None:
        if not clusters or len(clusters) != len(batches) or min(*clusters, *batches) < 1:
            raise ConfigError(
                f"clusters {list(clusters)} and batches {list(batches)}: as many of each, at least "
                "one, and each at least 1"
            )
        if any(inner > outer for outer, inner in itertools.pairwise(batches)):
            raise ConfigError(f"batches {list(batches)} must not grow from the outermost inwards")
        if not 0 <= near <= 1:
            raise ConfigError(f"near {near}, must lie between 0 and 1")
        self.clusters, self.batches, self.near = list(clusters), list(batches), near

    def begin(self, run: Run) -> None:  # noqa: D102
        n = run.workers.count
        self.cluster: list[_Group] = [None] * n  # type: ignore[list-item]
        self.root = _Group(None, 0)
        self._divide(self.root, range(n))
        self.root.restart(run.x)
        self.idle, self.started = [True] * n, [0] * n
        self._work(run, self.root)

    def _divide(self, group: _Group, workers: Sequence[int]) -> None:
        group.workers = list(workers)
        if group.depth == len(self.clusters):
            for worker in workers:
                self.cluster[worker] = group
            return
        parts = self.clusters[group.depth]
        if len(workers) % parts:
            raise ConfigError(f"{len(workers)} workers cannot be divided into {parts} clusters")
        size = len(workers) // parts
        for part in range(parts):
            child = _Group(group, group.depth + 1)
            group.children.append(child)
            self._divide(child, workers[part * size : (part + 1) * size])

    def _work(self, run: Run, group: _Group) -> None:
        for worker in group.workers:
            cluster = self.cluster[worker]
            if self.idle[worker] and not cluster.paused():
                self.idle[worker], self.started[worker] = False, cluster.version
                run.compute(worker, cluster.place)

    def computed(self, run: Run, worker: int, gradient: int) -> None:  # noqa: D102
        # The message to the cluster's iterate is faster than at any level of synchronisation.
        run.send(worker, gradient, self.near ** len(self.clusters))

    def arrived(self, run: Run, sender: int, content: Any) -> None:  # noqa: D102
        if sender < 0:
            group, version = content
            if group.version == version:
                self._synchronise(run, group)
            return
        self.idle[sender] = True
        cluster = self.cluster[sender]
        if cluster.paused() or self.started[sender] != cluster.version:
            run.drop()
        else:
            cluster.gathered.append(content)
            cluster.place = run.step(cluster.place, content)
            self._count(run, cluster.parent)
        if not cluster.paused():
            self.idle[sender], self.started[sender] = False, cluster.version
            run.compute(sender, cluster.place)

    def _count(self, run: Run, group: _Group | None) -> None:
        """Count a gradient in every cluster around it; the outermost full one starts its sum."""
        full = None
        while group is not None:
            group.total += 1
            # The outermost cluster counts until the main branch grows, others until they
            # synchronise.
            if group.total == self.batches[group.depth]:
                full = group
            group = group.parent
        if full is not None:
            full.waiting = True
            heads = [
                min(part.workers, key=run.workers.message.__getitem__) for part in full.children
            ]
            run.reduce(heads, (full, full.version), self.near**full.depth)

    def _synchronise(self, run: Run, group: _Group) -> None:
        """Append all gradients within a cluster to its iterate, and restart from there."""
        gradients = group.everything()
        if group.parent is None:
            run.extend(gradients)
            group.restart(run.x)
        else:
            for gradient in gradients[len(group.gathered) :]:
                group.place = run.step(group.place, gradient)
            group.gathered, group.total, group.waiting = gradients, 0, False
            for child in group.children:
                child.restart(group.place)
        self._work(run, group)
