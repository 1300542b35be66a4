r"""Trees of points, and the conditions for convergence of a run.

Every method grows one tree (the paper's meta-algorithm): it picks two nodes, takes a stochastic
gradient at one, and steps with it from the other,

.. math:: w_{\mathrm{new}} = w_{\mathrm{base}} - \gamma \nabla f(w_{\mathrm{grad}}; \eta).

The main branch is a path x^0, x^1, ... from the root. z^k is the node at which the gradient of the
edge from x^k to x^{k+1} was taken, and xi^k its sample. An edge holds one gradient with the full
step gamma: when workers synchronise, their gradients are summed, not averaged.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np


class Tree:
    """A tree that grows by one edge at a time.

    Nodes and gradients are numbered in the order of creation. Node 0 is the root. They are kept in
    plain lists, to which appending is fast.

    Attributes
    ----------
    base : list of int
        The node from which each node was stepped; -1 at the root.
    gradient : list of int
        The gradient of that step; -1 at the root.
    point : list of int
        The node at which each gradient was taken.
    main : list of int
        Nodes of the main branch, starting with the root.
    time : list of float
        Time at which each node of the main branch was created.
    """

    def __init__(self) -> None:
        self.base = [-1]
        self.gradient = [-1]
        self.point: list[int] = []
        self.main = [0]
        self.time = [0.0]

    def take(self, node: int) -> int:
        """Take a gradient at a node and return its number."""
        self.point.append(int(node))
        return len(self.point) - 1

    def step(self, base: int, gradient: int) -> int:
        """Step from a node with a gradient and return the new node."""
        self.base.append(int(base))
        self.gradient.append(int(gradient))
        return len(self.base) - 1

    def append(self, gradient: int, time: float) -> int:
        """Step from the end of the main branch with a gradient and return its new end."""
        node = self.step(self.main[-1], gradient)
        self.main.append(node)
        self.time.append(time)
        return node


@dataclass(frozen=True)
class TheoremConditions:
    """The three conditions of the paper's Theorem 2.4, on a recorded run.

    Attributes
    ----------
    fresh : bool
        Whether the sample of every edge x^k to x^{k+1} does not occur in x^1, ..., x^k and
        z^0, ..., z^k, and occurs on the main branch once (the first condition). It is then
        independent of them if the schedule does not depend on values of gradients.
    contained : bool
        Whether repr(z^k) is a sub-multiset of repr(x^k) for every k (the second condition), with
        repr(y) the count of each gradient on the path from the root to y.
    distances : ndarray of int, shape (K,)
        dist(x^k, z^k), the larger number of edges to the nearest common ancestor. The largest is
        the R of the third condition.
    """

    fresh: bool
    contained: bool
    distances: np.ndarray

    @property
    def largest_distance(self) -> int:
        """The smallest R for which the third condition holds."""
        return int(self.distances.max(initial=0))


def check(tree: Tree, most: int | None = None) -> TheoremConditions:
    """Check the three conditions on a recorded run, or on its first ``most`` gradients.

    The walk from z^k to the main branch meets it in x^m. The nodes below x^m are common to both
    paths, so only the walked edges are compared with those from x^m to x^k. The walks are as long
    as the side branches.
    """
    place = {node: k for k, node in enumerate(tree.main)}
    edges = [tree.gradient[node] for node in tree.main[1:]][:most]
    at_edge: dict[int, list[int]] = {}
    for k, gradient in enumerate(edges):
        at_edge.setdefault(gradient, []).append(k)
    once = all(len(gradients) == 1 for gradients in at_edge.values())
    fresh, contained = once, True
    distances = np.zeros(len(edges), dtype=np.int64)
    # Gradients on the side branches of z^0, ..., z^k so far.
    met: set[int] = set()
    # Furthest node of the main branch that z^0, ..., z^k reach.
    reached = 0
    for k, gradient in enumerate(edges):
        node, walked = tree.point[gradient], []
        while node not in place:
            walked.append(tree.gradient[node])
            node = tree.base[node]
        m = place[node]
        distances[k] = max(k - m if m <= k else 0, len(walked) + max(0, m - k))
        met.update(walked)
        reached = max(reached, m)
        fresh &= gradient not in met and k >= reached
        between = Counter(
            {g: sum(m <= j < k for j in at_edge.get(g, ())) for g in dict.fromkeys(walked)}
        )
        contained &= m <= k and Counter(walked) <= between
    return TheoremConditions(bool(fresh), bool(contained), distances)
