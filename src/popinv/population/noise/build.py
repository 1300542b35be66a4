"""From the ``noise`` section of a checked configuration to the noise model."""

from __future__ import annotations

from importlib import import_module

from popinv.forward.base import Observations
from popinv.forward.build import Section
from popinv.population.noise.base import NoiseModel

__all__ = ["noise"]


def noise(section: Section, observations: Observations) -> NoiseModel:
    """Return the noise model of a ``noise`` section for the observations' places and times.

    Raises
    ------
    ConfigError
        If noise in time is asked for where the times are not regular.
    """
    family = import_module(f"popinv.population.noise.{section['kind']}")
    model: NoiseModel = family.noise(section, observations)
    return model
