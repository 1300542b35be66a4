r"""Stationary noise in time, from partial autocorrelations.

A stationary Gaussian series of unit variance is given by its partial autocorrelations
pi_1, pi_2, ..., each anywhere in (-1, 1): the Durbin-Levinson recursion

.. math::
    \phi_{k,k} = \pi_k, \qquad
    \phi_{k,j} = \phi_{k-1,j} - \pi_k \phi_{k-1,k-j}, \qquad
    v_k = v_{k-1} (1 - \pi_k^2), \quad v_0 = 1,

turns them into the coefficients phi_{k,j} of the best prediction from the last k values and its
error variance v_k (Barndorff-Nielsen and Schou, J. Multivariate Anal. 3, 1973). All that follow
pi_p are zero for an autoregression of order p; with p = n_t - 1 every positive definite Toeplitz
matrix of order n_t is reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from popinv.population.noise.base import NoiseModel, NoiseValues


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


def kronecker(outer: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
    """Return the Kronecker product of two square matrices; torch's own asks for a row-major one."""
    size = len(outer) * len(inner)
    return (outer[:, None, :, None] * inner[None, :, None, :]).reshape(size, size)


def correlation_names(order: int, prefix: str = "") -> tuple[str, ...]:
    """Return the names of the partial autocorrelations; the first is the correlation itself."""
    if order == 1:
        return (f"{prefix}correlation",)
    return tuple(f"{prefix}partial_correlation_{k + 1}" for k in range(order))


def lags(value: float | Sequence[float], names: tuple[str, ...]) -> dict[str, float]:
    """Return partial autocorrelations by name; one number is that of lag 1, the others zero.

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

    def __init__(self, places: int, times: int, order: int) -> None:
        if not 1 <= order < times:
            raise ValueError(f"order {order} does not fit {times} times: 1 to {times - 1}")
        self.places, self.times, self.d_y = places, times, places * times
        self._lags = correlation_names(order)
        self.names = ("standard_deviation", *self._lags)

    @property
    def correlations(self) -> np.ndarray:
        """A standard deviation first, then correlations."""
        return np.arange(len(self.names)) > 0

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

    def _expand(self, values: NoiseValues) -> Mapping[str, Any]:
        if set(values) != {"standard_deviation", "correlation"}:
            return values
        return {
            "standard_deviation": values["standard_deviation"],
            **lags(values["correlation"], self._lags),
        }
