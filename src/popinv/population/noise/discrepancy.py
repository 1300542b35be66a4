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
(:mod:`popinv.inference.discrepancy_size`).

**Own.** :math:`b_n \sim N(0, K)` with :math:`K_{ij} = a^2 k(|x_i - x_j| / \lambda)`. The
observations of a system with R replicates have the noise covariance

.. math:: I_R \otimes \Gamma + 1 1^T \otimes K .
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from popinv.late import torch
from popinv.population.constraints import POSITIVE, REAL, Constraint
from popinv.population.noise.base import NoiseModel
from popinv.population.noise.composed import WrappedNoise
from popinv.population.noise.kernel import KERNELS, KernelNoise
from popinv.population.noise.knots import SensorKnots

PREFIX = "discrepancy"
"""The names of the parameters of a discrepancy begin with this."""

# The default length is this share of the extent of the places.
_LENGTH = 0.25


class OwnDiscrepancy(WrappedNoise):
    """Noise with a discrepancy of each system's own, b_n.

    gamma = (gamma of the noise, log a, log lambda).

    Parameters
    ----------
    noise : NoiseModel
        The noise of the measurement, of all replicates.
    process : KernelNoise
        The covariance K of one replicate, without a nugget.
    replicates : int
        R.
    """

    discrepant = True

    def __init__(self, noise: NoiseModel, process: KernelNoise, replicates: int = 1) -> None:
        super().__init__(noise, {f"{PREFIX}_own_{name}": POSITIVE for name in process.names})
        self._process, self._replicates = process, replicates
        self.joins_replicates = replicates > 1

    @property
    def measurement(self) -> NoiseModel:
        """The noise of the measurement alone."""
        return self._noise

    @property
    def of_one(self) -> NoiseModel:
        """The noise of one replicate."""
        if self._replicates == 1:
            return self
        return OwnDiscrepancy(self._noise.of_one, self._process)

    @property
    def family(self) -> NoiseModel:
        """The family of the measurement's noise."""
        return self._noise.family

    def replicated(self, noise: NoiseModel, count: int) -> OwnDiscrepancy:
        """Return the noise of ``count`` replicates, with the measurement's noise of all of them."""
        return OwnDiscrepancy(noise, self._process, count)

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the covariance of b_n + xi_n, shape (R d, R d)."""
        own = self._process.covariance(self.added(gamma))
        measured = self._noise.covariance(self.within(gamma))
        return measured + own.repeat(self._replicates, self._replicates)


class SharedDiscrepancy(WrappedNoise):
    r"""Noise with the mean b, which is common to all systems.

    gamma = (gamma of the noise, log A, [log ell], beta). The natural values in place of beta are b,
    in the unit of the observations.

    Parameters
    ----------
    noise : NoiseModel
        The noise about its mean.
    coordinates : ndarray of shape (d, k)
        Places and times of the observations, or the knots.
    kernel : str or None
        One of :data:`popinv.population.noise.kernel.KERNELS`; None for independent values.
    replicates : int
        R; the replicates share b.
    own_places : int
        m, the number of observations of each replicate of a system that has places of its own: the
        last m covariates. Zero if all systems have all places.
    sensors : SensorKnots, optional
        The sensors of each system, if they have places of their own. ``coordinates`` are the knots.
    """

    discrepant = True
    shifts = True

    def __init__(
        self,
        noise: NoiseModel,
        coordinates: np.ndarray,
        kernel: str | None,
        replicates: int = 1,
        own_places: int = 0,
        sensors: SensorKnots | None = None,
    ) -> None:
        self.coordinates = np.asarray(coordinates, dtype=float)
        self.kernel, self.replicates = kernel, replicates
        self.own_places, self.sensors = own_places, sensors
        count = len(self.coordinates)
        sizes = ("amplitude", "length")[: 1 if kernel is None else 2]
        added: dict[str, Constraint] = {f"{PREFIX}_{name}": POSITIVE for name in sizes}
        self._sizes = len(added)
        added |= {f"{PREFIX}_{i + 1}": REAL for i in range(count)}
        super().__init__(noise, added)
        self.independent, self.unrestricted = noise.independent, noise.unrestricted
        self.varies, self.by_distance = noise.varies, noise.by_distance
        self.joins_replicates = noise.joins_replicates
        self.hyperparameters = tuple(range(self._within, self._within + self._sizes))
        places = torch.from_numpy(self.coordinates)
        self.distance = torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist")

    def about(
        self, noise: NoiseModel, replicates: int | None = None, own_places: int | None = None
    ) -> SharedDiscrepancy:
        """Return the same discrepancy with other noise about it."""
        count = self.replicates if replicates is None else replicates
        own = self.own_places if own_places is None else own_places
        return SharedDiscrepancy(noise, self.coordinates, self.kernel, count, own, self.sensors)

    @property
    def centred(self) -> NoiseModel:
        """The noise about its mean."""
        return self._noise

    @property
    def of_one(self) -> NoiseModel:
        """The noise of one replicate."""
        if self.replicates == 1:
            return self
        return self.about(self._noise.of_one, 1)

    @property
    def family(self) -> NoiseModel:
        """The family of the measurement's noise."""
        return self._noise.family

    @property
    def is_normal(self) -> bool:
        """Whether the noise about its mean is normal, and does not depend on the signal."""
        return self._noise.is_normal

    @property
    def of_shape(self) -> np.ndarray:
        """Boolean mask (n,) of beta."""
        return np.arange(len(self.names)) >= self._within + self._sizes

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

    def root(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return A L, the root of the covariance of b, shape (d, d)."""
        own = torch.exp(self.added(gamma)[: self._sizes].detach())
        length = float(own[1]) if self._sizes > 1 else 1.0
        return own[0] * self.correlation_root(length)

    def values(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return b at all places of one replicate, shape (d,)."""
        return self.root(gamma) @ self.added(gamma)[self._sizes :]

    def coordinates_of(self, sizes: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return (log A, [log ell], beta) for logarithms ``sizes`` and b ``values`` (d,)."""
        logs = np.asarray(sizes, dtype=float)
        length = float(np.exp(logs[1])) if self._sizes > 1 else 1.0
        root = np.exp(logs[0]) * self.correlation_root(length).numpy()
        return np.concatenate([logs, np.linalg.solve(root, np.asarray(values, dtype=float))])

    def shift(self, gamma: torch.Tensor, covariates: torch.Tensor | None = None) -> torch.Tensor:
        """Return b of all replicates, (d_y,), or of each system at its own places, (n, d_y)."""
        return self._placed(self.values(gamma), covariates)

    def shift_derivatives(
        self, gamma: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the derivatives of the shift in gamma, with A and ell held.

        Returns
        -------
        Tensor of shape (n_gamma, d_y), or (n, n_gamma, d_y) for systems with places of their own
        """
        rows = torch.zeros((len(self.names), len(self.coordinates)), dtype=gamma.dtype)
        rows[self._within + self._sizes :] = self.root(gamma).T
        return self._placed(rows, covariates)

    def _placed(self, rows: torch.Tensor, covariates: torch.Tensor | None) -> torch.Tensor:
        if not self.own_places and self.sensors is None:
            return rows.repeat(*[1] * (rows.ndim - 1), self.replicates)
        if covariates is None:
            raise ValueError("the discrepancy depends on the places of the systems")
        if self.sensors is not None:
            weights = self.sensors.weights(covariates, self.own_places)
            values = torch.einsum("nmk,...k->n...m", weights.to(rows.dtype), rows)
            return values.repeat(*[1] * (values.ndim - 1), self.replicates)
        own = covariates[:, -self.own_places :].long().repeat(1, self.replicates)
        return rows[..., own].movedim(-2, 0)

    # The law of the noise about its mean is that of the noise within.

    def sample_given(
        self,
        gamma: torch.Tensor,
        e: torch.Tensor,
        signal: torch.Tensor,
        covariates: torch.Tensor | None = None,
        scale: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Map standard normal e (n, d_y) to noise about its mean; see the noise within."""
        return self._noise.sample_given(self.within(gamma), e, signal, covariates, scale)

    def sample(self, gamma: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """Map standard normal e (n, d_y) to noise about its mean."""
        return self._noise.sample(self.within(gamma), e)

    def mean_covariance(
        self, gamma: torch.Tensor, signal: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the mean of the noise's covariance over signals (n, d_y), shape (d_y, d_y)."""
        return self._noise.mean_covariance(self.within(gamma), signal, covariates)

    def covariance_given(
        self, gamma: torch.Tensor, signal: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the covariance (n, d_y, d_y) of the noise within, about signals (n, d_y)."""
        return self._noise.covariance_given(self.within(gamma), signal, covariates)

    def covariances(
        self, gamma: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return Gamma of all systems (d_y, d_y), or of each by its covariates (n, d_y, d_y)."""
        return self._noise.covariances(self.within(gamma), covariates)

    def cholesky(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the factor of the noise within."""
        return self._noise.cholesky(self.within(gamma))

    def whiten(self, gamma: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return L^{-1} x for each row of x (n, d_y)."""
        return self._noise.whiten(self.within(gamma), x)

    def deviations(
        self, gamma: torch.Tensor, signal: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the standard deviations of noise that varies, for signals (n, ..., d_y)."""
        return self._varying.deviations(self.within(gamma), signal, covariates)

    def correlation(
        self, gamma: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the correlation of noise that varies."""
        return self._varying.correlation(self.within(gamma), covariates)

    def tails(self, gamma: torch.Tensor) -> torch.Tensor | None:
        """Return the logarithm of the degrees of freedom of noise that varies, less 2, if any."""
        return self._varying.tails(self.within(gamma))

    @property
    def heavy_tails(self) -> bool:
        """Whether the noise has heavy tails."""
        return bool(getattr(self._noise, "heavy_tails", False))

    @property
    def coefficients(self) -> tuple[tuple[int, int], ...]:
        """Entries of gamma that are coefficients of a covariate, each with its column."""
        return tuple(getattr(self._noise, "coefficients", ()))

    @property
    def without_moments(self) -> tuple[int, ...]:
        """Entries of gamma that mean and covariance of the noise do not depend on."""
        return tuple(getattr(self._noise, "without_moments", ()))

    @property
    def _varying(self) -> Any:
        # Noise that does not vary has none of these methods, and nobody asks it.
        return self._noise

    # Natural values: b in place of beta.

    def to_natural(self, unconstrained: np.ndarray) -> np.ndarray:
        """Return the natural values for unconstrained gamma of shape (..., n)."""
        found = super().to_natural(unconstrained)
        rows, first = found.reshape(-1, found.shape[-1]), self._within + self._sizes
        kept: dict[bytes, np.ndarray] = {}
        for row in rows:
            own = row[self._within : first]
            if not np.isfinite(own).all() or not np.isfinite(row[first:]).all():
                row[first:] = np.nan
                continue
            length = float(own[1]) if self._sizes > 1 else 1.0
            key = np.float64(length).tobytes()
            if key not in kept:
                kept[key] = self.correlation_root(length).numpy()
            row[first:] = own[0] * (kept[key] @ row[first:])
        return rows.reshape(found.shape)

    def to_unconstrained(self, natural: np.ndarray) -> np.ndarray:
        """Undo :meth:`to_natural`, for values (n,)."""
        within, own = np.split(np.asarray(natural, dtype=float), [self._within])
        sizes, values = np.split(own, [self._sizes])
        return np.concatenate(
            [self._noise.to_unconstrained(within), self.coordinates_of(np.log(sizes), values)]
        )

    def _by_name(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return values by name, with ``discrepancy: [b_1, ..., b_d]`` or b = 0 if it is absent.

        The amplitude is by default the root mean square of the noise's standard deviations, or of
        b, and the length a quarter of the extent.
        """
        own = {name: values[name] for name in self.names[self._within :] if name in values}
        rest = {n: value for n, value in values.items() if n not in own and n != PREFIX}
        count = len(self.coordinates)
        given = np.asarray(values.get(PREFIX, np.zeros(count)), dtype=float)
        if given.shape != (count,):
            raise ValueError(f"'{PREFIX}' needs {count} values, one for each of its places")
        within = self._noise._by_name(rest)
        own = {f"{PREFIX}_{i + 1}": value for i, value in enumerate(given.tolist())} | own
        if f"{PREFIX}_amplitude" not in own:
            of_b = float(np.sqrt(np.mean([own[f"{PREFIX}_{i + 1}"] ** 2 for i in range(count)])))
            own[f"{PREFIX}_amplitude"] = of_b or self._size_of_noise(within)
        if self._sizes > 1:
            own.setdefault(f"{PREFIX}_length", self.default_length)
        return {**within, **own}

    def _size_of_noise(self, values: Mapping[str, Any]) -> float:
        family = self.family
        gamma = family.from_natural({name: values[name] for name in family.names})
        covariance = family.covariance(torch.from_numpy(gamma))
        return float(torch.sqrt(torch.diagonal(covariance).mean()))
