r"""Noise of time series: autoregressive, and in separable blocks.

The observations are entries at times, and times run fastest.

**Autoregressive.** A stationary Gaussian series of unit variance is given by its partial
autocorrelations pi_1, pi_2, ..., each anywhere in (-1, 1): the Durbin-Levinson recursion

.. math::
    \phi_{k,k} = \pi_k, \qquad
    \phi_{k,j} = \phi_{k-1,j} - \pi_k \phi_{k-1,k-j}, \qquad
    v_k = v_{k-1} (1 - \pi_k^2), \quad v_0 = 1,

turns them into the coefficients phi_{k,j} of the best prediction from the last k values and its
error variance v_k (Barndorff-Nielsen and Schou, J. Multivariate Anal. 3, 1973). For an
autoregression of order p, all partial autocorrelations after pi_p are zero. With p = n_t - 1, every
positive definite Toeplitz matrix of order n_t can be reached.

**Blocks** are correlated in place and in time, separably.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from popinv.errors import ConfigError
from popinv.forward.base import Observations
from popinv.late import torch
from popinv.population.constraints import CORRELATION, POSITIVE
from popinv.population.noise.base import NoiseModel, kronecker
from popinv.population.noise.composed import WrappedNoise


def autoregressive_factor(atanh_partial: torch.Tensor, times: int) -> torch.Tensor:
    r"""Return the Cholesky factor of the correlation over ``times`` equally spaced times.

    With A the unit lower triangular matrix of prediction errors, row k holding
    ``-phi_{k,j}`` at place k - j, ``A T A^T = diag(v)``; hence ``L = A^{-1} diag(v)^{1/2}``.
    T itself is never factorised, so strong correlations lose no digits.

    Parameters
    ----------
    atanh_partial : Tensor of shape (p,), p < times
        Inverse hyperbolic tangents of the partial autocorrelations.
    times : int
        n_t.

    Returns
    -------
    Tensor of shape (n_t, n_t)
        Its first column is the autocorrelation at lags 0 to n_t - 1.
    """
    order, kind = len(atanh_partial), atanh_partial.dtype
    partial = torch.tanh(atanh_partial)
    # 1 - tanh^2, without the cancellation.
    shares = torch.cosh(atanh_partial) ** -2
    deviations = torch.sqrt(torch.cumprod(torch.cat([torch.ones(1, dtype=kind), shares]), 0))
    phi = torch.zeros(0, dtype=kind)
    rows = [torch.eye(1, times, dtype=kind)[0]]
    for k in range(1, times):
        if k <= order:
            phi = torch.cat([phi - partial[k - 1] * phi.flip(0), partial[k - 1 : k]])
        used = len(phi)
        before, after = torch.zeros(k - used, dtype=kind), torch.zeros(times - k - 1, dtype=kind)
        rows.append(torch.cat([before, -phi.flip(0), torch.ones(1, dtype=kind), after]))
    errors = torch.stack(rows)
    last = torch.clamp(torch.arange(times), max=order)
    return torch.linalg.solve_triangular(errors, torch.diag(deviations[last]), upper=False)


def toeplitz(column: torch.Tensor) -> torch.Tensor:
    """Return the symmetric Toeplitz matrix with this first column."""
    index = torch.arange(len(column))
    return column[(index[:, None] - index).abs()]


def correlation_names(order: int, times: int, prefix: str = "") -> tuple[str, ...]:
    """Return the names of the partial autocorrelations; the first is the correlation itself.

    Raises
    ------
    ValueError
        If the order does not fit the number of times.
    """
    if not 1 <= order < times:
        raise ValueError(f"order {order} does not fit {times} times: 1 to {times - 1}")
    if order == 1:
        return (f"{prefix}correlation",)
    return tuple(f"{prefix}partial_correlation_{k + 1}" for k in range(order))


def lags(value: float | Sequence[float], names: tuple[str, ...]) -> dict[str, float]:
    """Return partial autocorrelations by name; a single number belongs to lag 1, the others are 0.

    Raises
    ------
    ValueError
        If a list has another length than there are names.
    """
    given = list(value) if isinstance(value, Sequence) else [value] + [0.0] * (len(names) - 1)
    if len(given) != len(names):
        raise ValueError(f"expected one number or {len(names)}, got {len(given)}")
    return dict(zip(names, given, strict=True))


class AutoregressiveNoise(NoiseModel):
    r"""A stationary autoregression in time at each place, independent between places.

    .. math:: \Gamma = \sigma^2\, I \otimes T(\pi_1, \ldots, \pi_p)

    gamma = (log sigma, atanh pi_1, ..., atanh pi_p). Observations are place-major, time fastest,
    and the times equally spaced.

    Parameters
    ----------
    places, times : int
        Numbers of places and of times, d_y = places * times.
    order : int
        p, at least 1 and less than ``times``.

    Raises
    ------
    ValueError
        If the order does not fit the number of times.
    """

    is_series = True

    def __init__(self, places: int, times: int, order: int) -> None:
        self.places, self.times, self.d_y = places, times, places * times
        self._lags = correlation_names(order, times)
        self.names = ("standard_deviation", *self._lags)
        self.constraints = (POSITIVE, *(CORRELATION,) * order)

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return sigma**2 times a Toeplitz block for each place."""
        block = toeplitz(autoregressive_factor(gamma[1:], self.times)[:, 0])
        return kronecker(torch.eye(self.places, dtype=gamma.dtype), self._variance(gamma) * block)

    def cholesky(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return L, with the block's factor for each place."""
        eye = torch.eye(self.places, dtype=gamma.dtype)
        return kronecker(eye, torch.exp(gamma[0]) * autoregressive_factor(gamma[1:], self.times))

    def sample(self, gamma: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """Map standard normal e (n, d_y) to noise (n, d_y), place by place."""
        factor = torch.exp(gamma[0]) * autoregressive_factor(gamma[1:], self.times)
        return (e.reshape(-1, self.times) @ factor.T).reshape(e.shape)

    def _variance(self, gamma: torch.Tensor) -> torch.Tensor:
        return torch.exp(2 * gamma[0])

    def _by_name(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        if set(values) != {"standard_deviation", "correlation"}:
            return values
        return {
            "standard_deviation": values["standard_deviation"],
            **lags(values["correlation"], self._lags),
        }


class BlockNoise(WrappedNoise):
    r"""A covariance over places times a stationary autoregression in time.

    .. math:: \Gamma = S \otimes T(\pi_1, \ldots, \pi_p)

    with S any noise model over the places and T the correlation of :class:`AutoregressiveNoise`.
    The Cholesky factor of a Kronecker product is the product of the factors, so only S and T are
    factorised.

    gamma holds the gamma of S, then atanh pi_1, ..., atanh pi_p. S states the standard deviation.
    Correlations between places are called ``place_correlation_i_j``, and correlations in time
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
        self._lags = correlation_names(order, times, "time_")
        super().__init__(
            places, dict.fromkeys(self._lags, CORRELATION), map(_renamed, places.names)
        )
        self.places, self.times, self.d_y = places, times, places.d_y * times

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return S (x) T, place-major."""
        over_places = self.places.covariance(self.within(gamma))
        return kronecker(over_places, toeplitz(self._in_time(gamma)[:, 0]))

    def cholesky(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the Kronecker product of the factors of S and T."""
        return kronecker(self.places.cholesky(self.within(gamma)), self._in_time(gamma))

    def sample(self, gamma: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """Map standard normal e (n, d_y) to noise (n, d_y): factor by factor."""
        in_blocks = e.reshape(-1, self.places.d_y, self.times)
        over_places = self.places.cholesky(self.within(gamma))
        return (over_places @ in_blocks @ self._in_time(gamma).T).reshape(e.shape)

    def _in_time(self, gamma: torch.Tensor) -> torch.Tensor:
        return autoregressive_factor(self.added(gamma), self.times)

    def _by_name(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        if "time_correlation" not in values:
            return values
        keys = {"place_correlation": "correlation"}
        if "amplitude" in self.places.names:
            keys["standard_deviation"] = "amplitude"
        own = {keys.get(key, key): x for key, x in values.items() if key != "time_correlation"}
        named = {_renamed(name): x for name, x in self.places._by_name(own).items()}
        return {**named, **lags(values["time_correlation"], self._lags)}


def _renamed(name: str) -> str:
    """Return the name of a parameter over the places, distinct from those in time."""
    if name == "amplitude":
        return "standard_deviation"
    return f"place_{name}" if name.startswith("correlation_") else name


def regular_times(kind: str, observations: Observations) -> int:
    """Return the number of times, for noise of a kind that is correlated in time.

    Raises
    ------
    ConfigError
        If the times are not the same and regular at every place.
    """
    count = observations.time_count
    if count is None:
        raise ConfigError(
            f"noise.kind: got '{kind}', which is correlated in time, but the observations have "
            f"no time: their coordinates are {', '.join(observations.coordinate_names)}."
        )
    times = observations.coordinates[:, -1]
    alike = np.array_equal(times, np.tile(times[:count], len(times) // count))
    steps = np.diff(times[:count])
    # Times are sums and products of decimal numbers, regular to a few units of rounding.
    if not alike or count < 2 or not np.allclose(steps, steps[0], rtol=1e-6, atol=0):
        raise ConfigError(
            f"noise.kind: got '{kind}', which needs at least two equally spaced times, the same "
            "at every place and fastest in the order of the observations."
        )
    return count
