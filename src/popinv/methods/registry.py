"""The records of all methods, by the keys that request them.

The methods of this package come first. Others are found by entry points of the group
``popinv.methods``, each of which names a :class:`~popinv.methods.method.Method` or a
:class:`~popinv.methods.method.House` of several.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from popinv.errors import ConfigError
from popinv.methods.method import House, Method

GROUP = "popinv.methods"
_OWN = (
    "withdrawal",
    "posterior",
    "law_posterior",
    "groups",
    "restarts",
    "federated",
    "certificate",
)


def _own() -> House:
    """Return the methods of this package."""
    return House(tuple(import_module(f"popinv.methods.{name}.method").METHOD for name in _OWN))


def _loaded(point: EntryPoint) -> House:
    """Return the object that an entry point names.

    Raises
    ------
    ConfigError
        If it cannot be imported, or is no method.
    """
    told = f"the entry point '{point.name} = {point.value}' of the group {GROUP}"
    try:
        found = point.load()
    except Exception as error:  # the module is somebody else's
        raise ConfigError(
            f"{told} cannot be imported ({type(error).__name__}: {error}); repair or uninstall "
            "the package that declares it"
        ) from error
    if isinstance(found, Method):
        return House((found,))
    if not isinstance(found, House):
        raise ConfigError(
            f"{told} is a {type(found).__name__}; it must be a Method or a House of "
            "popinv.methods.method"
        )
    return found


def _by_name(houses: tuple[House, ...]) -> dict[str, Method]:
    records: dict[str, Method] = {}
    for record in (method for house in houses for method in house.methods):
        other = records.setdefault(record.name, record)
        if other is not record:
            raise ConfigError(
                f"two methods are called '{record.name}': of {other.package} and of "
                f"{record.package}; uninstall one of these packages"
            )
    return records


HOUSES = (_own(), *map(_loaded, sorted(entry_points(group=GROUP), key=lambda point: point.name)))
METHODS = _by_name(HOUSES)
"""The record of each method, by name."""
PACKAGES = tuple(dict.fromkeys(record.package.partition(".")[0] for record in METHODS.values()))
"""The packages that hold methods."""
