"""From the ``law`` section of a checked configuration to the law of the parameters."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from popinv.forward.build import Section
from popinv.population.laws.base import Law

__all__ = ["flat_values", "law", "law_spread", "law_values"]


def law(section: Section, forward: Section) -> Law:
    """Return the law of the ``law`` section for the parameters of the forward model."""
    of_kind: Law = import_module(f"popinv.population.laws.{section['kind']}").law(section, forward)
    beside = tuple(section["start"].get("beside", ()))
    if not beside:
        return of_kind
    from popinv.population.laws.lognormal import LognormalLaw
    from popinv.population.laws.product import ProductLaw

    return ProductLaw(of_kind, LognormalLaw(beside))


def law_values(section: Section, values: Section, forward: Section) -> np.ndarray:
    """Return unconstrained alpha for ``law.start`` or ``observations.truth.law``."""
    return law(section, forward).from_natural(flat_values(values))


def law_spread(section: Section, forward: Section) -> np.ndarray:
    """Return the first design's standard deviation of each entry of alpha."""
    names, spread = law(section, forward).names, section["spread"]
    if not isinstance(spread, Mapping):
        return np.full(len(names), float(spread))
    # Laws of named parameters have one spread for a parameter's mean and deviation.
    each = {**spread}
    for name, value in spread.items():
        each[f"{name}_mean"] = each[f"{name}_standard_deviation"] = value
    return np.array([float(each[name]) for name in names])


def flat_values(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the values of a law by the names of its parameters.

    Laws of named parameters nest their values by parameter in the file; the others are flat.

    Parameters
    ----------
    values : mapping
        ``law.start`` or ``observations.truth.law``, as JSON types.

    Examples
    --------
    >>> flat_values({"mode_1": {"mean": 0.0, "standard_deviation": 2.0}})
    {'mode_1_mean': 0.0, 'mode_1_standard_deviation': 2.0}
    """
    flat: dict[str, float] = {}
    for name, value in values.items():
        if name == "beside":
            flat.update(flat_values(value))
        elif isinstance(value, Mapping):
            flat.update({f"{name}_{key}": number for key, number in value.items()})
        else:
            flat[name] = value
    return flat
