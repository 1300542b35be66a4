"""The points of a recorded tree, for many step sizes at once.

A node is kept only while a step from it or a gradient at it is still to come. A gradient is kept
only between its uses (local steps use theirs twice). This needs a few nodes for each worker, for a
run of any length. All step sizes see the same samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from popinv.store.compiled import njit
from popinv_papers.birch.objectives import Objective, draw, slope

# A point this much further out than the start counts as diverged.
_LOST = 1e4


@njit
def _places(base: np.ndarray, gradient: np.ndarray, point: np.ndarray, main: np.ndarray) -> tuple:
    """Assign places to nodes and gradients; a place is used again after its last use.

    Returns the place of each node (-1 if it is never used), of each gradient (-1 if it is used only
    once), and the numbers of places of both.
    """
    nodes, gradients = len(base), len(point)
    last_of_node = np.full(nodes, -1)
    first, last = np.full(gradients, -1), np.full(gradients, -1)
    for v in range(1, nodes):
        last_of_node[base[v]] = v
        g = gradient[v]
        if first[g] < 0:
            first[g] = v
            last_of_node[point[g]] = max(last_of_node[point[g]], v)
        last[g] = v
    # The main branch is recorded, so it is kept.
    for v in main:
        last_of_node[v] = max(last_of_node[v], v)
    node_place, gradient_place = np.full(nodes, -1), np.full(gradients, -1)
    free_nodes, free_gradients = np.empty(nodes, np.int64), np.empty(gradients + 1, np.int64)
    ready_nodes = ready_gradients = used_gradients = 0
    node_place[0], used_nodes = 0, 1
    for v in range(1, nodes):
        g = gradient[v]
        if first[g] == v and last[g] > v:
            if ready_gradients:
                ready_gradients -= 1
                gradient_place[g] = free_gradients[ready_gradients]
            else:
                gradient_place[g] = used_gradients
                used_gradients += 1
        # The new node may take the place of the node from which it is stepped.
        b, p = base[v], point[g]
        if last_of_node[b] == v:
            free_nodes[ready_nodes] = node_place[b]
            ready_nodes += 1
        if p != b and last_of_node[p] == v:
            free_nodes[ready_nodes] = node_place[p]
            ready_nodes += 1
        if last[g] == v and gradient_place[g] >= 0:
            free_gradients[ready_gradients] = gradient_place[g]
            ready_gradients += 1
        if last_of_node[v] >= 0:
            if ready_nodes:
                ready_nodes -= 1
                node_place[v] = free_nodes[ready_nodes]
            else:
                node_place[v] = used_nodes
                used_nodes += 1
            if last_of_node[v] == v:
                free_nodes[ready_nodes] = node_place[v]
                ready_nodes += 1
    return node_place, gradient_place, first, used_nodes, used_gradients


@njit
def _walk(
    base: np.ndarray,
    gradient: np.ndarray,
    point: np.ndarray,
    main: np.ndarray,
    looks: np.ndarray,
    places: tuple,
    rates: np.ndarray,
    problem: tuple,
    start: np.ndarray,
    generator: np.random.Generator,
    points: np.ndarray,
) -> None:
    """Walk through the tree; write the points of the main branch at ``looks`` to ``points``."""
    node_place, gradient_place, first, node_places, gradient_places = places
    kind, deviation, images, labels = problem
    d, m = len(start), len(rates)
    nodes = np.empty((node_places, m, d))
    kept = np.empty((gradient_places, m, d))
    used_once, noise = np.empty((m, d)), np.zeros(d)
    active = np.ones(m, np.bool_)
    farthest = _LOST * (1 + np.abs(start).max())
    for s in range(m):
        nodes[0, s] = start
    look = k = 0
    if looks[look] == 0:
        for s in range(m):
            points[look, s] = start
        look += 1
    for v in range(1, len(base)):
        g = gradient[v]
        place, from_place, at = node_place[v], node_place[base[v]], node_place[point[g]]
        kept_at = gradient_place[g]
        step = kept[kept_at] if kept_at >= 0 else used_once
        if first[g] == v:
            sample = draw(generator, kind, deviation, len(images), noise)
            for s in range(m):
                if active[s]:
                    slope(kind, nodes[at, s], images, labels, sample, noise, step[s])
        if place >= 0:
            for s in range(m):
                if active[s]:
                    rate = rates[s]
                    for i in range(d):
                        nodes[place, s, i] = nodes[from_place, s, i] - rate * step[s, i]
        if main[k + 1] == v:
            k += 1
            looked = k == looks[look]
            if looked or k % 32 == 0:
                for s in range(m):
                    if active[s] and not np.abs(nodes[place, s]).max() < farthest:
                        active[s] = False
            if looked:
                for s in range(m):
                    if active[s]:
                        points[look, s] = nodes[place, s]
                    else:
                        points[look, s] = np.nan
                look += 1
                if look == len(looks):
                    return


def points_on_main_branch(
    tree: Mapping[str, np.ndarray],
    looks: Sequence[int] | np.ndarray,
    rates: Sequence[float] | np.ndarray,
    objective: Objective,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return points x^k of the main branch, shape (len(looks), len(rates), d).

    The tree is from :meth:`Run.arrays`, the looks are the k, ascending, and the rates the step
    sizes gamma. Samples are drawn in the order of their first use. Points are NaN if descent has
    diverged.

    Raises
    ------
    ValueError
        If the looks do not grow, or reach beyond the main branch.
    """
    looks = np.asarray(looks, dtype=np.int64)
    main = tree["main"]
    if not len(looks) or looks[0] < 0 or (np.diff(looks) <= 0).any() or looks[-1] >= len(main):
        raise ValueError(f"looks must grow from 0 or more and stay below {len(main)}")
    rates = np.asarray(rates, dtype=float)
    points = np.empty((len(looks), len(rates), len(objective.start)))
    if looks[-1] == 0:
        points[0] = objective.start
        return points
    # The walk ends at the last look.
    end = int(main[looks[-1]]) + 1
    base, gradient = tree["base"][:end], tree["gradient"][:end]
    point, reached = tree["point"], main[: looks[-1] + 1]
    # One more look, which is never reached, saves a test in the walk.
    places = _places(base, gradient, point, reached)
    problem = (objective.kind, objective.deviation, objective.images, objective.labels)
    _walk(
        base,
        gradient,
        point,
        reached,
        looks,
        places,
        rates,
        problem,
        objective.start,
        generator,
        points,
    )
    return points
