"""What a simulator of one's own is asked and answers, as the configuration describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from popinv.forward.base import Observations, Parameter

__all__ = ["field", "observed", "parameters"]

Section = Mapping[str, Any]


def field(forward: Section) -> None:
    """Return None: the parameters of an unknown simulator describe no field."""


def parameters(forward: Section) -> tuple[Parameter, ...]:
    """Return the entries of z, with the names and units given."""
    return tuple(Parameter(**parameter) for parameter in forward["parameters"])


def observed(forward: Section, seed: int) -> Observations:
    """Return what is observed: entries at places, and times that run fastest.

    Parameters
    ----------
    forward : mapping
        The checked section.
    seed : int
        Not used: the places are given.

    Returns
    -------
    Observations
        Of d_y = count * (number of times) entries. Without coordinates a place is the number of
        the entry; where there is one place only, its number is left out beside the times.
    """
    given = forward["observations"]
    count, times = given["count"], given["times"]
    columns = {name: np.asarray(column, float) for name, column in given["coordinates"].items()}
    if not columns and (times is None or count > 1):
        columns["entry"] = np.arange(float(count))
    labels = list(given["labels"])
    if times is not None:
        columns = {name: np.repeat(column, len(times)) for name, column in columns.items()}
        columns["t"] = np.tile(np.asarray(times, float), count)
        labels = [label for label in labels for _ in times]
    return Observations(
        coordinates=np.column_stack(list(columns.values())),
        coordinate_names=tuple(columns),
        name=given["name"],
        units=given["units"],
        long_name=given["long_name"],
        coordinate_units=given["coordinate_units"],
        labels=labels,
    )
