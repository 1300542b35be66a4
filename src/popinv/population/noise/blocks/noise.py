r"""Noise that is correlated in place and in time, separably."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from popinv.population.noise.autoregressive.noise import (
    autoregressive_factor,
    correlation_names,
    kronecker,
    lags,
    toeplitz,
)
from popinv.population.noise.base import NoiseModel, NoiseValues


class BlockNoise(NoiseModel):
    r"""A covariance over places times a stationary autoregression in time.

    .. math:: \Gamma = S \otimes T(\pi_1, \ldots, \pi_p)

    with S any noise model over the places and T the correlation of
    :class:`~popinv.population.noise.autoregressive.AutoregressiveNoise`. The factor of a Kronecker
    product is that of the factors, so only S and T are factorised.

    gamma holds that of S, then atanh pi_1, ..., atanh pi_p. The standard deviation is that of S;
    correlations between places are called ``place_correlation_i_j``, and those in time
    ``time_correlation``, or ``time_partial_correlation_k``.

    Parameters
    ----------
    places : NoiseModel
        Noise of as many observations as there are places.
    times : int
        Number of equally spaced times at each place; they run fastest.
    order : int
        p, at least 1 and less than ``times``.

    Raises
    ------
    ValueError
        If the order does not fit the number of times.
    """

    def __init__(self, places: NoiseModel, times: int, order: int) -> None:
        if not 1 <= order < times:
            raise ValueError(f"order {order} does not fit {times} times: 1 to {times - 1}")
        self.places, self.times, self.d_y = places, times, places.d_y * times
        self._own_names = dict(zip(map(_renamed, places.names), places.names, strict=True))
        self._lags = correlation_names(order, "time_")
        self.names = (*self._own_names, *self._lags)
        self._of_places = len(places.names)

    @property
    def correlations(self) -> np.ndarray:
        """The parameters over the places, then those in time."""
        return np.concatenate([self.places.correlations, np.ones(len(self._lags), dtype=bool)])

    @property
    def scale(self) -> np.ndarray:
        """Natural size of a change, over the places and in time."""
        in_time = super().scale[self._of_places :]
        return np.concatenate([self.places.scale, in_time])

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return S (x) T, place-major."""
        over_places = self.places.covariance(gamma[: self._of_places])
        return kronecker(over_places, toeplitz(self._in_time(gamma)[:, 0]))

    def cholesky(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the Kronecker product of the factors of S and T."""
        return kronecker(self.places.cholesky(gamma[: self._of_places]), self._in_time(gamma))

    def sample(self, gamma: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """Map standard normal e (n, d_y) to noise (n, d_y): factor by factor."""
        in_blocks = e.reshape(-1, self.places.d_y, self.times)
        over_places = self.places.cholesky(gamma[: self._of_places])
        return (over_places @ in_blocks @ self._in_time(gamma).T).reshape(e.shape)

    def to_natural(self, gamma: np.ndarray) -> np.ndarray:
        """Return the natural values for unconstrained gamma of shape (..., n)."""
        gamma = np.asarray(gamma, dtype=float)
        over_places = self.places.to_natural(gamma[..., : self._of_places])
        return np.concatenate([over_places, np.tanh(gamma[..., self._of_places :])], axis=-1)

    def from_natural(self, values: NoiseValues) -> np.ndarray:
        """Return unconstrained gamma for named values.

        Raises
        ------
        ValueError
            If names or values do not fit.
        """
        natural = dict(zip(self.names, self._natural(values), strict=True))
        own = {name: natural[here] for here, name in self._own_names.items()}
        in_time = np.arctanh([natural[name] for name in self._lags])
        return np.concatenate([self.places.from_natural(own), in_time])

    def _in_time(self, gamma: torch.Tensor) -> torch.Tensor:
        return autoregressive_factor(gamma[self._of_places :], self.times)

    def _expand(self, values: NoiseValues) -> Mapping[str, Any]:
        if "time_correlation" not in values:
            return values
        rest = {key: value for key, value in values.items() if key != "time_correlation"}
        keys = {"place_correlation": "correlation"}
        if "amplitude" in self.places.names:
            keys["standard_deviation"] = "amplitude"
        own = self.places._expand({keys.get(key, key): value for key, value in rest.items()})
        named = {_renamed(name): value for name, value in own.items()}
        return {**named, **lags(values["time_correlation"], self._lags)}


def _renamed(name: str) -> str:
    """Return the name of a parameter over the places, distinct from those in time."""
    if name == "amplitude":
        return "standard_deviation"
    return f"place_{name}" if name.startswith("correlation_") else name
