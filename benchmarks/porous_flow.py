"""Porous medium flow: a batch of systems beside three ways of solving them one by one.

All run from z to the observations on the same mesh with the same elements. The field is evaluated
for the whole batch at once on every side, and what does not depend on z is built beforehand.
"""

from __future__ import annotations

import functools

from benchmarks.peers import porous_flow as peers
from benchmarks.rows import Contest, Row
from popinv.forward.sensors import Sensors
from popinv.seeds import generator
from popinv_models.porous_flow.model import PorousFlowModel
from popinv_models.porous_flow.section import PorousFlow as Section

__all__ = ["model", "rows"]

# Peers solve fewer systems, so that all sides take about equally long.
_SYSTEMS = {1: 5000, 2: 200}
_PEERS = {
    "firedrake_naive": ("Firedrake, a loop of solve(a == L, u)", ("firedrake",), {1: 40, 2: 20}),
    "firedrake_built_once": (
        "Firedrake, one LinearVariationalSolver",
        ("firedrake",),
        {1: 400, 2: 100},
    ),
    "scikit_fem": (
        "scikit-fem, assemble and solve, bases built once",
        ("scikit-fem", "scipy"),
        {1: 200, 2: 40},
    ),
}
_TARGETS = {
    1: {"firedrake_naive": 150.0, "firedrake_built_once": 10.0, "scikit_fem": 10.0},
    2: {"firedrake_naive": 15.0, "firedrake_built_once": 1.5, "scikit_fem": 1.5},
}
_SIZES = {1: "200 elements", 2: "32 x 32 squares"}
# Groups of rows by the field of the permeability.
_GROUPS = {
    "cosine": ("porous_flow", "porous system"),
    "level_set": ("level_set", "porous system of two materials"),
}


def rows() -> list[Row]:
    """Return the rows of both fields in both dimensions."""
    return [
        Row(
            name=f"{group}_{dimension}d/{name}",
            work=f"solving one {system} in {dimension}-D, {_SIZES[dimension]}, 50 sensors",
            peer=words,
            packages=packages,
            target=_TARGETS[dimension][name],
            prepare=functools.partial(_contest, field, dimension, name, few[dimension]),
        )
        for field, (group, system) in _GROUPS.items()
        for dimension in (1, 2)
        for name, (words, packages, few) in _PEERS.items()
    ]


@functools.cache
def model(field: str, dimension: int) -> PorousFlowModel:
    """Return the package's model with 50 sensors."""
    rng = generator(0, f"benchmarks/porous_flow/{dimension}/sensors")
    sensors = Sensors(positions=rng.uniform(0.05, 0.95, (50, dimension)).tolist())
    keys = {"kind": "porous_flow", "dimension": dimension, "field": field}
    section = Section.model_validate({**keys, "sensors": sensors})
    return PorousFlowModel(section, 0)


def _contest(field: str, dimension: int, peer: str, few: int) -> Contest:
    ours = model(field, dimension)
    rng = generator(0, f"benchmarks/porous_flow/{dimension}/z")
    z = 0.3 * rng.standard_normal((_SYSTEMS[dimension], len(ours.parameters)))
    solve = getattr(peers, peer)(dimension, ours.elements, ours.sensors, ours.field)
    return Contest(
        ours=lambda: ours.solve(z).observations,
        peer=lambda: solve(z[:few]),
        ours_units=len(z),
        peer_units=few,
        tolerance=1e-9,
    )
