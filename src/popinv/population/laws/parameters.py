"""Names and natural values of the parameters of laws, which sections share with what computes.

Sections name the parameters without importing what computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FORMS = ("linear", "quadratic", "cubic", "scale")
"""The coefficients of the dependence of one parameter of a free-form law on another."""

# What each level of a law has of its own.
_OF_LEVELS = ("_standard_deviation", "_correlation")


def coefficient_names(
    effects: Sequence[tuple[str, str]], scale_effects: Sequence[tuple[str, str]]
) -> tuple[str, ...]:
    """Return the names of the coefficients of covariates.

    Parameters
    ----------
    effects, scale_effects : sequence of (str, str)
        Pairs of a parameter and a covariate that its mean, or its deviation, depends on.

    Examples
    --------
    >>> coefficient_names([("volume", "weight")], [("volume", "age")])
    ('volume_weight_coefficient', 'volume_age_scale_coefficient')
    """
    return (
        *(f"{name}_{covariate}_coefficient" for name, covariate in effects),
        *(f"{name}_{covariate}_scale_coefficient" for name, covariate in scale_effects),
    )


def correlation_names(groups: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the names of the correlations within groups of parameters.

    In each group they have the order of the entries below the diagonal of its matrix, row by row.

    Examples
    --------
    >>> correlation_names(["abc"])
    ('a_b_correlation', 'a_c_correlation', 'b_c_correlation')
    """
    return tuple(
        f"{group[j]}_{group[i]}_correlation"
        for group in groups
        for i in range(1, len(group))
        for j in range(i)
    )


def level_name(name: str, level: str) -> str:
    """Return the name of a deviation or a correlation at a level.

    Examples
    --------
    >>> level_name("volume_standard_deviation", "batch")
    'volume_batch_standard_deviation'
    """
    ending = next(end for end in _OF_LEVELS if name.endswith(end))
    return f"{name.removesuffix(ending)}_{level}{ending}"


def without_level(name: str, levels: Sequence[str]) -> tuple[str, str]:
    """Return a name without its level, and the level; "" if it has none.

    Examples
    --------
    >>> without_level("volume_batch_standard_deviation", ["batch", "specimen"])
    ('volume_standard_deviation', 'batch')
    """
    for level in levels:
        for ending in _OF_LEVELS:
            if name.endswith(f"_{level}{ending}"):
                return name.removesuffix(f"_{level}{ending}") + ending, level
    return name, ""


def correlations_at(groups: Sequence[Sequence[str]], varying: Sequence[str]) -> list[list[str]]:
    """Return the groups of correlated parameters among those that vary at a level.

    Examples
    --------
    >>> correlations_at([["a", "b", "c"]], ["c", "a"])
    [['a', 'c']]
    """
    within = [[name for name in group if name in varying] for group in groups]
    return [group for group in within if len(group) > 1]


def shape_names(
    ordered: Sequence[str], each: int, pairs: Sequence[tuple[str, str]]
) -> tuple[str, ...]:
    """Return the names of the coefficients of shapes and of dependence.

    Parameters
    ----------
    ordered : sequence of str
        The parameters in the order of the map.
    each : int
        Number of coefficients of each shape.
    pairs : sequence of (str, str)
        A parameter, and one before it that it depends on.

    Examples
    --------
    >>> shape_names("ab", 1, ["ba"])[:3]
    ('a_shape_1', 'b_shape_1', 'b_on_a_linear')
    """
    shapes = [f"{name}_shape_{i + 1}" for name in ordered for i in range(each)]
    on = [f"{one}_on_{other}_{form}" for one, other in pairs for form in FORMS]
    return (*shapes, *on)


def free_form_names(
    parameters: Sequence[str],
    ordered: Sequence[str],
    each: int,
    pairs: Sequence[tuple[str, str]],
) -> tuple[str, ...]:
    """Return the names of all values: moments, then :func:`shape_names`."""
    return (
        *(f"{name}_mean" for name in parameters),
        *(f"{name}_standard_deviation" for name in parameters),
        *shape_names(ordered, each, pairs),
    )


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

        The weight of component k is divided by the weight of the components k, ..., K. The means of
        the leader are replaced by their increments after the first component.
        """
        left = np.cumsum(self.weights[::-1])[::-1]
        means = self.means.copy()
        means[1:, leader] = np.diff(self.means[:, leader])
        shares = (self.weights / left)[:-1]
        return np.concatenate([shares, means.ravel(), self.deviations.ravel()])


def component_name(k: int) -> str:
    """Return the name of component k, counted from 0: ``component_1`` is the first."""
    return f"component_{k + 1}"


def mixture_names(parameters: Sequence[str], count: int, leader: int) -> tuple[str, ...]:
    """Return the names of a mixture's natural values, in the order of alpha.

    Examples
    --------
    >>> mixture_names(["a"], 2, 0)[:3]
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
