"""The records of all methods, by the keys that request them.

The methods of this package come first. Others are found by entry points of the group
``popinv.methods``, each of which names a :class:`~popinv.methods.method.Method` or a
:class:`~popinv.methods.method.House` of several.
"""

from __future__ import annotations

from importlib import import_module

from popinv.errors import ConfigError
from popinv.houses import METHODS as GROUP
from popinv.houses import installed
from popinv.methods.method import House, Method

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


def _installed() -> tuple[House, ...]:
    """Return the methods of other packages."""
    found = installed(GROUP, Method, House)
    return tuple(House((each,)) if isinstance(each, Method) else each for each in found)


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


HOUSES = (_own(), *_installed())
METHODS = _by_name(HOUSES)
"""The record of each method, by name."""
