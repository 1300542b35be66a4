"""From the ``forward`` section of a checked configuration to the forward model.

Sections are plain mappings with every default filled in, as
:func:`popinv.config.loading.as_mapping` returns them. A forward model is imported only where one
is built, so that the other stages start without its solver.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from popinv.forward.base import ForwardModel, Observations
from popinv.forward.fields import CosineField, LevelSetField
from popinv.seeds import generator

__all__ = ["Section", "forward_field", "forward_model", "observed", "sensors"]

Section = Mapping[str, Any]


def sensors(forward: Section, seed: int) -> np.ndarray:
    """Return the places of the sensors, shape (d_y, dimension)."""
    given, dimension = forward["sensors"], forward["dimension"]
    if given["placement"] == "given":
        return np.array(given["positions"], dtype=float).reshape(given["count"], dimension)
    if given["placement"] == "random":
        places = generator(seed, "sensors").uniform(size=(given["count"], dimension))
        return places[np.lexsort(places.T[::-1])]
    side = round(given["count"] ** (1 / dimension))
    line = (np.arange(side) + 0.5) / side
    return np.array(list(itertools.product(line, repeat=dimension)))


def forward_model(forward: Section, seed: int) -> ForwardModel:
    """Return the forward model of the ``forward`` section."""
    from popinv.forward.porous_flow import PorousFlow

    return PorousFlow(
        sensors(forward, seed),
        **{key: forward[key] for key in forward if key not in ("kind", "sensors")},
    )


def forward_field(forward: Section) -> CosineField | LevelSetField:
    """Return the log-permeability field that the forward model's parameters describe."""
    if forward["field"] == "cosine":
        return CosineField(forward["dimension"], forward["modes"])
    return LevelSetField(forward["dimension"], forward["modes"], forward["sharpness"])


def observed(forward: Section, seed: int) -> Observations:
    """Return what is observed, without building the solver."""
    dimension = forward["dimension"]
    return Observations(
        coordinates=sensors(forward, seed),
        coordinate_names=("x", "y")[:dimension],
        name="u",
        units="1",
        long_name="pressure",
        coordinate_units="1",
    )
