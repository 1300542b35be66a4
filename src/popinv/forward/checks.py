"""Checks that forward models share: their arguments, and the rows of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from popinv.errors import ConfigError, DataError, nearest
from popinv.forward.base import Parameter, Solutions

__all__ = ["check", "check_choice", "checked_places", "checked_rows", "finished"]


def check(kind: str, key: str, value: Any, allowed: str, holds: bool) -> None:
    """Raise ConfigError unless the condition on an argument holds.

    Parameters
    ----------
    kind, key : str
        The forward model and its argument.
    value : object
        What was given.
    allowed : str
        What is allowed, to stand after "is".
    holds : bool
        Whether the value is allowed.
    """
    if not holds:
        raise ConfigError(f"{kind}: {key} is {allowed}, not {value!r}.")


def check_choice(kind: str, key: str, value: str, allowed: Sequence[str]) -> None:
    """Raise ConfigError, with the nearest name, unless an argument is one of a few names."""
    if value not in allowed:
        raise ConfigError(
            f"{kind}: {key} is one of {', '.join(allowed)}, not {value!r}."
            + nearest(str(value), allowed)
        )


def checked_places(kind: str, places: Any, dimension: int) -> np.ndarray:
    """Return the places of sensors as an array of shape (n_places, dimension).

    Parameters
    ----------
    kind : str
        The forward model, for messages.
    places : array_like of shape (n_places, dimension), or (n_places,) in one dimension
    dimension : int

    Raises
    ------
    ConfigError
        If they are not such numbers, or not strictly between 0 and 1.
    """
    try:
        places = np.array(places, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{kind}: sensors are not numbers: {error}") from error
    if dimension == 1 and places.ndim == 1:
        places = places[:, None]
    if places.ndim != 2 or places.shape[1] != dimension or len(places) == 0:
        raise ConfigError(f"{kind}: sensors have shape (d_y, {dimension}), not {places.shape}.")
    # Written so that NaN counts as outside.
    outside = ~np.all((places > 0) & (places < 1), axis=1)
    if np.any(outside):
        i = int(np.flatnonzero(outside)[0])
        raise ConfigError(
            f"{kind}: sensor {i} at {tuple(places[i].tolist())} is not strictly inside "
            f"(0, 1){'^2' if dimension == 2 else ''}"
            f" ({np.count_nonzero(outside)} such sensor(s) of {len(places)})."
        )
    return places


def checked_rows(
    kind: str, z: Any, parameters: Sequence[Parameter]
) -> tuple[np.ndarray, np.ndarray]:
    """Return z as a table of numbers, with a reason for each row that is not finite.

    Parameters
    ----------
    kind : str
        The forward model, for messages.
    z : array_like of shape (n, d_z)
    parameters : sequence of Parameter, length d_z

    Returns
    -------
    z : ndarray of float64, shape (n, d_z)
    reasons : ndarray of object, shape (n,)
        Empty strings where the row is finite.

    Raises
    ------
    DataError
        If z is not a table of numbers with d_z columns.
    """
    try:
        z = np.ascontiguousarray(z, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{kind}: z is not a table of numbers: {error}") from error
    width = len(parameters)
    if z.ndim != 2 or z.shape[1] != width:
        names = ", ".join(parameter.name for parameter in parameters[:4])
        raise DataError(
            f"{kind}: z has shape (n, {width}), not {z.shape}; its columns are {names}"
            + (", ..." if width > 4 else "")
        )
    reasons = np.full(len(z), "", dtype=object)
    bad = ~np.isfinite(z)
    for i in np.flatnonzero(bad.any(axis=1)):
        j = int(bad[i].argmax())
        reasons[i] = f"parameter '{parameters[j].name}' is {z[i, j]}"
    return z, reasons


def finished(values: np.ndarray, reasons: np.ndarray) -> Solutions:
    """Return the outcome of a batch, with every failed row NaN throughout.

    Parameters
    ----------
    values : ndarray of shape (n, d_y)
        Changed in place.
    reasons : ndarray of object, shape (n,)
        Changed in place: a row that is not finite and has no reason yet gets one.
    """
    for i in np.flatnonzero(~np.isfinite(values).all(axis=1)):
        reasons[i] = reasons[i] or "the solution is not finite"
    values[reasons != ""] = np.nan
    return Solutions(observations=values, reason=reasons.astype(str))
