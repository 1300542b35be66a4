"""From the ``law`` and ``noise`` sections of a checked configuration to laws and noise models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from popinv.errors import ConfigError
from popinv.forward.base import Observations
from popinv.forward.build import Section, parameters
from popinv.population.fields import LevelSetLaw, MaternLaw
from popinv.population.laws import Law, LognormalLaw, NormalLaw, ProductLaw
from popinv.population.noise import (
    KERNELS,
    AutoregressiveNoise,
    BlockNoise,
    DiagonalNoise,
    FullNoise,
    IsotropicNoise,
    KernelNoise,
    NoiseModel,
)

__all__ = ["flat_values", "law", "law_spread", "law_values", "noise", "true_noise"]


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
    """Return the noise model of the ``noise`` section for the observations' places and times.

    Raises
    ------
    ConfigError
        If noise in time is asked for where the times are not regular.
    """
    kind = section["kind"]
    if kind in ("isotropic", "diagonal"):
        return _uncorrelated(kind, len(observations))
    if kind == "kernel":
        return KernelNoise(observations.coordinates, section["kernel"], section["nugget"])
    if kind == "full":
        return FullNoise(len(observations), section["shrinkage"])
    times = _regular_times(kind, observations)
    places = len(observations) // times
    if kind == "autoregressive":
        return AutoregressiveNoise(places, times, section["order"])
    of_places = section["places"]
    if of_places in KERNELS:
        over_places: NoiseModel = KernelNoise(observations.coordinates[::times, :-1], of_places)
    elif of_places == "full":
        over_places = FullNoise(places)
    else:
        over_places = _uncorrelated(of_places, places)
    return BlockNoise(over_places, times, section["order"])


def true_noise(section: Section, truth: Section, observations: Observations) -> NoiseModel:
    """Return the noise model that a synthetic truth comes from.

    Parameters
    ----------
    section : mapping
        The study's ``noise``, which holds where the truth names no other.
    truth : mapping
        ``observations.truth``.
    observations : Observations
    """
    return noise(truth.get("noise_model") or section, observations)


def _uncorrelated(kind: str, count: int) -> NoiseModel:
    return IsotropicNoise(count) if kind == "isotropic" else DiagonalNoise(count)


def _regular_times(kind: str, observations: Observations) -> int:
    """Return the number of times; they are checked to be the same and regular at every place."""
    names, coordinates = observations.coordinate_names, observations.coordinates
    if names[-1] != "t":
        raise ConfigError(
            f"noise.kind: got '{kind}', which is correlated in time, but the observations have "
            f"no time: their coordinates are {', '.join(names)}."
        )
    count = len(np.unique(coordinates[:, -1]))
    at_places = coordinates[:, -1].reshape(-1, count) if len(coordinates) % count == 0 else None
    steps = np.diff(coordinates[:count, -1])
    # Times are sums and products of decimal numbers, regular to a few units of rounding.
    alike = at_places is not None and np.array_equal(at_places, at_places[:1] + 0 * at_places)
    if not alike or count < 2 or not np.allclose(steps, steps[0], rtol=1e-6, atol=0):
        raise ConfigError(
            f"noise.kind: got '{kind}', which needs at least two equally spaced times, the same "
            "at every place and fastest in the order of the observations."
        )
    return count


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
