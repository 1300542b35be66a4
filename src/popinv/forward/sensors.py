"""Places of the sensors, from the ``sensors`` key of a forward model's section."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from popinv.seeds import generator

__all__ = ["sensors"]


def sensors(forward: Mapping[str, Any], seed: int) -> np.ndarray:
    """Return the places of the sensors, shape (count, dimension)."""
    given, dimension = forward["sensors"], forward["dimension"]
    if given["placement"] == "given":
        return np.array(given["positions"], dtype=float).reshape(given["count"], dimension)
    if given["placement"] == "random":
        places = generator(seed, "sensors").uniform(size=(given["count"], dimension))
        return places[np.lexsort(places.T[::-1])]
    side = round(given["count"] ** (1 / dimension))
    line = (np.arange(side) + 0.5) / side
    return np.array(list(itertools.product(line, repeat=dimension)))
