r"""Laws that are made of other laws.

A :class:`WrappedLaw` is another law, with further unknowns. The wrapper takes every attribute that
it does not state from the law within. Two wrappers follow.

A :class:`ShiftedLaw` has unknowns that depend on the covariates c of a system. The unknowns of a
law are its entries alpha, unconstrained. Some of them depend on c linearly,

.. math:: \alpha^{(n)} = \alpha + B c^{(n)}, \qquad z^{(n)} \sim \mu(\alpha^{(n)}) ,

and the coefficients B are further unknowns. The logarithm of a positive unknown is linear in c.

A :class:`ProductLaw` joins two independent groups of parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from popinv.late import torch
from popinv.population.constraints import REAL, Constraint
from popinv.population.correlation_matrix import CorrelationMatrix
from popinv.population.laws.base import Law
from popinv.population.laws.parameters import coefficient_names


class WrappedLaw(Law):
    """A law that contains another law.

    alpha holds the entries of the law within, then those that the wrapper adds. A wrapper overrides
    :meth:`within`, or :meth:`sample` and :meth:`log_density`, which the other methods use.

    Parameters
    ----------
    law : Law
        The law within.
    added : mapping of str to Constraint
        The wrapper's own unknowns.
    """

    def __init__(self, law: Law, added: Mapping[str, Constraint] | None = None) -> None:
        added = added or {}
        self.law, self._within, self._added = law, len(law.names), len(added)
        self.names = (*law.names, *added)
        self.constraints = (*law.constraints, *added.values())
        self.transforms, self.parameters = law.transforms, law.parameters
        self.d_omega, self.d_z, self.affine = law.d_omega, law.d_z, law.affine
        self.covariates, self.coefficients = law.covariates, law.coefficients
        self.strongly_curved, self.summarised = law.strongly_curved, law.summarised
        self.joint, self.component = law.joint, law.component
        self.wave_numbers = law.wave_numbers

    def within(self, alpha: torch.Tensor, covariates: torch.Tensor | None = None) -> torch.Tensor:
        """Return the entries of the law within, one row for each system where they differ.

        Parameters
        ----------
        alpha : Tensor of shape (d_alpha,) or (n, d_alpha)
        covariates : Tensor of shape (n, k), optional
        """
        return alpha[..., : self._within]

    @property
    def unitless(self) -> np.ndarray:
        """Boolean mask (d_alpha,) of the law within and of the wrapper's constraints."""
        return np.append(self.law.unitless, super().unitless[self._within :])

    @property
    def of_shape(self) -> np.ndarray:
        """Boolean mask (d_alpha,) of the law within; none of the wrapper's own entries."""
        return np.append(self.law.of_shape, np.zeros(self._added, dtype=bool))

    @property
    def matrices(self) -> tuple[CorrelationMatrix, ...]:
        """The matrices of the law within."""
        return self.law.matrices

    @property
    def medians(self) -> Mapping[int, int]:
        """The medians of the law within."""
        return self.law.medians

    @property
    def varying(self) -> np.ndarray:
        """The mask of the law within."""
        return self.law.varying

    @property
    def logarithmic(self) -> tuple[bool, ...]:
        """The flags of the law within."""
        return self.law.logarithmic

    @property
    def has_density(self) -> bool:
        """Whether the law within has a density."""
        return self.law.has_density

    def unbounded(self, z: torch.Tensor) -> torch.Tensor:
        """Return z in the unbounded coordinates of the law within."""
        return self.law.unbounded(z)

    def bounded(self, x: torch.Tensor) -> torch.Tensor:
        """Undo :meth:`unbounded`."""
        return self.law.bounded(x)

    def split(self, alpha: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the components of the law within."""
        return self.law.split(self.within(alpha))

    def amplitudes(self, alpha: torch.Tensor) -> torch.Tensor:
        """Return those of the law within, for a system with covariates of zero."""
        covariates = torch.zeros(1, self.covariates, dtype=alpha.dtype) if self.covariates else None
        within = self.within(alpha, covariates)
        return self.law.amplitudes(within if covariates is None else within[0])

    def sample(
        self, alpha: torch.Tensor, omega: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Map omega (n, d_omega), and covariates (n, k) where they are given, to z (n, d_z)."""
        within = self.within(alpha, covariates)
        if covariates is None:
            return self.law.sample(within, omega)
        return self.law.sample_given(within, omega, covariates)

    def sample_given(
        self, alpha: torch.Tensor, omega: torch.Tensor, covariates: torch.Tensor
    ) -> torch.Tensor:
        """Map omega (n, d_omega) to z (n, d_z) for systems with covariates (n, k)."""
        return self.sample(alpha, omega, covariates)

    def log_density(
        self, alpha: torch.Tensor, z: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the log density for each row of z (n, d_z)."""
        within = self.within(alpha, covariates)
        if covariates is None:
            return self.law.log_density(within, z)
        return self.law.log_density_given(within, z, covariates)

    def log_density_given(
        self, alpha: torch.Tensor, z: torch.Tensor, covariates: torch.Tensor
    ) -> torch.Tensor:
        """Return the log density of systems with covariates (n, k)."""
        return self.log_density(alpha, z, covariates)

    def to_natural(self, unconstrained: np.ndarray) -> np.ndarray:
        """Return the natural values for unconstrained alpha (..., d_alpha)."""
        natural = super().to_natural(unconstrained)
        natural[..., : self._within] = self.law.to_natural(
            np.asarray(unconstrained)[..., : self._within]
        )
        return natural

    def to_unconstrained(self, natural: np.ndarray) -> np.ndarray:
        """Undo :meth:`to_natural`, for values (d_alpha,)."""
        alpha = super().to_unconstrained(natural)
        alpha[: self._within] = self.law.to_unconstrained(natural[: self._within])
        return alpha


class ShiftedLaw(WrappedLaw):
    """A law with unknowns that depend on covariates.

    alpha holds the entries of the law itself, then the coefficients.

    Parameters
    ----------
    law : Law
        It takes one alpha for each row.
    covariates : sequence of str
        Names of the covariates, in the order of c.
    effects : sequence of (str, str)
        Pairs of an unknown of the law and a covariate that it depends on.
    """

    def __init__(
        self, law: Law, covariates: Sequence[str], effects: Sequence[tuple[str, str]]
    ) -> None:
        super().__init__(law, dict.fromkeys(coefficient_names(effects, ()), REAL))
        self.covariates = len(covariates)
        self._places = [(law.names.index(name), covariates.index(c)) for name, c in effects]
        first = len(law.names)
        self.coefficients = tuple((first + k, c) for k, (_, c) in enumerate(self._places))

    def within(self, alpha: torch.Tensor, covariates: torch.Tensor | None = None) -> torch.Tensor:
        """Return the law's own alpha of each system, (n, d)."""
        if covariates is None:
            raise ValueError("the law depends on covariates, which were not given")
        first = len(self.law.names)
        own, coefficients = alpha[..., :first], alpha[..., first:]
        shift = [torch.zeros_like(covariates[:, 0])] * first
        for k, (entry, covariate) in enumerate(self._places):
            shift[entry] = shift[entry] + coefficients[..., k] * covariates[:, covariate]
        return own + torch.stack(shift, dim=1)


class ProductLaw(Law):
    """Two independent groups of parameters, ``z = (z_first, z_second)``.

    alpha, omega and z hold the first law's entries, then the second law's entries.
    """

    def __init__(self, first: Law, second: Law) -> None:
        self._first, self._second = first, second
        self._entries, self._cut = len(first.names), first.d_z
        self.names = first.names + second.names
        self.constraints = first.constraints + second.constraints
        self.transforms = first.transforms + second.transforms
        self.d_omega = first.d_omega + second.d_omega
        self.d_z = first.d_z + second.d_z
        self.affine = first.affine and second.affine
        self.wave_numbers = first.wave_numbers

    def amplitudes(self, alpha: torch.Tensor) -> torch.Tensor:
        """Return those of the first law."""
        return self._first.amplitudes(alpha[..., : self._entries])

    @property
    def medians(self) -> Mapping[int, int]:
        """The medians of the two laws, joined."""
        second = self._second.medians.items()
        joined = {self._entries + entry: self._cut + i for entry, i in second}
        return {**self._first.medians, **joined}

    @property
    def of_shape(self) -> np.ndarray:
        """The masks of the two laws, joined."""
        return np.concatenate([self._first.of_shape, self._second.of_shape])

    @property
    def matrices(self) -> tuple[CorrelationMatrix, ...]:
        """The matrices of the two laws, joined."""
        second = (each.after(self._entries) for each in self._second.matrices)
        return (*self._first.matrices, *second)

    @property
    def varying(self) -> np.ndarray:
        """The masks of the two laws, joined."""
        return np.concatenate([self._first.varying, self._second.varying])

    @property
    def has_density(self) -> bool:
        """Whether both laws have a density."""
        return self._first.has_density and self._second.has_density

    def sample(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        """Map omega (n, d_omega) to z (n, d_z)."""
        split = self._first.d_omega
        first = self._first.sample(alpha[..., : self._entries], omega[:, :split])
        second = self._second.sample(alpha[..., self._entries :], omega[:, split:])
        return torch.cat([first, second], dim=1)

    def log_density(self, alpha: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return the sum of both log densities, for each row of z (n, d_z)."""
        first = self._first.log_density(alpha[..., : self._entries], z[:, : self._cut])
        return first + self._second.log_density(alpha[..., self._entries :], z[:, self._cut :])

    def unbounded(self, z: torch.Tensor) -> torch.Tensor:
        """Return both groups in unbounded coordinates."""
        first, second = z[..., : self._cut], z[..., self._cut :]
        return torch.cat([self._first.unbounded(first), self._second.unbounded(second)], dim=-1)

    def bounded(self, x: torch.Tensor) -> torch.Tensor:
        """Undo :meth:`unbounded`."""
        first, second = x[..., : self._cut], x[..., self._cut :]
        return torch.cat([self._first.bounded(first), self._second.bounded(second)], dim=-1)

    def most_likely(self, z: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return the maximum likelihood alpha of both groups, which are independent."""
        first = self._first.most_likely(z[:, : self._cut], start[: self._entries])
        second = self._second.most_likely(z[:, self._cut :], start[self._entries :])
        return np.concatenate([first, second])

    def to_natural(self, unconstrained: np.ndarray) -> np.ndarray:
        """Return the natural values of both groups for unconstrained alpha (..., d_alpha)."""
        alpha = np.asarray(unconstrained, dtype=float)
        first = self._first.to_natural(alpha[..., : self._entries])
        second = self._second.to_natural(alpha[..., self._entries :])
        return np.concatenate([first, second], axis=-1)

    def to_unconstrained(self, natural: np.ndarray) -> np.ndarray:
        """Undo :meth:`to_natural`, for values (d_alpha,)."""
        first = self._first.to_unconstrained(natural[: self._entries])
        return np.concatenate([first, self._second.to_unconstrained(natural[self._entries :])])
