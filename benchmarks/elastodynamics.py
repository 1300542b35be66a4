"""Damped vibration: a batch of systems beside three ways of marching through them one by one.

All run Newmark's method on the same mesh with the same elements and time step, from z to the
observations.
"""

from __future__ import annotations

import functools

import numpy as np

from benchmarks.peers import elastodynamics as peers
from benchmarks.rows import Contest, Row
from popinv.forward.sensors import Sensors
from popinv.seeds import generator
from popinv_models.elastodynamics.model import ElastodynamicsModel
from popinv_models.elastodynamics.section import Elastodynamics as Section

__all__ = ["rows"]

_PLACES = np.array([[0.3, 0.5], [0.6, 0.5], [0.9, 0.5]])
_WORK = {
    ("none", 1): ("elastic_bar", "one elastic bar, 100 elements, 800 steps, 60 observations"),
    ("none", 2): (
        "plane_strain",
        "one cantilever in plane strain, 720 unknowns, 400 steps, 60 observations",
    ),
    ("cosine", 1): (
        "elastic_bar_field",
        "one elastic bar of varying stiffness, 100 elements, 800 steps, 60 observations",
    ),
    ("cosine", 2): (
        "plane_strain_field",
        "one cantilever of varying stiffness, 720 unknowns, 400 steps, 60 observations",
    ),
}
_SYSTEMS = {("none", 1): 5000, ("none", 2): 1000, ("cosine", 1): 200, ("cosine", 2): 10}
# The peers: words, distributions, systems in a call by dimension, repeats.
_PEERS = {
    "firedrake_naive": (
        "Firedrake, solve(a == L, u) in every step",
        ("firedrake",),
        {1: 1, 2: 1},
        3,
    ),
    "firedrake_built_once": (
        "Firedrake, one LinearVariationalSolver for each system",
        ("firedrake",),
        {1: 2, 2: 2},
        5,
    ),
    "scikit_fem": (
        "scikit-fem matrices assembled once, splu once for each system",
        ("scikit-fem", "scipy"),
        {1: 10, 2: 4},
        5,
    ),
    "scikit_fem_field": (
        "scikit-fem stiffness and splu for each system",
        ("scikit-fem", "scipy"),
        {1: 10, 2: 4},
        5,
    ),
}
# The ratios aimed at, by row.
_TARGETS = {
    "elastic_bar/scikit_fem": 10.0,
    "plane_strain/scikit_fem": 4.0,
    "elastic_bar/firedrake_naive": 10.0,
    "plane_strain/firedrake_naive": 10.0,
}


def rows() -> list[Row]:
    """Return the rows of the bar and of the cantilever."""
    return [
        _row(field, dimension, name)
        for field, dimension in _WORK
        for name in _PEERS
        if (name == "scikit_fem_field") == (field == "cosine")
    ]


def _row(field: str, dimension: int, name: str) -> Row:
    group, work = _WORK[field, dimension]
    words, packages, few, repeats = _PEERS[name]
    full = f"{group}/{name.removesuffix('_field')}"
    return Row(
        name=full,
        work=work,
        peer=words,
        packages=packages,
        target=_TARGETS.get(full, 1.0),
        prepare=functools.partial(_contest, field, dimension, name, few[dimension], repeats),
    )


@functools.cache
def _model(field: str, dimension: int) -> ElastodynamicsModel:
    sensors = Sensors(positions=_PLACES[:, :dimension].tolist())
    keys = {"kind": "elastodynamics", "dimension": dimension, "field": field}
    model = Section.model_validate({**keys, "sensors": sensors}).model(0)
    assert isinstance(model, ElastodynamicsModel)
    return model


def _contest(field: str, dimension: int, peer: str, few: int, repeats: int) -> Contest:
    model = _model(field, dimension)
    normal = generator(0, f"benchmarks/elastodynamics/{dimension}").standard_normal
    z = 0.3 * normal((_SYSTEMS[field, dimension], len(model.parameters)))
    if model.field is None:
        z = np.exp(z)
    else:
        z[:, -1] = np.exp(z[:, -1])
    z[:, -1] *= 0.2
    solve = getattr(peers, peer)(model)
    return Contest(
        ours=lambda: model.solve(z).observations,
        peer=lambda: solve(z[:few]),
        ours_units=len(z),
        peer_units=few,
        tolerance=1e-9,
        repeats=repeats,
    )
