r"""The noise of an observation: a family of covariances, and terms that scale, add to or shift it.

A family of constant normal noise gives standard deviations sigma_j and a correlation matrix R. The
observation of a system with R replicates, the signal g and the covariates x is

.. math:: y = g + b + D(g + b, x)\, R^{1/2}\, u, \qquad D = \operatorname{diag}(d_j), \qquad
    d_j = e^{c^T x} \cdot
    \begin{cases} \sigma_j & \text{constant} \\ \sigma_j |g_j| & \text{proportional} \\
    \sqrt{\sigma_j^2 + \beta^2 g_j^2} & \text{combined,} \end{cases}

with u independent of mean 0 and variance 1: standard normal, or of Student's t distribution with
nu > 2 degrees of freedom, divided by its standard deviation. d_j is thus the standard deviation
for either. The terms are

- the :class:`Size`: growth with the signal, tails and covariates,
- the discrepancy of each system's own, which adds a covariance, and the shared discrepancy b
  (:mod:`popinv.population.noise.discrepancy`),
- the intrinsic variation of a random simulator (:mod:`popinv.population.noise.intrinsic`), for
  which a signal is a mean and a factor of a covariance.

Replicates stand side by side, :math:`I \otimes \Gamma`, and are independent but for the
discrepancies. A system may be observed at m places of its own
(:mod:`popinv.population.places`): it has the sigma and the R of these places.

The root :math:`R^{1/2}` is the symmetric one, so that heavy tails do not depend on the order of the
observations. An autoregression has an order, that of time: its root is the Cholesky factor, with
which R^{1/2} u is an autoregression with innovations u. For normal u all roots are equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from popinv.late import torch
from popinv.population.constraints import POSITIVE, REAL, Above, Constraint
from popinv.population.noise.base import NoiseModel
from popinv.population.noise.composed import WrappedNoise
from popinv.population.noise.discrepancy import PREFIX, OwnDiscrepancy, SharedDiscrepancy
from popinv.population.noise.intrinsic import Factor, rooted
from popinv.population.noise.student import student_of_normal


@dataclass(frozen=True)
class Size:
    """How the noise depends on the signal and on covariates, and its tails.

    Parameters
    ----------
    grows : {"constant", "proportional", "combined"}
    heavy_tails : bool
        Whether u has Student's t distribution.
    covariates : sequence of str
        Names of the covariates in x.
    columns : sequence of int
        The columns of these covariates among all of a system's.
    """

    grows: str
    heavy_tails: bool = False
    covariates: Sequence[str] = ()
    columns: Sequence[int] = ()

    @property
    def added(self) -> dict[str, Constraint]:
        """The parameters: log b, log(nu - 2) and c, without what the noise does not have."""
        own: dict[str, Constraint] = {"proportional": POSITIVE} if self.grows == "combined" else {}
        own |= {"degrees_of_freedom": Above(2.0)} if self.heavy_tails else {}
        return own | {f"noise_{name}_coefficient": REAL for name in self.covariates}

    @property
    def plain(self) -> bool:
        """Whether the noise has the size of the family, and normal tails."""
        return not (self.grows != "constant" or self.heavy_tails or self.covariates)

    def deviations(
        self,
        own: torch.Tensor,
        sigma: torch.Tensor,
        signal: torch.Tensor,
        covariates: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return d for signals (n, ..., d_y), with the parameters and sigma of the family."""
        if self.grows == "constant":
            d = sigma.expand(signal.shape)
        elif self.grows == "proportional":
            d = sigma * signal.abs()
        else:
            d = torch.sqrt(sigma**2 + torch.exp(2 * own[0]) * signal**2)
        if not self.columns:
            return d
        if covariates is None:
            raise ValueError("the noise depends on covariates, which were not given")
        predictor = covariates[:, list(self.columns)].to(d.dtype) @ own[-len(self.columns) :]
        return d * torch.exp(predictor).reshape(-1, *[1] * (signal.ndim - 1))


