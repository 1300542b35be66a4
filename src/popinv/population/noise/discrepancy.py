r"""Discrepancies of a simulator: it errs alike in every system, or in each system in its own way.

The observation of system n is

.. math:: y_n = G(z_n) + b + b_n + \xi_n .

b is common to all systems (:class:`SharedDiscrepancy`), b_n belongs to one system and to all of its
replicates (:class:`OwnDiscrepancy`), and :math:`\xi_n` is the noise of the measurement. Kennedy and
O'Hagan (J. R. Statist. Soc. B 63, 2001) describe the discrepancy of one system by a Gaussian
process. It cannot be told apart from the parameters of one system. Many systems share b.

**Shared.** b is a Gaussian process over the d places and times of the observations,

.. math:: b \sim N(0, A^2 R), \qquad R_{ij} = k(|x_i - x_j| / \ell),

or has independent values, R = I. Where each system has sensors at places of its own, b is a
process at knots, and its values at the sensors are interpolated
(:mod:`popinv.population.noise.knots`). Its coordinates are the standard normal numbers
:math:`\beta`, with :math:`b = A L \beta` and :math:`R = L L^T`. They are parameters of the noise
with a standard normal prior. The amplitude A and the length :math:`\ell` are hyperparameters, which
the estimates hold, and which the evidence of the observations chooses
(:mod:`popinv.inference.estimators.discrepancy_size`).

**Own.** :math:`b_n \sim N(0, K)` with :math:`K_{ij} = a^2 k(|x_i - x_j| / \lambda)`. The
observations of a system with R replicates have the noise covariance

.. math:: I_R \otimes \Gamma + 1 1^T \otimes K .
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from popinv.late import torch
from popinv.population.constraints import POSITIVE, REAL, Constraint
from popinv.population.noise.kernel import KERNELS, KernelNoise
from popinv.population.noise.knots import SensorKnots

PREFIX = "discrepancy"
"""The names of the parameters of a discrepancy begin with this."""

# The default length is this share of the extent of the places.
_LENGTH = 0.25


@dataclass(frozen=True)
class OwnDiscrepancy:
    """A discrepancy of each system's own, b_n, with the parameters log a and log lambda.

    Parameters
    ----------
    process : KernelNoise
        The covariance K of one replicate, without a nugget.
    """

    process: KernelNoise

    @property
    def added(self) -> dict[str, Constraint]:
        """The parameters."""
        return {f"{PREFIX}_own_{name}": POSITIVE for name in self.process.names}


class SharedDiscrepancy:
    r"""A mean b of the noise, which is common to all systems.

    Its parameters are (log A, [log ell], beta). The natural values in place of beta are b, in the
    unit of the observations.

    Parameters
    ----------
    coordinates : ndarray of shape (d, k)
        Places and times of the observations, or the knots.
    kernel : str or None
        One of :data:`popinv.population.noise.kernel.KERNELS`; None for independent values.
    sensors : SensorKnots, optional
        The sensors of each system, if they have places of their own. ``coordinates`` are the knots.

    Attributes
    ----------
    added : mapping of str to Constraint
        The parameters.
    sizes : int
        Number of hyperparameters, the first parameters.
    """

    def __init__(
        self, coordinates: np.ndarray, kernel: str | None, sensors: SensorKnots | None = None
    ) -> None:
        self.coordinates = np.asarray(coordinates, dtype=float)
        self.kernel, self.sensors = kernel, sensors
        names = ("amplitude", "length")[: 1 if kernel is None else 2]
        self.sizes = len(names)
        self.added: dict[str, Constraint] = {f"{PREFIX}_{name}": POSITIVE for name in names}
        self.added |= {f"{PREFIX}_{i + 1}": REAL for i in range(len(self.coordinates))}
        places = torch.from_numpy(self.coordinates)
        self.distance = torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist")

    @property
    def default_length(self) -> float:
        """A quarter of the largest distance between two places; 1 for a single place."""
        return _LENGTH * float(self.distance.max()) or 1.0

    @property
    def shortest_length(self) -> float:
        """The shortest length of the kernel: the smallest distance, or what the knots resolve."""
        if self.sensors is not None:
            return self.sensors.shortest
        apart = self.distance[self.distance > 0]
        return float(apart.min()) if len(apart) else 1.0

    def correlation_root(self, length: float) -> torch.Tensor:
        """Return L with L L^T = R, shape (d, d)."""
        eye = torch.eye(len(self.coordinates), dtype=torch.float64)
        if self.kernel is None:
            return eye
        matrix = KERNELS[self.kernel](self.distance / length)
        return torch.linalg.cholesky(matrix + KernelNoise.jitter * eye)

    def root(self, own: torch.Tensor) -> torch.Tensor:
        """Return A L, the root of the covariance of b, (d, d), for the parameters."""
        sizes = torch.exp(own[: self.sizes].detach())
        length = float(sizes[1]) if self.sizes > 1 else 1.0
        return sizes[0] * self.correlation_root(length)

    def values(self, own: torch.Tensor) -> torch.Tensor:
        """Return b at all places of one replicate, shape (d,), for the parameters."""
        return self.root(own) @ own[self.sizes :]

    def derivatives(self, own: torch.Tensor) -> torch.Tensor:
        """Return the derivatives of b in the parameters, with A and ell held, (k, d)."""
        held = torch.zeros((self.sizes, len(self.coordinates)), dtype=own.dtype)
        return torch.cat([held, self.root(own).T])

    def placed(
        self,
        rows: torch.Tensor,
        covariates: torch.Tensor | None,
        replicates: int,
        own_places: int,
    ) -> torch.Tensor:
        """Return rows (..., d) for all replicates of a system, (..., R d).

        For systems with places of their own it is (n, ..., R m).

        Parameters
        ----------
        own_places : int
            m, if the last m covariates are the places of each system; otherwise 0.
        """
        if not own_places and self.sensors is None:
            return rows.repeat(*[1] * (rows.ndim - 1), replicates)
        if covariates is None:
            raise ValueError("the discrepancy depends on the places of the systems")
        if self.sensors is not None:
            weights = self.sensors.weights(covariates, own_places)
            values = torch.einsum("nmk,...k->n...m", weights.to(rows.dtype), rows)
            return values.repeat(*[1] * (values.ndim - 1), replicates)
        own = covariates[:, -own_places:].long().repeat(1, replicates)
        return rows[..., own].movedim(-2, 0)

    def coordinates_of(self, sizes: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return (log A, [log ell], beta) for logarithms ``sizes`` and b ``values`` (d,)."""
        logs = np.asarray(sizes, dtype=float)
        length = float(np.exp(logs[1])) if self.sizes > 1 else 1.0
        root = np.exp(logs[0]) * self.correlation_root(length).numpy()
        return np.concatenate([logs, np.linalg.solve(root, np.asarray(values, dtype=float))])

    def natural(self, values: np.ndarray) -> np.ndarray:
        """Return (A, [ell], b) for (A, [ell], beta), each of shape (..., k)."""
        found = np.array(values, dtype=float)
        rows = found.reshape(-1, found.shape[-1])
        kept: dict[bytes, np.ndarray] = {}
        for row in rows:
            if not np.isfinite(row).all():
                row[self.sizes :] = np.nan
                continue
            length = float(row[1]) if self.sizes > 1 else 1.0
            key = np.float64(length).tobytes()
            if key not in kept:
                kept[key] = self.correlation_root(length).numpy()
            row[self.sizes :] = row[0] * (kept[key] @ row[self.sizes :])
        return rows.reshape(found.shape)

    def by_name(self, values: Mapping[str, Any], size_of_noise: float) -> dict[str, Any]:
        """Return the natural values by name; b is 0 unless it is given, also as a list.

        The amplitude is by default that of b, or of the noise if b is zero, and the length a
        quarter of the extent.
        """
        count, own = len(self.coordinates), dict(values)
        given = np.asarray(own.pop(PREFIX, np.zeros(count)), dtype=float)
        if given.shape != (count,):
            raise ValueError(f"'{PREFIX}' needs {count} values, one for each of its places")
        own = {f"{PREFIX}_{i + 1}": value for i, value in enumerate(given.tolist())} | own
        if f"{PREFIX}_amplitude" not in own:
            of_b = float(np.sqrt(np.mean([own[f"{PREFIX}_{i + 1}"] ** 2 for i in range(count)])))
            own[f"{PREFIX}_amplitude"] = of_b or size_of_noise
        if self.sizes > 1:
            own.setdefault(f"{PREFIX}_length", self.default_length)
        return own
