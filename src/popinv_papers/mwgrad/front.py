"""The Pareto front of a group: what one system has to give up for another.

A law of particles is on the front if no system can be served better without another being served
worse. Equal weights end at one point of it. The weights of least norm stop at the first point of
the front that a descent meets, so where they end depends on where they start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from popinv_papers.mwgrad.descent import Settings, begin, run
from popinv_papers.mwgrad.targets import Differentiable

_POINTS, _STARTS = 9, 4


def costs(targets: Sequence[Differentiable], particles: np.ndarray) -> np.ndarray:
    """Return the mean of -log p_k over the particles, (K,)."""
    return np.array([-target.log_density(particles).mean() for target in targets])


def two_sided_front(
    targets: Sequence[Differentiable],
    start: np.ndarray,
    settings: Settings,
    iterations: int,
) -> np.ndarray:
    """Return the costs of two systems along their front, from the second's end on, (9, 2).

    Each point is a descent with fixed weights (w, 1 - w) that starts where the last one ended.

    Parameters
    ----------
    start : ndarray of shape (n, d)
        Particles of the second system alone.
    iterations : int
        Steps to each point.
    """
    fixed, points, particles = replace(settings, weights="fixed"), [], start
    for w in np.linspace(0, 1, _POINTS):
        state, _ = run(begin(particles, 2, np.array([w, 1 - w])), targets, fixed, iterations)
        particles = state.particles
        points.append(costs(targets, particles))
    return np.array(points)


def from_starts(
    targets: Sequence[Differentiable],
    prior: np.ndarray,
    alone: Sequence[np.ndarray],
    settings: Settings,
    iterations: int,
) -> np.ndarray:
    """Return the costs (S, K) at the ends of descents with weights of least norm.

    The starts lie halfway between the population's particles and those of the first systems alone.
    """
    chosen = replace(settings, weights="minnorm")
    ends = []
    for own in alone[:_STARTS]:
        state, _ = run(begin((prior + own) / 2, len(targets)), targets, chosen, iterations)
        ends.append(costs(targets, state.particles))
    return np.array(ends)
