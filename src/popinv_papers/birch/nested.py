"""Policies for nested clusters: asynchronous within a cluster, local descent between clusters."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from popinv.errors import ConfigError
from popinv_papers.birch.engine import Policy, Run


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
            for gradient in gradients:
                run.append(gradient)
            group.restart(run.x)
        else:
            for gradient in gradients[len(group.gathered) :]:
                group.place = run.step(group.place, gradient)
            group.gathered, group.total, group.waiting = gradients, 0, False
            for child in group.children:
                child.restart(group.place)
        self._work(run, group)


class LocalAsync(NestedLocalAsync):
    """Clusters that descend asynchronously, synchronised once they have B gradients together.

    Parameters
    ----------
    clusters : int
        C, divides n.
    batch : int
        B.
    near : float
        Message time inside a cluster over that between clusters.
    """

    def __init__(self, clusters: int, batch: int, near: float = 0.1) -> None:
        super().__init__([clusters], [batch], near)
