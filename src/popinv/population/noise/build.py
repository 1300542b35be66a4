"""Construction of the noise model from the section ``noise``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from popinv.forward.base import Observations
from popinv.population.noise.base import NoiseModel
from popinv.population.noise.section import NoiseSection, noise_section

__all__ = ["noise"]


def noise(section: NoiseSection | Mapping[str, Any], observations: Observations) -> NoiseModel:
    """Return the noise model of a ``noise`` section for the observations' places and times.

    Raises
    ------
    ConfigError
        If noise in time is asked for where the times are not regular.
    """
    return noise_section(section).noise(observations)
