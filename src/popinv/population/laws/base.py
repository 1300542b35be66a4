"""Laws of the parameters over a population: reparameterised and differentiable.

A law maps standard normal numbers omega to parameters z, ``z = T(alpha, omega)``, so that
gradients with respect to alpha pass through the sample. alpha is unconstrained: positive
quantities are carried by their logarithm. People read and write the natural values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.special import expit, logit


class Law(ABC):
    """The law mu(alpha) of z.

    Attributes
    ----------
    names : tuple of str
        The entries of alpha, as the user reads them.
    positive : tuple of bool
        True for each entry that is positive, and so carried by its logarithm.
    d_omega, d_z : int
        Standard normal numbers in, parameters out.
    affine : bool
        True if z is an affine function of omega at every alpha.
    covariates : int
        Number of covariates of each system that :meth:`sample_given` depends on.
    coefficients : tuple of (int, int)
        Entries of alpha that are coefficients of a covariate, each with its covariate.
    strongly_curved : bool
        True if z is far from affine in the omega that are likely for one system. The marginal
        likelihood then takes its derivatives in alpha from :meth:`log_density`, which also takes
        one alpha per row of z; it draws from wider proposals, and takes more steps to a system's
        mode. All entries of z must have a density.
    summarised : bool
        True if entries of alpha have no meaning of their own. Results then state moments,
        quantiles and correlations of the law in place of the entries that
        :attr:`precision` penalises.
    joint : bool
        True if entries of z may depend on each other, so that pairs of them are shown.
    parameters : tuple of str
        Names of the entries of z; needed if the law is ``summarised``.
    component : Law or None
        The law of the components, if the law is a mixture; :meth:`split` gives their parameters.
    """

    names: tuple[str, ...]
    positive: tuple[bool, ...]
    parameters: tuple[str, ...] = ()
    d_omega: int
    d_z: int
    affine: bool = False
    covariates: int = 0
    coefficients: tuple[tuple[int, int], ...] = ()
    strongly_curved: bool = False
    summarised: bool = False
    joint: bool = False
    component: Law | None = None

    def split(self, alpha: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log weights (K,) and parameters (K, d_k) of the components at alpha (d_alpha,).

        Raises
        ------
        NotImplementedError
            If the law is no mixture.
        """
        raise NotImplementedError(f"{type(self).__name__} has no components")

    @property
    def precision(self) -> np.ndarray:
        """Weights (d_alpha,) of a penalty ``sum(precision alpha**2) / 2`` on the log likelihood.

        It is that of a normal prior of this precision about zero. Zero for most laws.
        """
        return np.zeros(len(self.names))

    @property
    def correlations(self) -> np.ndarray:
        """Boolean mask (d_alpha,): which entries of alpha are atanh of a correlation."""
        return np.zeros(len(self.names), dtype=bool)

    @property
    def shares(self) -> np.ndarray:
        """Boolean mask (d_alpha,): which entries of alpha are logits of a share."""
        return np.zeros(len(self.names), dtype=bool)

    @property
    def unitless(self) -> np.ndarray:
        """Boolean mask (d_alpha,): which entries are logarithms, correlations or shares."""
        return np.array(self.positive) | self.correlations | self.shares

    @property
    def logarithmic(self) -> tuple[bool, ...]:
        """The entries of z that are positive and whose logarithm is the natural coordinate."""
        return (False,) * self.d_z

    @property
    def medians(self) -> Mapping[int, int]:
        """The entries of alpha that are the mean of a transformed parameter, by its place in z.

        Users read the median of that parameter in place of the mean.
        """
        return {}

    @abstractmethod
    def sample(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        """Map omega (n, d_omega) to z (n, d_z); alpha is (d_alpha,) or one row per sample."""

    def sample_given(
        self, alpha: torch.Tensor, omega: torch.Tensor, covariates: torch.Tensor
    ) -> torch.Tensor:
        """Map omega to z for systems with covariates (n, k); a law without ignores them."""
        return self.sample(alpha, omega)

    @property
    def varying(self) -> np.ndarray:
        """Boolean mask (d_z,): which parameters differ between systems."""
        return np.ones(self.d_z, dtype=bool)

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

    def unbounded(self, z: torch.Tensor) -> torch.Tensor:
        """Return z (n, d_z) in coordinates on the real line: logarithms of positive entries."""
        return z

    def bounded(self, x: torch.Tensor) -> torch.Tensor:
        """Undo :meth:`unbounded`."""
        return x

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

    def to_natural(self, alpha: np.ndarray) -> np.ndarray:
        """Return the natural values for unconstrained alpha (..., d_alpha)."""
        bounded = np.where(self.correlations, np.tanh(alpha), alpha)
        bounded = np.where(self.shares, expit(alpha), bounded)
        return np.where(self.positive, np.exp(np.where(self.positive, alpha, 0.0)), bounded)

    def from_natural(self, values: Mapping[str, float] | Sequence[float]) -> np.ndarray:
        """Return unconstrained alpha for named natural values.

        Raises
        ------
        ValueError
            If names do not fit, a positive quantity is not positive, a correlation is not between
            -1 and 1, or a share is not between 0 and 1.
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
            raise ValueError("a positive quantity of the law has a value that is not positive")
        inside = self.correlations
        if np.any(np.abs(natural[inside]) >= 1):
            raise ValueError("a correlation lies between -1 and 1, both left out")
        shares = self.shares
        if np.any((natural[shares] <= 0) | (natural[shares] >= 1)):
            raise ValueError("a share lies between 0 and 1, both left out")
        unbounded = np.where(inside, np.arctanh(np.where(inside, natural, 0.0)), natural)
        unbounded = np.where(shares, logit(np.where(shares, natural, 0.5)), unbounded)
        return np.where(positive, np.log(np.where(positive, natural, 1.0)), unbounded)
