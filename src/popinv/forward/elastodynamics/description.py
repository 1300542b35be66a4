"""What elastodynamics is asked and answers, known without its solver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from popinv.forward.base import Observations, Parameter
from popinv.forward.fields import CosineField
from popinv.forward.sensors import sensors

__all__ = [
    "displacement",
    "field",
    "observation_times",
    "observed",
    "parameters",
    "stiffness_and_damping",
    "stiffness_field",
]

Section = Mapping[str, Any]

_DAMPING = Parameter("damping", long_name="mass-proportional damping")
_STIFFNESS = Parameter("stiffness", long_name="Young's modulus")


def stiffness_field(dimension: int, modes: int) -> CosineField:
    """Return the field of the logarithm of Young's modulus."""
    return CosineField(dimension, modes, quantity="logarithm of the stiffness")


def field(forward: Section) -> CosineField | None:
    """Return the field that the first parameters describe, None for a uniform stiffness."""
    if forward["field"] == "none":
        return None
    return stiffness_field(forward["dimension"], forward["modes"])


def stiffness_and_damping(found: CosineField | None) -> tuple[Parameter, ...]:
    """Return the entries of z: stiffness, or the parameters of its field, and damping."""
    return (*(found.parameters if found else (_STIFFNESS,)), _DAMPING)


def parameters(forward: Section) -> tuple[Parameter, ...]:
    """Return the entries of z."""
    return stiffness_and_damping(field(forward))


def observation_times(duration: float, times: int) -> np.ndarray:
    """Return the observation times, k duration / times for k = 1, ..., times."""
    return duration * np.arange(1, times + 1) / times


def displacement(places: np.ndarray, height: float, times: np.ndarray) -> Observations:
    """Describe the displacement at places, given by fractions of length and height, and times.

    Parameters
    ----------
    places : ndarray of shape (n_places, dimension)
    height : float
        Of the cantilever; of no meaning in one dimension.
    times : ndarray of shape (n_t,)

    Returns
    -------
    Observations
        Of the places in turn, each at all times.
    """
    dimension = places.shape[1]
    scaled = places * np.array([1.0, height])[:dimension]
    return Observations(
        coordinates=np.column_stack(
            [np.repeat(scaled, len(times), axis=0), np.tile(times, len(scaled))]
        ),
        coordinate_names=(*("x", "y")[:dimension], "t"),
        name="u" if dimension == 1 else "u_y",
        long_name="displacement" if dimension == 1 else "transverse displacement",
    )


def observed(forward: Section, seed: int) -> Observations:
    """Return what is observed: the displacement at the sensors and times."""
    times = observation_times(forward["duration"], forward["times"])
    return displacement(sensors(forward, seed), forward["height"], times)
