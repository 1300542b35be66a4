"""Packages that add to this one, found by entry points.

Each entry point of a group names a record, of what a package adds: methods, or forward models.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from popinv.errors import ConfigError

METHODS, MODELS = "popinv.methods", "popinv.models"
"""The groups of entry points."""


def installed(group: str, *records: type) -> tuple[Any, ...]:
    """Return what the entry points of a group name, by the names of these.

    Parameters
    ----------
    *records : type
        What they may name.

    Raises
    ------
    ConfigError
        If one cannot be imported, or names something else.
    """
    points = sorted(entry_points(group=group), key=lambda point: point.name)
    return tuple(_loaded(point, records) for point in points)


def _loaded(point: EntryPoint, records: tuple[type, ...]) -> Any:
    told = f"the entry point '{point.name} = {point.value}' of the group {point.group}"
    try:
        found = point.load()
    except Exception as error:  # the module is somebody else's
        raise ConfigError(
            f"{told} cannot be imported ({type(error).__name__}: {error}); repair or uninstall "
            "the package that declares it"
        ) from error
    if not isinstance(found, records):
        allowed = " or a ".join(record.__name__ for record in records)
        raise ConfigError(
            f"{told} is a {type(found).__name__}; it must be a {allowed} of {records[0].__module__}"
        )
    return found


@cache
def packages() -> frozenset[str]:
    """Return the names of this package and of those that add to it."""
    points = (point for group in (METHODS, MODELS) for point in entry_points(group=group))
    return frozenset({__package__, *(point.module.partition(".")[0] for point in points)})
