"""What porous flow is asked and answers, known without its solver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from popinv.forward.base import Observations, Parameter
from popinv.forward.fields import CosineField, LevelSetField
from popinv.forward.sensors import sensors

__all__ = ["field", "observed", "parameters", "pressure"]

Section = Mapping[str, Any]


def field(forward: Section) -> CosineField | LevelSetField:
    """Return the log-permeability field that the parameters describe."""
    if forward["field"] == "cosine":
        return CosineField(forward["dimension"], forward["modes"])
    return LevelSetField(forward["dimension"], forward["modes"], forward["sharpness"])


def parameters(forward: Section) -> tuple[Parameter, ...]:
    """Return the entries of z: those of the field."""
    return field(forward).parameters


def pressure(places: np.ndarray) -> Observations:
    """Describe the pressure at places of shape (n_places, dimension)."""
    return Observations(
        coordinates=places,
        coordinate_names=("x", "y")[: places.shape[1]],
        name="u",
        long_name="pressure",
    )


def observed(forward: Section, seed: int) -> Observations:
    """Return what is observed: the pressure at the sensors."""
    return pressure(sensors(forward, seed))
