"""Laws of the parameters over a population: reparameterised and differentiable.

A law maps standard normal numbers omega to parameters z, ``z = T(alpha, omega)``, so that
gradients with respect to alpha pass through the sample. alpha is unconstrained: positive
quantities are carried by their logarithm. People read and write the natural values.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from popinv.minimisation import minimise

__all__ = ["Law", "LognormalLaw", "NormalLaw", "ProductLaw"]


class Law(ABC):
    """The law mu(alpha) of z.

    Attributes
    ----------
    names : tuple of str
        The entries of alpha, as the user reads them.
    positive : tuple of bool
        Whether an entry is positive, and so carried by its logarithm.
    d_omega, d_z : int
        Standard normal numbers in, parameters out.
    """

    names: tuple[str, ...]
    positive: tuple[bool, ...]
    d_omega: int
    d_z: int

    @property
    def logarithmic(self) -> tuple[bool, ...]:
        """For each entry of z, whether it is positive and its logarithm the natural coordinate."""
        return (False,) * self.d_z

    @abstractmethod
    def sample(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        """Map omega (n, d_omega) to z (n, d_z); alpha is (d_alpha,) or one row per sample."""

    def log_density(self, alpha: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return log p(z | alpha) for each row of z (n, d_z), shape (n,).

        Raises
        ------
        NotImplementedError
            If the law has no density in closed form.
        """
        raise NotImplementedError(f"{type(self).__name__} has no density in closed form")

    def unbounded(self, z: torch.Tensor) -> torch.Tensor:
        """Return z (n, d_z) in coordinates that range over the whole line: logs of the positive."""
        return z

    def bounded(self, x: torch.Tensor) -> torch.Tensor:
        """Undo :meth:`unbounded`."""
        return x

    def most_likely(self, z: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return alpha of largest likelihood for parameters z (n, d_z) that are known.

        Parameters
        ----------
        z : ndarray of shape (n, d_z)
        start : ndarray of shape (d_alpha,)
            Unconstrained; where the search begins.

        Raises
        ------
        NotImplementedError
            If the law has no density in closed form.
        DivergenceError
            If the search ends where the density is zero or not finite.
        """
        known = torch.from_numpy(z)
        return minimise(lambda alpha: -self.log_density(alpha, known).mean(), start)

    def to_natural(self, alpha: np.ndarray) -> np.ndarray:
        """Return the values people read, for unconstrained alpha (..., d_alpha)."""
        return np.where(self.positive, np.exp(np.where(self.positive, alpha, 0.0)), alpha)

    def from_natural(self, values: Mapping[str, float] | Sequence[float]) -> np.ndarray:
        """Return unconstrained alpha for named natural values.

        Raises
        ------
        ValueError
            If names do not fit, or a positive quantity is not positive.
        """
        if isinstance(values, Mapping):
            if set(values) != set(self.names):
                raise ValueError(f"expected the names {self.names}, got {tuple(values)}")
            values = [values[name] for name in self.names]
        natural = np.asarray(values, dtype=float)
        positive = np.array(self.positive)
        if natural.shape != positive.shape:
            raise ValueError(f"expected {len(positive)} values, got shape {natural.shape}")
        if np.any(natural[positive] <= 0):
            raise ValueError("a positive quantity of the law was given a value that is not")
        return np.where(positive, np.log(np.where(positive, natural, 1.0)), natural)


class NormalLaw(Law):
    """Independent normal parameters, ``z_i = m_i + s_i omega_i``.

    alpha holds the means, then the logarithms of the standard deviations.

    Parameters
    ----------
    parameters : sequence of str
        Names of the entries of z.
    """

    def __init__(self, parameters: Sequence[str]) -> None:
        self.d_z = self.d_omega = len(parameters)
        self.names = tuple(
            [f"{name}_mean" for name in parameters]
            + [f"{name}_standard_deviation" for name in parameters]
        )
        self.positive = (False,) * self.d_z + (True,) * self.d_z

    def sample(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        """Map omega (n, d_z) to z (n, d_z)."""
        return alpha[..., : self.d_z] + torch.exp(alpha[..., self.d_z :]) * omega

    def log_density(self, alpha: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return log p(z | alpha) = sum_i log N(z_i; m_i, s_i**2) for each row of z (n, d_z)."""
        mean, log_deviation = alpha[..., : self.d_z], alpha[..., self.d_z :]
        return _standard_normal_log_density((z - mean) * torch.exp(-log_deviation)) - torch.sum(
            log_deviation, dim=-1
        )

    def most_likely(self, z: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return the means and the logarithms of the standard deviations of z (n, d_z)."""
        return np.concatenate([z.mean(axis=0), np.log(z.std(axis=0))])


class LognormalLaw(NormalLaw):
    """Independent lognormal parameters, ``log z_i = m_i + s_i omega_i``.

    The mean and the standard deviation are those of log z.
    """

    @property
    def logarithmic(self) -> tuple[bool, ...]:
        """True throughout."""
        return (True,) * self.d_z

    def sample(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        """Map omega (n, d_z) to positive z (n, d_z)."""
        return torch.exp(super().sample(alpha, omega))

    def log_density(self, alpha: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return the normal log density of log z, less the sum of log z, for each row of z."""
        logs = self.unbounded(z)
        return super().log_density(alpha, logs) - logs.sum(dim=-1)

    def unbounded(self, z: torch.Tensor) -> torch.Tensor:
        """Return log z."""
        return torch.log(z)

    def bounded(self, x: torch.Tensor) -> torch.Tensor:
        """Return exp x."""
        return torch.exp(x)

    def most_likely(self, z: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return the means and the logarithms of the standard deviations of log z (n, d_z)."""
        return super().most_likely(np.log(z), start)


class ProductLaw(Law):
    """Two independent groups of parameters, ``z = (z_first, z_second)``.

    alpha, omega and z are those of the first law followed by those of the second.

    Parameters
    ----------
    first, second : Law
    """

    def __init__(self, first: Law, second: Law) -> None:
        self._first, self._second = first, second
        self.names = first.names + second.names
        self.positive = first.positive + second.positive
        self.d_omega = first.d_omega + second.d_omega
        self.d_z = first.d_z + second.d_z

    @property
    def logarithmic(self) -> tuple[bool, ...]:
        """As the two laws say."""
        return self._first.logarithmic + self._second.logarithmic

    def sample(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        """Map omega (n, d_omega) to z (n, d_z)."""
        split = len(self._first.names)
        return torch.cat(
            [
                self._first.sample(alpha[..., :split], omega[:, : self._first.d_omega]),
                self._second.sample(alpha[..., split:], omega[:, self._first.d_omega :]),
            ],
            dim=1,
        )

    def log_density(self, alpha: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return the sum of both log densities, for each row of z (n, d_z)."""
        split, cut = len(self._first.names), self._first.d_z
        return self._first.log_density(alpha[..., :split], z[:, :cut]) + self._second.log_density(
            alpha[..., split:], z[:, cut:]
        )

    def unbounded(self, z: torch.Tensor) -> torch.Tensor:
        """Return both groups in unbounded coordinates."""
        cut = self._first.d_z
        return torch.cat([self._first.unbounded(z[:, :cut]), self._second.unbounded(z[:, cut:])], 1)

    def bounded(self, x: torch.Tensor) -> torch.Tensor:
        """Undo :meth:`unbounded`."""
        cut = self._first.d_z
        return torch.cat([self._first.bounded(x[:, :cut]), self._second.bounded(x[:, cut:])], 1)

    def most_likely(self, z: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return what is most likely for each group, which are independent."""
        split, cut = len(self._first.names), self._first.d_z
        return np.concatenate(
            [
                self._first.most_likely(z[:, :cut], start[:split]),
                self._second.most_likely(z[:, cut:], start[split:]),
            ]
        )


def _standard_normal_log_density(x: torch.Tensor) -> torch.Tensor:
    return -0.5 * (x**2).sum(dim=-1) - 0.5 * x.shape[-1] * math.log(2 * math.pi)
