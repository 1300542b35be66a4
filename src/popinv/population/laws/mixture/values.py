"""The values of a mixture: as people write them, and as alpha holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Components(NamedTuple):
    """The components of a mixture.

    Attributes
    ----------
    weights : ndarray of shape (K,)
    means, deviations : ndarray of shape (K, d)
    """

    weights: np.ndarray
    means: np.ndarray
    deviations: np.ndarray

    def natural(self, leader: int) -> np.ndarray:
        """Return the law's natural values; the means of parameter ``leader`` must increase.

        The weight of component k is divided by that of the components k, ..., K. The means of the
        leader are replaced by their increments after the first component.
        """
        left = np.cumsum(self.weights[::-1])[::-1]
        means = self.means.copy()
        means[1:, leader] = np.diff(self.means[:, leader])
        shares = (self.weights / left)[:-1]
        return np.concatenate([shares, means.ravel(), self.deviations.ravel()])


def component_name(k: int) -> str:
    """Return the name of component k, counted from 0: ``component_1`` is the first."""
    return f"component_{k + 1}"


def value_names(parameters: Sequence[str], count: int, leader: int) -> tuple[str, ...]:
    """Return the names of a mixture's natural values, in the order of alpha.

    Examples
    --------
    >>> value_names(["a"], 2, 0)[:3]
    ('component_1_weight', 'component_1_a_mean', 'component_2_a_mean_increment')
    """
    components = [component_name(k) for k in range(count)]
    means = [
        f"{component}_{name}_mean{'_increment' if k and i == leader else ''}"
        for k, component in enumerate(components)
        for i, name in enumerate(parameters)
    ]
    deviations = [f"{each}_{name}_standard_deviation" for each in components for name in parameters]
    weights = [f"{each}_weight{'_of_rest' if k else ''}" for k, each in enumerate(components[:-1])]
    return (*weights, *means, *deviations)
