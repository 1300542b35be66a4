"""Porous flow in a cube: a user's simulator, written in Firedrake, beside three others.

The package has no model in three dimensions. A study states one as a function (`kind: python`),
like this one. It builds Firedrake's solver once, and chooses conjugate gradients with an incomplete
factorisation in place of Firedrake's default, a sparse factorisation.
"""

from __future__ import annotations

import functools

import numpy as np

from benchmarks.peers import porous_cube as peers
from benchmarks.peers.porous_flow import Solve
from benchmarks.rows import Contest, Row
from popinv.seeds import generator

__all__ = ["iterative", "rows"]

_SYSTEMS, _FEW, _SIDE = 20, 4, 16
_PEERS = {
    "firedrake_naive": ("Firedrake, a loop of solve(a == L, u)", ("firedrake",)),
    "firedrake_built_once": ("Firedrake, one LinearVariationalSolver", ("firedrake",)),
    "scikit_fem": (
        "scikit-fem, assemble and solve, bases built once",
        ("scikit-fem", "scipy", "firedrake"),
    ),
}
# The residual is then of the size of rounding errors.
_SOLVER = {"ksp_type": "cg", "pc_type": "icc", "ksp_rtol": 1e-13, "ksp_atol": 1e-50}


def rows() -> list[Row]:
    """Return the rows of the cube."""
    return [
        Row(
            name=f"porous_cube/{name}",
            work="solving one porous system in 3-D, 16 x 16 x 16 cubes, 50 sensors",
            peer=words,
            packages=packages,
            target=1.0,
            prepare=functools.partial(_contest, name),
        )
        for name, (words, packages) in _PEERS.items()
    ]


def iterative(sensors: np.ndarray, side: int) -> Solve:
    """Return the simulator: a function from systems (n, 7) to observations."""
    cube = peers.Cube(sensors, side)
    return cube.built_once(cube.permeabilities, _SOLVER)


def _contest(peer: str) -> Contest:
    rng = generator(0, "benchmarks/porous_cube")
    sensors = rng.uniform(0.05, 0.95, (50, 3))
    z = 0.3 * rng.standard_normal((_SYSTEMS, peers.MODES))
    ours, theirs = (make(sensors, _SIDE) for make in (iterative, getattr(peers, peer)))
    return Contest(
        ours=lambda: ours(z),
        peer=lambda: theirs(z[:_FEW]),
        ours_units=_SYSTEMS,
        peer_units=_FEW,
        tolerance=1e-9,
    )
