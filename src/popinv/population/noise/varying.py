r"""Noise that grows with the signal, has heavy tails, or depends on covariates.

A family of constant Gaussian covariances, the base, gives standard deviations sigma_j and a
correlation matrix R. The noise of a system with signal g and covariates x is

.. math:: \xi = D(g, x)\, R^{1/2}\, u, \qquad D = \operatorname{diag}(d_j), \qquad
    d_j = e^{c^T x} \cdot
    \begin{cases} \sigma_j & \text{constant} \\ \sigma_j |g_j| & \text{proportional} \\
    \sqrt{\sigma_j^2 + b^2 g_j^2} & \text{combined,} \end{cases}

with u independent of mean 0 and variance 1: standard normal, or of Student's t distribution with
nu > 2 degrees of freedom, divided by its standard deviation. d_j is thus the standard deviation
for either. The root is the symmetric one, so that the noise does not depend on the order of the
observations. An autoregressive base has an order, that of time: its root is the Cholesky factor,
with which R^{1/2} u is an autoregression with innovations u. For normal u all roots are equal.

A system may be observed at m of the base's places. Its noise then has the sigma and the R of these
places (:mod:`popinv.population.places`).
"""

from __future__ import annotations

from collections.abc import Sequence

from popinv.late import torch
from popinv.population.constraints import POSITIVE, REAL, Above, Constraint
from popinv.population.noise.base import NoiseModel
from popinv.population.noise.composed import ReplicatedNoise, WrappedNoise
from popinv.population.noise.discrepancy import OwnDiscrepancy, SharedDiscrepancy
from popinv.population.noise.intrinsic import IntrinsicNoise
from popinv.population.noise.student import student_of_normal

# Value of ``grows`` for noise that equals its base.
_AS_IT_IS = "constant"


