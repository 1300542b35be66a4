"""Laws of the parameters over a population: reparameterised and differentiable.

A law maps standard normal numbers omega to parameters z, ``z = T(alpha, omega)``, so that gradients
with respect to alpha pass through the sample. alpha is unconstrained: a positive quantity is stored
as its logarithm, and any other quantity as its constraint states
(:mod:`popinv.population.constraints`). People read and write the natural values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property

import numpy as np

from popinv.late import torch
from popinv.population.constraints import (
    CORRELATION,
    POSITIVE,
    REAL,
    SHARE,
    Constraint,
    Parameterised,
    columns_bounded,
    columns_unbounded,
)


class Law(Parameterised, ABC):
    """The law mu(alpha) of z.

    Attributes
    ----------
    names : tuple of str
        The entries of alpha, as the user reads them.
    constraints : tuple of Constraint
        The constraint of each entry. A law may state ``positive`` instead.
    d_omega, d_z : int
        Standard normal numbers in, parameters out.
    members : int
        M, the members of a group whose parameters stand side by side in z; 1 for single systems.
    nested : bool
        True if z is that of the members of a group of nested levels, not of crossed ones.
    affine : bool
        True if z is an affine function of omega at every alpha.
    covariates : int
        Number of covariates of each system that :meth:`sample_given` depends on.
    coefficients : tuple of (int, int)
        Entries of alpha that are coefficients of a covariate, each with its covariate.
    mean_entries : tuple of int
        Entries of alpha that are coefficients of the mean of a law that is normal after a transform
        of each parameter: the means themselves, and the covariates' coefficients in them.
    strongly_curved : bool
        True if z is far from affine in the omega that are likely for one system. The marginal
        likelihood then takes its derivatives in alpha from :meth:`log_density`, which also takes
        one alpha per row of z; it draws from wider proposals, and takes more steps to a system's
        mode. All entries of z must have a density.
    summarised : bool
        True if entries of alpha have no meaning of their own. Results then state moments,
        quantiles and correlations of the law in place of :attr:`of_shape`.
    joint : bool
        True if entries of z may depend on each other, so that pairs of them are shown.
    parameters : tuple of str
        Names of the entries of z; needed if the law is ``summarised``.
    component : Law or None
        The law of the components, if the law is a mixture; :meth:`split` gives their parameters.
    wave_numbers : ndarray of shape (M, dimension), or None
        Those of the cosines of a random field, whose coefficients the first M entries of omega
        multiply; :meth:`amplitudes` gives their deviations.
    """

    parameters: tuple[str, ...] = ()
    d_omega: int
    d_z: int
    members: int = 1
    nested: bool = False
    affine: bool = False
    covariates: int = 0
    coefficients: tuple[tuple[int, int], ...] = ()
    mean_entries: tuple[int, ...] = ()
    strongly_curved: bool = False
    summarised: bool = False
    joint: bool = False
    component: Law | None = None
    wave_numbers: np.ndarray | None = None

    def _flagged(self) -> tuple[Constraint, ...]:
        flags = zip(self.positive, self.correlations, self.shares, strict=True)
        return tuple(
            POSITIVE if positive else CORRELATION if inside else SHARE if share else REAL
            for positive, inside, share in flags
        )

    @cached_property
    def positive(self) -> tuple[bool, ...]:
        """True for each positive entry of alpha, which is stored as its logarithm."""
        if self.states_flags:
            raise AttributeError(f"{type(self).__name__} states neither constraints nor 'positive'")
        return tuple(each == POSITIVE for each in self.constraints)

    @property
    def mean_counts(self) -> np.ndarray:
        """Number of coefficients of the same parameter's mean, at least 1, for each entry."""
        return np.ones(len(self.names))

    @property
    def correlations(self) -> np.ndarray:
        """Boolean mask (d_alpha,): which entries of alpha are atanh of a correlation."""
        return self._are(CORRELATION)

    @property
    def shares(self) -> np.ndarray:
        """Boolean mask (d_alpha,): which entries of alpha are logits of a share."""
        return self._are(SHARE)

    @property
    def unitless(self) -> np.ndarray:
        """Boolean mask (d_alpha,): which entries are logarithms, correlations or shares."""
        return np.array([each != REAL for each in self.constraints], dtype=bool)

    @cached_property
    def transforms(self) -> tuple[Constraint, ...]:
        """The constraint of each entry of z; by default there is none."""
        return (REAL,) * self.d_z

    @property
    def logarithmic(self) -> tuple[bool, ...]:
        """The entries of z that are positive and whose logarithm is the natural coordinate."""
        return tuple(each == POSITIVE for each in self.transforms)

    def unbounded(self, z: torch.Tensor) -> torch.Tensor:
        """Return z (..., d_z) in coordinates on the real line: logarithms of positive entries."""
        return columns_unbounded(self.transforms, z)

    def bounded(self, x: torch.Tensor) -> torch.Tensor:
        """Undo :meth:`unbounded`."""
        return columns_bounded(self.transforms, x)

    @property
    def of_shape(self) -> np.ndarray:
        """Boolean mask (d_alpha,): which entries of alpha are coefficients of a shape.

        They have no meaning of their own, and the law gives each a standard normal prior
        (:mod:`popinv.population.priors.prior`). Most laws have none.
        """
        return np.zeros(len(self.names), dtype=bool)

    @property
    def medians(self) -> Mapping[int, int]:
        """The entries of alpha that are the mean of a transformed parameter, by its place in z.

        Users read the median of that parameter in place of the mean.
        """
        return {}

    @property
    def varying(self) -> np.ndarray:
        """Boolean mask (d_z,): which parameters differ between systems."""
        return np.ones(self.d_z, dtype=bool)

    def units(self, present: np.ndarray) -> int:
        """Return the number of independent units of systems whose members are present (n, M)."""
        return len(present)

    def split(self, alpha: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log weights (K,) and parameters (K, d_k) of the components at alpha (d_alpha,).

        Raises
        ------
        NotImplementedError
            If the law is no mixture.
        """
        raise NotImplementedError(f"{type(self).__name__} has no components")

    def amplitudes(self, alpha: torch.Tensor) -> torch.Tensor:
        """Return the deviations (M,) of the coefficients of a random field at alpha (d_alpha,).

        Raises
        ------
        NotImplementedError
            If the law is not that of a random field.
        """
        raise NotImplementedError(f"{type(self).__name__} is not the law of a field")

    @abstractmethod
    def sample(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        """Map omega (n, d_omega) to z (n, d_z); alpha is (d_alpha,) or one row per sample."""

    def sample_given(
        self, alpha: torch.Tensor, omega: torch.Tensor, covariates: torch.Tensor
    ) -> torch.Tensor:
        """Map omega to z for systems with covariates (n, k); a law without ignores them."""
        return self.sample(alpha, omega)

    def tangents(
        self, alpha: torch.Tensor, omega: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor | None:
        """Return the derivatives of z in each omega, (d_omega, n, d_z), at one alpha.

        None if the law does not know them; they are then taken by differences.
        """
        return None

    @property
    def has_density(self) -> bool:
        """Whether :meth:`log_density` gives the density of the parameters that vary."""
        return type(self).log_density is not Law.log_density

    def log_density(self, alpha: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return log p(z | alpha) for each row of z (n, d_z), shape (n,).

        Raises
        ------
        NotImplementedError
            If the law has no density in closed form.
        """
        raise NotImplementedError(f"{type(self).__name__} has no density in closed form")

    def log_density_given(
        self, alpha: torch.Tensor, z: torch.Tensor, covariates: torch.Tensor
    ) -> torch.Tensor:
        """Return log p(z | alpha) of systems with covariates (n, k); a law without ignores them."""
        return self.log_density(alpha, z)

    def log_density_at(
        self, alpha: torch.Tensor, z: torch.Tensor, omega: torch.Tensor | None
    ) -> torch.Tensor:
        """Return :meth:`log_density` at z = T(alpha, omega); omega may save work.

        z is constant under differentiation in alpha.
        """
        return self.log_density(alpha, z)

    def most_likely(self, z: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return the maximum likelihood alpha for known parameters z (n, d_z).

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
        # This is imported here, since few stages use it.
        from popinv.optimisation.minimisation import minimise

        known = torch.from_numpy(z)
        return minimise(lambda alpha: -self.log_density(alpha, known).mean(), start)
