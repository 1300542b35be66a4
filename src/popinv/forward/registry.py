"""The kinds of forward models, and the packages that hold them.

Some are of this package. Others are found by entry points of the group ``popinv.models``, each of
which names a :class:`~popinv.forward.house.ModelHouse`. A kind is imported where it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable

from popinv.errors import ConfigError
from popinv.forward.house import ModelHouse
from popinv.houses import MODELS, installed


def _by_kind(houses: Iterable[ModelHouse]) -> dict[str, str]:
    packages: dict[str, str] = {}
    for house in houses:
        for kind in house.kinds:
            package = f"{house.package}.{kind}"
            other = packages.setdefault(kind, package)
            if other != package:
                raise ConfigError(
                    f"two forward models are called '{kind}': {other} and {package}; uninstall "
                    "one of these packages"
                )
    return dict(sorted(packages.items()))


HOUSES: tuple[ModelHouse, ...] = (
    ModelHouse("popinv.forward", ("executable", "python", "umbridge")),
    *installed(MODELS, ModelHouse),
)
PACKAGES = _by_kind(HOUSES)
"""The package of each kind, sorted by name."""
DEPENDS = tuple(package for house in HOUSES for package in house.depends)
"""The installed packages on which solves depend, whose versions a study records."""