class Noise(WrappedNoise):
    """The noise of all replicates of a system.

    gamma holds the parameters of the family, (log a, log lambda) of the own discrepancy, those of
    the size, and (log A, [log ell], beta) of the shared discrepancy. The natural values in the
    place of beta are b, in the unit of the observations.

    Parameters
    ----------
    family : NoiseModel
        Of one replicate, at all places.
    size : Size, optional
    own : OwnDiscrepancy, optional
    shared : SharedDiscrepancy, optional
    intrinsic : bool
        Whether the simulator is random. A signal (n, R (d + k)) holds for each of R replicates the
        mean, then the entries of the factor of the intrinsic covariance.
    replicates : int
        R.
    own_places : int
        m, the number of observations of each replicate of a system that has places of its own: the
        last m covariates. Zero if all systems have all places of the family.

    Attributes
    ----------
    varies : bool
        True if the noise depends on the signal, on covariates or on places of a system's own, or is
        not Gaussian.
    """

    def __init__(
        self,
        family: NoiseModel,
        size: Size | None = None,
        own: OwnDiscrepancy | None = None,
        shared: SharedDiscrepancy | None = None,
        intrinsic: bool = False,
        replicates: int = 1,
        own_places: int = 0,
    ) -> None:
        self.size, self.own, self.shared = size or Size("constant"), own, shared
        self.intrinsic, self.replicates, self.own_places = intrinsic, replicates, own_places
        added: dict[str, Constraint] = {}
        parts = {"own": own, "size": self.size, "shared": shared}
        self._entries: dict[str, slice] = {}
        for name, part in parts.items():
            first = len(family.names) + len(added)
            added |= {} if part is None else part.added
            self._entries[name] = slice(first, len(family.names) + len(added))
        super().__init__(family, added)
        self._family = family
        self.d_y = replicates * (own_places or family.d_y)
        self.factor = Factor(self.d_y // replicates)
        self.independent = family.independent and own is None
        normal = self.size.plain and own is None
        self.unrestricted = family.unrestricted and normal
        self.by_distance = family.by_distance and normal and replicates == 1 and not intrinsic
        # The places of a system select rows and columns of the family, unless it has none.
        self._gathers = own_places not in (0, family.d_y)
        self.varies = not self.size.plain or intrinsic or self._gathers

    def with_terms(self, **changed: Any) -> Self:
        """Return the noise with some of the arguments changed."""
        names = ("size", "own", "shared", "intrinsic", "replicates", "own_places")
        terms = {name: getattr(self, name) for name in names} | {"family": self._family}
        return type(self)(**(terms | changed))

    def part(self, name: str, gamma: torch.Tensor) -> torch.Tensor:
        """Return the entries of gamma that belong to "own", "size" or "shared"."""
        return gamma[..., self._entries[name]]

    @property
    def family(self) -> NoiseModel:
        """The normal noise of constant size, of one replicate, on which the noise is built."""
        return self._family

    @property
    def of_one(self) -> Noise:
        """The noise of one replicate."""
        return self if self.replicates == 1 else self.with_terms(replicates=1)

    @property
    def measured(self) -> Noise:
        """The measurement noise, without the intrinsic variation of a random simulator."""
        return self.with_terms(intrinsic=False) if self.intrinsic else self

    @property
    def centred(self) -> Noise:
        """The noise about its mean; its gamma are the first entries."""
        return self if self.shared is None else self.with_terms(shared=None)

    @property
    def sizes_of_discrepancy(self) -> tuple[int, ...]:
        """Entries of gamma that only set the prior of the shared discrepancy; estimates hold them.

        They are log A and log ell, or none.
        """
        first, count = self._entries["shared"].start, self.shared.sizes if self.shared else 0
        return tuple(range(first, first + count))

    @property
    def is_normal(self) -> bool:
        """Whether the noise is normal, with a covariance that does not depend on the signal."""
        return self.grows == "constant" and not (self.heavy_tails or self.intrinsic)

    @property
    def grows(self) -> str:
        """How the noise grows with the signal."""
        return self.size.grows

    @property
    def heavy_tails(self) -> bool:
        """Whether u has Student's t distribution."""
        return self.size.heavy_tails

    @property
    def of_shape(self) -> np.ndarray:
        """Boolean mask (n,) of beta."""
        mask = np.zeros(len(self.names), dtype=bool)
        if self.shared is not None:
            mask[self._entries["shared"].start + self.shared.sizes :] = True
        return mask

    @property
    def coefficients(self) -> tuple[tuple[int, int], ...]:
        """Entries of gamma that are coefficients of a covariate, each with its column."""
        first = self._entries["size"].stop - len(self.size.columns)
        return tuple(enumerate(self.size.columns, first))

    @property
    def without_moments(self) -> tuple[int, ...]:
        """Entries of gamma that mean and covariance of the noise do not depend on."""
        first = self._entries["size"].start + (self.grows == "combined")
        return (first,) if self.heavy_tails else ()

    def tails(self, gamma: torch.Tensor) -> torch.Tensor | None:
        """Return log(nu - 2), or None if u is normal."""
        return gamma[self.without_moments[0]] if self.heavy_tails else None

    # The constant noise of all replicates.

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        r"""Return ``I (x) Gamma``, and the covariance of the own discrepancy, (d_y, d_y).

        It is that of a system whose covariates are at their mean.

        Raises
        ------
        TypeError
            If the noise grows with the signal, so that it has no covariance of its own.
        """
        self._refuse_growth()
        return self._constant(gamma)

    def cholesky(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the lower triangular factor of :meth:`covariance`."""
        self._refuse_growth()
        if self.own is not None:
            return torch.linalg.cholesky(self._constant(gamma))
        return self._blocks(self._family.cholesky(self.within(gamma)))

    def sample(self, gamma: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """Map standard normal e (n, R d) to constant noise (n, R d), replicate by replicate."""
        if self.own is not None:
            return super().sample(gamma, e)
        rows = e.reshape(-1, self._family.d_y)
        return self._family.sample(self.within(gamma), rows).reshape(e.shape)

    def whiten(self, gamma: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return L^{-1} x for each row of x (n, R d)."""
        if self.own is not None:
            return super().whiten(gamma, x)
        rows = x.reshape(-1, self._family.d_y)
        return self._family.whiten(self.within(gamma), rows).reshape(x.shape)

    def _constant(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the covariance of constant noise at all places of the family."""
        covariance = self._blocks(self._family.covariance(self.within(gamma)))
        if self.own is None:
            return covariance
        own = self.own.process.covariance(self.part("own", gamma))
        return covariance + own.repeat(self.replicates, self.replicates)

    def _blocks(self, matrix: torch.Tensor) -> torch.Tensor:
        if self.replicates == 1:
            return matrix
        return torch.block_diag(*[matrix] * self.replicates)

    def _refuse_growth(self) -> None:
        if self.grows != "constant":
            raise TypeError("noise that grows with the signal has no covariance without a signal")

    # The noise of systems with signals and covariates.

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
        sigma = torch.sqrt(torch.diagonal(self._constant(gamma)))
        if self._gathers:
            own = sigma[self._places(covariates)]
            sigma = own.reshape(len(own), *[1] * (signal.ndim - 2), -1)
        return self.size.deviations(self.part("size", gamma), sigma, signal, covariates)

    def correlation(
        self, gamma: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return R, shape (d_y, d_y), or (n, d_y, d_y) where it depends on the systems' places."""
        if self.independent:
            return torch.eye(self.d_y, dtype=gamma.dtype)
        correlation = correlation_of(self._constant(gamma))
        if not self._gathers:
            return correlation
        places = self._places(covariates)
        return correlation[places[:, :, None], places[:, None, :]]

    def root(self, gamma: torch.Tensor, covariates: torch.Tensor | None = None) -> torch.Tensor:
        """Return R^{1/2}, of the shape of R."""
        correlation = self.correlation(gamma, covariates)
        if not self.symmetric:
            return torch.linalg.cholesky(correlation)
        values, vectors = torch.linalg.eigh(correlation)
        return (vectors * torch.sqrt(values)[..., None, :]) @ vectors.mT

    @property
    def symmetric(self) -> bool:
        """Whether R^{1/2} is the symmetric root, which has no order of the observations.

        Normal noise is the same with any root, and a series has an order of its own.
        """
        return self.heavy_tails and not self._family.is_series

    def sample_given(
        self,
        gamma: torch.Tensor,
        e: torch.Tensor,
        signal: torch.Tensor,
        covariates: torch.Tensor | None = None,
        scale: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Map standard normal e (n, d_y) to noise (n, d_y) about its mean.

        With intrinsic variation, a row has the covariance ``C / s^2 + Gamma``: times s, that of an
        observation. It is NaN where this covariance is not finite, or not positive definite by
        rounding.
        """
        if self.intrinsic:
            return self._with_variation(gamma, e, signal, scale)
        if not self.varies:
            return self.sample(gamma, e)
        tails = self.tails(gamma)
        u = e if tails is None else student_of_normal(e, tails)
        if self._gathers or self.symmetric:
            correlated = (self.root(gamma, covariates) @ u[..., None])[..., 0]
        else:
            sigma = torch.sqrt(torch.diagonal(self._constant(gamma)))
            correlated = self.sample(gamma, u) / sigma
        return self.deviations(gamma, signal, covariates) * correlated

    def mean_covariance(
        self, gamma: torch.Tensor, signal: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the mean of the noise's covariance over signals (n, d_y), shape (d_y, d_y)."""
        if self.intrinsic:
            of_replicates = self.variation(signal).mean(dim=0)
            return torch.block_diag(*of_replicates) + self.covariance(gamma)
        if not self.varies:
            return self.covariance(gamma)
        correlation = self.correlation(gamma, covariates)
        if correlation.ndim == 2:
            d = self.deviations(gamma, signal, covariates)
            return correlation * (d.T @ d / len(d))
        return self.covariance_given(gamma, signal, covariates).mean(dim=0)

    def mean_factor(
        self, gamma: torch.Tensor, signal: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the lower triangular factor of :meth:`mean_covariance`."""
        if not self.varies:
            return self.cholesky(gamma)
        return torch.linalg.cholesky(self.mean_covariance(gamma, signal, covariates))

    def covariance_given(
        self, gamma: torch.Tensor, signal: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the covariance D R D of the noise about each signal (n, d_y), (n, d_y, d_y)."""
        if self.intrinsic or not self.varies:
            return self.covariance(gamma).expand(len(signal), -1, -1)
        d = self.deviations(gamma, signal, covariates)
        return self.correlation(gamma, covariates) * d[:, :, None] * d[:, None, :]

    def covariances(
        self, gamma: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return Gamma of all systems (d_y, d_y), or of each by its covariates (n, d_y, d_y)."""
        self._refuse_growth()
        if covariates is None or self.intrinsic or not self.varies:
            return self.covariance(gamma)
        signal = torch.zeros((len(covariates), self.d_y), dtype=gamma.dtype)
        return self.covariance_given(gamma, signal, covariates)

    def _places(self, covariates: torch.Tensor | None) -> torch.Tensor:
        """Return the places of systems as indices of the family's places, by replicate."""
        if covariates is None:
            raise ValueError("the noise depends on the places of the systems, which were not given")
        own = covariates[:, -self.own_places :].long()
        firsts = torch.arange(self.replicates) * self._family.d_y
        return (own[:, None, :] + firsts[:, None]).flatten(1)

    # The shared discrepancy.

    def shifted(
        self, gamma: torch.Tensor, signal: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return g + b for signals g (n, d_y): what is measured, which is g without b."""
        return signal if self.shared is None else signal + self.shift(gamma, covariates)

    def shift(self, gamma: torch.Tensor, covariates: torch.Tensor | None = None) -> torch.Tensor:
        """Return b of all replicates, (d_y,), or of each system at its own places, (n, d_y)."""
        if self.shared is None:
            return torch.zeros(self.d_y, dtype=gamma.dtype)
        values = self.shared.values(self.part("shared", gamma))
        return self.shared.placed(values, covariates, self.replicates, self.own_places)

    def shift_derivatives(
        self, gamma: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the derivatives of the shift in the parameters of the shared discrepancy.

        A and ell are held.

        Returns
        -------
        Tensor of shape (k, d_y), or (n, k, d_y) for systems with places of their own
        """
        if self.shared is None:
            return torch.zeros((0, self.d_y), dtype=gamma.dtype)
        rows = self.shared.derivatives(self.part("shared", gamma))
        return self.shared.placed(rows, covariates, self.replicates, self.own_places)

    def to_natural(self, unconstrained: np.ndarray) -> np.ndarray:
        """Return the natural values for unconstrained gamma of shape (..., n): b for beta."""
        natural = super().to_natural(unconstrained)
        if self.shared is not None:
            own = self._entries["shared"]
            natural[..., own] = self.shared.natural(natural[..., own])
        return natural

    def to_unconstrained(self, natural: np.ndarray) -> np.ndarray:
        """Undo :meth:`to_natural`, for values (n,)."""
        gamma = super().to_unconstrained(natural)
        if self.shared is not None:
            own, sizes = self._entries["shared"], self.shared.sizes
            values = np.asarray(natural, dtype=float)[own][sizes:]
            gamma[own] = self.shared.coordinates_of(gamma[own][:sizes], values)
        return gamma

    def _by_name(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return values by name, with ``discrepancy: [b_1, ..., b_d]`` or b = 0 if it is absent."""
        if self.shared is None:
            return super()._by_name(values)
        names = (*self.shared.added, PREFIX)
        rest = super()._by_name({k: value for k, value in values.items() if k not in names})
        own = {name: values[name] for name in names if name in values}
        return {**rest, **self.shared.by_name(own, self._size_of_family(rest))}

    def _size_of_family(self, values: Mapping[str, Any]) -> float:
        """Return the root mean square of the standard deviations of constant noise."""
        gamma = self._family.from_natural({name: values[name] for name in self._family.names})
        covariance = self._family.covariance(torch.from_numpy(gamma))
        return float(torch.sqrt(torch.diagonal(covariance).mean()))

    # The intrinsic variation of a random simulator.

    def apart(self, signal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return means (..., R, d) and entries (..., R, k) of signals (..., R (d + k))."""
        each = signal.unflatten(-1, (-1, self.factor.d + self.factor.size))
        return each[..., : self.factor.d], each[..., self.factor.d :]

    def mean(self, signal: torch.Tensor) -> torch.Tensor:
        """Return the mean answer (..., d_y) of signals, which they are if nothing is random."""
        return self.apart(signal)[0].flatten(-2) if self.intrinsic else signal

    def of_run(self, answer: torch.Tensor) -> torch.Tensor:
        """Return the signals (n, d + k) of runs (n, d): a run is its own mean and varies no more.

        The noise is that of one replicate.
        """
        if not self.intrinsic:
            return answer
        return torch.cat([answer, answer.new_zeros((len(answer), self.factor.size))], dim=1)

    def intrinsic_variance(self, signal: torch.Tensor) -> torch.Tensor:
        """Return the diagonal of C (..., d_y) of signals, zero if nothing is random."""
        if not self.intrinsic:
            return torch.zeros_like(signal)
        return self.variation(signal).diagonal(dim1=-2, dim2=-1).flatten(-2)

    def variation(self, signal: torch.Tensor) -> torch.Tensor:
        """Return C (..., R, d, d) of signals (..., R (d + k))."""
        return self.factor.covariance(self.apart(signal)[1])

    def loadings(self, signal: torch.Tensor) -> torch.Tensor:
        """Return vectors d_l (L, n, d_y) with sum_l d_l d_l^T = C for signals (n, R (d + k))."""
        entries = self.apart(signal)[1]
        factor, count = self.factor.matrix(entries), entries.shape[-2]
        # A replicate has columns of its own.
        whole = factor.new_zeros((len(signal), count, self.factor.d, count, self.factor.columns))
        for r in range(count):
            whole[:, r, :, r] = factor[:, r]
        return whole.flatten(3).flatten(1, 2).movedim(-1, 0)

    def _with_variation(
        self, gamma: torch.Tensor, e: torch.Tensor, signal: torch.Tensor, scale: torch.Tensor | None
    ) -> torch.Tensor:
        variation = self.variation(signal)
        if scale is not None:
            variation = variation / scale[:, None, None, None] ** 2
        own = self._family.covariance(self.within(gamma))
        factor, good = rooted(variation + own)
        drawn = (factor @ e.unflatten(-1, (-1, self.factor.d))[..., None])[..., 0]
        return torch.where(good[..., None], drawn, torch.nan).flatten(-2)


def correlation_of(covariance: torch.Tensor) -> torch.Tensor:
    """Return the correlation matrix of a covariance (d, d)."""
    sigma = torch.sqrt(torch.diagonal(covariance))
    return covariance / torch.outer(sigma, sigma)


def composed(noise: NoiseModel) -> Noise:
    """Return noise with its terms; a family alone has none."""
    return noise if isinstance(noise, Noise) else Noise(noise)


def replicated_noise(single: NoiseModel, count: int) -> Noise:
    """Return the noise of ``count`` replicates of systems."""
    return composed(single).with_terms(replicates=count)


def noise_at_places(whole: Noise, count: int) -> Noise:
    """Return the noise of systems with ``count`` places of their own.

    A family that is the same at all places is that of so many observations.
    """
    same = whole.family.at_any_places(count)
    return whole.with_terms(own_places=count, **({} if same is None else {"family": same}))
