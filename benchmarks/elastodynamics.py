"""Damped vibration: a batch of systems beside three ways of marching through them one by one.

All run Newmark's method on the same mesh with the same elements and time step, from z to the
observations.
"""

from __future__ import annotations

import functools

import numpy as np

from benchmarks.peers import elastodynamics as peers
from benchmarks.rows import Contest, Row
from popinv.forward.elastodynamics.model import Elastodynamics
from popinv.forward.elastodynamics.section import Elastodynamics as Section
from popinv.forward.sensors import Sensors
from popinv.seeds import generator

__all__ = ["rows"]

_PLACES = np.array([[0.3, 0.5], [0.6, 0.5], [0.9, 0.5]])
_WORK = {
    1: ("elastic_bar", "one elastic bar, 100 elements, 800 steps, 60 observations"),
    2: (
        "plane_strain",
        "one cantilever in plane strain, 720 unknowns, 400 steps, 60 observations",
    ),
}
_SYSTEMS = {1: 200, 2: 10}
# The peers: words, distributions, systems in a call, repeats.
_PEERS = {
    "firedrake_naive": ("Firedrake, solve(a == L, u) in every step", ("firedrake",), (1, 1), 3),
    "firedrake_built_once": (
        "Firedrake, one LinearVariationalSolver for each system",
        ("firedrake",),
        (2, 2),
        5,
    ),
    "scikit_fem": (
        "scikit-fem matrices assembled once, splu once for each system",
        ("scikit-fem", "scipy"),
        (10, 4),
        5,
    ),
}


def rows() -> list[Row]:
    """Return the rows of the bar and of the cantilever."""
    return [
        Row(
            name=f"{_WORK[dimension][0]}/{name}",
            work=_WORK[dimension][1],
            peer=words,
            packages=packages,
            target=10.0 if name == "firedrake_naive" else 1.0,
            prepare=functools.partial(_contest, dimension, name, few[dimension - 1], repeats),
        )
        for dimension in (1, 2)
        for name, (words, packages, few, repeats) in _PEERS.items()
    ]


@functools.cache
def _model(dimension: int) -> Elastodynamics:
    sensors = Sensors(positions=_PLACES[:, :dimension].tolist())
    return Section(kind="elastodynamics", dimension=dimension, sensors=sensors).model(0)


def _contest(dimension: int, peer: str, few: int, repeats: int) -> Contest:
    model = _model(dimension)
    normal = generator(0, f"benchmarks/elastodynamics/{dimension}").standard_normal
    z = np.exp(0.3 * normal((_SYSTEMS[dimension], 2))) * [1.0, 0.2]
    solve = getattr(peers, peer)(model)
    return Contest(
        ours=lambda: model.solve(z).observations,
        peer=lambda: solve(z[:few]),
        ours_units=len(z),
        peer_units=few,
        tolerance=1e-9,
        repeats=repeats,
    )
