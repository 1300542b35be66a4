"""Lorenz-96: trajectories of many members beside four other ways to integrate them.

The classical Runge-Kutta method in double precision from the same states to the same time, short
enough that chaos has not yet blown up the rounding, so that the states at the end compare.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers.lorenz96 import Coefficients, jax_scan, numpy_roll, torch_roll
from benchmarks.peers.lorenz96_numba import hand_blocked
from benchmarks.rows import Contest, Row, largest_difference
from popinv.seeds import generator
from popinv_models.lorenz96 import integrator

__all__ = ["example", "rows"]

_VARIABLES = 36
# Sizes by number of scales: members, fast variables for each slow one, time step, steps.
_SIZES = {1: (1000, 0, 0.01, 200), 2: (128, 10, 0.005, 100)}
_WORK = {
    1: "one step of one member, one scale, 36 variables, 1000 members",
    2: "one step of one member, two scales, 36 x 10 variables, 128 members",
}
# Targets: a fifth of the time of JAX, and the time of the reference in Numba.
_PEERS = {
    "jax": ("JAX, jitted scan of vmapped steps", ("jax",), jax_scan, 5.0),
    "numpy": ("NumPy, np.roll", ("numpy",), numpy_roll, 1.0),
    "torch": ("torch, torch.roll", ("torch",), torch_roll, 1.0),
    "numba": ("Numba, hand-blocked, fastmath", ("numba",), hand_blocked, 1.0),
}

Given = tuple[np.ndarray, np.ndarray, Coefficients]


def rows() -> list[Row]:
    """Return the rows of one scale and of two."""
    names = {1: "lorenz96_one_scale", 2: "lorenz96_two_scales"}
    return [
        Row(
            name=f"{names[scales]}/{name}",
            work=_WORK[scales],
            peer=words,
            packages=packages,
            target=target,
            prepare=functools.partial(_contest, scales, peer),
        )
        for scales in (1, 2)
        for name, (words, packages, peer, target) in _PEERS.items()
    ]


def example(members: int, subvariables: int) -> Given:
    """Return states with the members last, x (K, n) and y (K J, n), and coefficients."""
    normal = generator(0, f"benchmarks/lorenz96/{subvariables}").standard_normal
    x = 2 + 3.5 * normal((_VARIABLES, members))
    y = 0.1 * normal((_VARIABLES * subvariables, members))
    spread = 0.05 * normal((4, members))
    return x, y, Coefficients(*(np.array([[10.0], [1.0], [10.0], [10.0]]) * np.exp(spread)))


def ours(given: Given, dt: float, steps: int) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    """Return the package's march from the same states, to states with the members last."""
    x, y, rates = given
    each = len(y) // len(x)
    z = np.column_stack([rates.forcing, rates.coupling, rates.time_scale, rates.space_scale])
    coefficients = integrator.Coefficients.of(z if each else z[:, :1], each)
    slow = np.ascontiguousarray(x.T)
    fast = np.ascontiguousarray(y.T).reshape(x.shape[1], len(x), each)

    def march() -> tuple[np.ndarray, np.ndarray]:
        slow_end, fast_end = integrator.advance(slow, fast, coefficients, dt, steps)
        return slow_end.T, fast_end.reshape(x.shape[1], -1).T

    return march


def _contest(scales: int, peer: Callable[..., Callable[[], Any]]) -> Contest:
    members, subvariables, dt, steps = _SIZES[scales]
    given = example(members, subvariables)
    return Contest(
        ours=ours(given, dt, steps),
        peer=peer(*given, dt, steps),
        ours_units=members * steps,
        peer_units=members * steps,
        tolerance=1e-8,
        difference=difference,
    )


def difference(ours: Any, peer: Any) -> float:
    """Return the largest difference of slow or of fast variables."""
    return max(largest_difference(a, b) for a, b in zip(ours, peer, strict=True) if np.size(b))
