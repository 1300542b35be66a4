"""From the ``law`` and ``noise`` sections of a checked configuration to laws and noise models."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from popinv.config.law import flat_values
from popinv.forward.base import Observations
from popinv.forward.build import Section, parameters
from popinv.population.fields import LevelSetLaw, MaternLaw
from popinv.population.laws import Law, LognormalLaw, NormalLaw, ProductLaw
from popinv.population.noise import DiagonalNoise, IsotropicNoise, KernelNoise, NoiseModel

__all__ = ["law", "law_spread", "law_values", "noise"]


def law(section: Section, forward: Section) -> Law:
    """Return the law of the ``law`` section for the parameters of the forward model."""
    kind = section["kind"]
    if kind == "matern_field":
        of_field = MaternLaw(forward["dimension"], forward["modes"], section["smoothness"])
        beside = tuple(section["start"].get("beside", ()))
        return ProductLaw(of_field, LognormalLaw(beside)) if beside else of_field
    if kind == "level_set_field":
        return LevelSetLaw(forward["dimension"], forward["modes"])
    names = [parameter.name for parameter in parameters(forward)]
    return NormalLaw(names) if kind == "normal" else LognormalLaw(names)


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


def noise(section: Section, observations: Observations) -> NoiseModel:
    """Return the noise model of the ``noise`` section for the observations' places."""
    if section["kind"] == "isotropic":
        return IsotropicNoise(len(observations))
    if section["kind"] == "diagonal":
        return DiagonalNoise(len(observations))
    return KernelNoise(observations.coordinates, section["kernel"], section["nugget"])