class VaryingNoise(WrappedNoise):
    """Noise of a base family, scaled by the signal and by covariates, perhaps with heavy tails.

    gamma = (gamma of the base, log b, log(nu - 2), c), without what the noise does not have.

    Parameters
    ----------
    grows : {"constant", "proportional", "combined"}
    heavy_tails : bool
        Whether u has Student's t distribution.
    covariates : sequence of str
        Names of the covariates in x.
    columns : sequence of int
        The columns of these covariates among all of a system's.
    own_places : int
        m, the number of observations of each replicate of a system that has places of its own: the
        last m covariates. Zero if all systems have all places of the base.
    """

    varies = True

    def __init__(
        self,
        base: NoiseModel,
        grows: str = _AS_IT_IS,
        heavy_tails: bool = False,
        covariates: Sequence[str] = (),
        columns: Sequence[int] = (),
        own_places: int = 0,
    ) -> None:
        extra: dict[str, Constraint] = {"proportional": POSITIVE} if grows == "combined" else {}
        extra |= {"degrees_of_freedom": Above(2.0)} if heavy_tails else {}
        extra |= {f"noise_{name}_coefficient": REAL for name in covariates}
        super().__init__(base, extra)
        self.base, self.grows, self.heavy_tails = base, grows, heavy_tails
        self._columns, self._covariates = list(columns), tuple(covariates)
        self._own_places, self._of_each = own_places, base.of_one.d_y
        self.d_y = base.d_y // self._of_each * (own_places or self._of_each)
        self.independent = base.independent

    def with_base(self, base: NoiseModel) -> VaryingNoise:
        """Return the same noise of another base with the same parameters."""
        return self._changed(base, self._own_places)

    def at_own_places(self, count: int) -> VaryingNoise:
        """Return the same noise for systems with ``count`` places of their own."""
        return self._changed(self.base, count)

    def _changed(self, base: NoiseModel, own_places: int) -> VaryingNoise:
        of_covariates = self._covariates, self._columns
        return VaryingNoise(base, self.grows, self.heavy_tails, *of_covariates, own_places)

    @property
    def of_one(self) -> NoiseModel:
        """The noise of one replicate, of systems with several."""
        return self if self.base.of_one is self.base else self.with_base(self.base.of_one)

    @property
    def family(self) -> NoiseModel:
        """The family of the base."""
        return self.base.family

    @property
    def coefficients(self) -> tuple[tuple[int, int], ...]:
        """Entries of gamma that are coefficients of a covariate, each with its column."""
        first = len(self.names) - len(self._columns)
        return tuple(enumerate(self._columns, first))

    @property
    def without_moments(self) -> tuple[int, ...]:
        """Entries of gamma that mean and covariance of the noise do not depend on."""
        return (self._within + (self.grows == "combined"),) if self.heavy_tails else ()

    @property
    def is_normal(self) -> bool:
        """Whether the noise is normal, with a covariance that does not depend on the signal."""
        return self.grows == "constant" and not self.heavy_tails

    def tails(self, gamma: torch.Tensor) -> torch.Tensor | None:
        """Return log(nu - 2), or None if u is normal."""
        return gamma[self.without_moments[0]] if self.heavy_tails else None

    def deviations(
        self,
        gamma: torch.Tensor,
        signal: torch.Tensor,
        covariates: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the standard deviations d for signals (n, ..., d_y).

        Parameters
        ----------
        gamma : Tensor of shape (n_gamma,)
        signal : Tensor of shape (n, ..., d_y)
        covariates : Tensor of shape (n, k), optional
            All covariates of each system, of which this noise takes its own.
        """
        sigma = torch.sqrt(torch.diagonal(self._base_covariance(gamma)))
        if self._own_places:
            own = sigma[self._places(covariates)]
            sigma = own.reshape(len(own), *[1] * (signal.ndim - 2), -1)
        if self.grows == "constant":
            d = sigma.expand(signal.shape)
        elif self.grows == "proportional":
            d = sigma * signal.abs()
        else:
            d = torch.sqrt(sigma**2 + torch.exp(2 * self.added(gamma)[0]) * signal**2)
        if not self._columns:
            return d
        if covariates is None:
            raise ValueError("the noise depends on covariates, which were not given")
        predictor = covariates[:, self._columns].to(d.dtype) @ gamma[-len(self._columns) :]
        return d * torch.exp(predictor).reshape(-1, *[1] * (signal.ndim - 1))

    def correlation(
        self, gamma: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return R, shape (d_y, d_y), or (n, d_y, d_y) where it depends on the systems' places."""
        if self.independent:
            return torch.eye(self.d_y, dtype=gamma.dtype)
        covariance = self._base_covariance(gamma)
        sigma = torch.sqrt(torch.diagonal(covariance))
        correlation = covariance / torch.outer(sigma, sigma)
        if not self._own_places:
            return correlation
        places = self._places(covariates)
        return correlation[places[:, :, None], places[:, None, :]]

    def sample_given(
        self,
        gamma: torch.Tensor,
        e: torch.Tensor,
        signal: torch.Tensor,
        covariates: torch.Tensor | None = None,
        scale: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Map standard normal e (n, d_y) to noise (n, d_y) about the signal of the same rows."""
        tails = self.tails(gamma)
        u = e if tails is None else student_of_normal(e, tails)
        if self._own_places or self.symmetric:
            root = self.root(gamma, covariates)
            correlated = (root @ u[..., None])[..., 0]
        else:
            sigma = torch.sqrt(torch.diagonal(self._base_covariance(gamma)))
            correlated = self.base.sample(self.within(gamma), u) / sigma
        return self.deviations(gamma, signal, covariates) * correlated

    @property
    def symmetric(self) -> bool:
        """Whether R^{1/2} is the symmetric root, which has no order of the observations.

        Normal noise is the same with any root, and a series has an order of its own.
        """
        return self.heavy_tails and not self.family.is_series

    def root(self, gamma: torch.Tensor, covariates: torch.Tensor | None = None) -> torch.Tensor:
        """Return R^{1/2}, of the shape of R."""
        correlation = self.correlation(gamma, covariates)
        if not self.symmetric:
            return torch.linalg.cholesky(correlation)
        values, vectors = torch.linalg.eigh(correlation)
        return (vectors * torch.sqrt(values)[..., None, :]) @ vectors.mT

    def mean_covariance(
        self, gamma: torch.Tensor, signal: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the mean of D R D over signals (n, d_y), shape (d_y, d_y)."""
        correlation = self.correlation(gamma, covariates)
        if correlation.ndim == 2:
            d = self.deviations(gamma, signal, covariates)
            return correlation * (d.T @ d / len(d))
        return self.covariance_given(gamma, signal, covariates).mean(dim=0)

    def covariance_given(
        self, gamma: torch.Tensor, signal: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return D R D about each signal (n, d_y), shape (n, d_y, d_y)."""
        d = self.deviations(gamma, signal, covariates)
        return self.correlation(gamma, covariates) * d[:, :, None] * d[:, None, :]

    def covariances(
        self, gamma: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the covariance of systems with covariates (n, k), shape (n, d_y, d_y)."""
        if covariates is None:
            return self.covariance(gamma)
        self._refuse_growth()
        signal = torch.zeros((len(covariates), self.d_y), dtype=gamma.dtype)
        return self.covariance_given(gamma, signal, covariates)

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the base's covariance, for a system whose covariates are at their mean.

        Raises
        ------
        TypeError
            If the noise grows with the signal, so that it has no covariance of its own.
        """
        self._refuse_growth()
        return self.base.covariance(self.within(gamma))

    def cholesky(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the base's factor."""
        self._refuse_growth()
        return self.base.cholesky(self.within(gamma))

    def _base_covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        return self.base.covariance(self.within(gamma))

    def _places(self, covariates: torch.Tensor | None) -> torch.Tensor:
        """Return the places of systems as indices of the base's places, replicate by replicate."""
        if covariates is None:
            raise ValueError("the noise depends on the places of the systems, which were not given")
        own = covariates[:, -self._own_places :].long()
        firsts = torch.arange(0, self.base.d_y, self._of_each)
        return (own[:, None, :] + firsts[:, None]).flatten(1)

    def _refuse_growth(self) -> None:
        if self.grows != "constant":
            raise TypeError("noise that grows with the signal has no covariance without a signal")


def replicated_noise(single: NoiseModel, count: int) -> NoiseModel:
    """Return the noise of ``count`` replicates; one replicate returns ``single`` unchanged.

    Noise that varies scales the replicates of its base. The replicates of a system share its
    discrepancies.
    """
    if count == 1:
        return single
    if isinstance(single, IntrinsicNoise):
        return single.replicated(count)
    if isinstance(single, SharedDiscrepancy):
        return single.about(replicated_noise(single.centred, count), count)
    if isinstance(single, OwnDiscrepancy):
        return single.replicated(replicated_noise(single.measurement, count), count)
    if isinstance(single, VaryingNoise):
        return single.with_base(ReplicatedNoise(single.base, count))
    return ReplicatedNoise(single, count)
