r"""Laws whose unknowns depend on covariates of each system.

The unknowns of a law are its entries alpha, unconstrained. Some of them depend on the covariates c
of a system, linearly:

.. math:: \alpha^{(n)} = \alpha + B c^{(n)}, \qquad z^{(n)} \sim \mu(\alpha^{(n)}) .

The coefficients B are further unknowns. The logarithm of a positive unknown is linear in c.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from popinv.population.laws.base import Law
from popinv.population.laws.structure import coefficient_names


class ShiftedLaw(Law):
    """A law with unknowns that depend on covariates.

    alpha holds the entries of the law itself, then the coefficients.

    Parameters
    ----------
    law : Law
        It takes one alpha for each row.
    covariates : sequence of str
        Names of the covariates, as they follow each other in c.
    effects : sequence of (str, str)
        Pairs of an unknown of the law and a covariate that it depends on.
    """

    def __init__(
        self, law: Law, covariates: Sequence[str], effects: Sequence[tuple[str, str]]
    ) -> None:
        self._law = law
        names = coefficient_names(effects, ())
        self.names = (*law.names, *names)
        self.positive = (*law.positive, *(False for _ in names))
        self.d_omega, self.d_z, self.affine = law.d_omega, law.d_z, law.affine
        self.covariates = len(covariates)
        first = len(law.names)
        self._places = [(law.names.index(name), covariates.index(c)) for name, c in effects]
        self.coefficients = tuple((first + k, c) for k, (_, c) in enumerate(self._places))

    @property
    def correlations(self) -> np.ndarray:
        """The flags of the law, False for the coefficients."""
        return np.append(self._law.correlations, [False] * len(self._places))

    @property
    def shares(self) -> np.ndarray:
        """The flags of the law, False for the coefficients."""
        return np.append(self._law.shares, [False] * len(self._places))

    @property
    def medians(self) -> Mapping[int, int]:
        """Those of the law."""
        return self._law.medians

    @property
    def varying(self) -> np.ndarray:
        """The mask of the law."""
        return self._law.varying

    @property
    def has_density(self) -> bool:
        """Whether the law has a density."""
        return self._law.has_density

    @property
    def logarithmic(self) -> tuple[bool, ...]:
        """The flags of the law."""
        return self._law.logarithmic

    def sample(
        self, alpha: torch.Tensor, omega: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Map omega (n, d_omega) and covariates (n, k) to z (n, d_z)."""
        return self._law.sample(self._rows(alpha, covariates), omega)

    def sample_given(
        self, alpha: torch.Tensor, omega: torch.Tensor, covariates: torch.Tensor
    ) -> torch.Tensor:
        """Map omega (n, d_omega) to z (n, d_z) for systems with covariates (n, k)."""
        return self.sample(alpha, omega, covariates)

    def log_density(
        self, alpha: torch.Tensor, z: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the log density of the law, for each row of z (n, d_z)."""
        return self._law.log_density(self._rows(alpha, covariates), z)

    def log_density_given(
        self, alpha: torch.Tensor, z: torch.Tensor, covariates: torch.Tensor
    ) -> torch.Tensor:
        """Return the log density of systems with covariates (n, k)."""
        return self.log_density(alpha, z, covariates)

    def unbounded(self, z: torch.Tensor) -> torch.Tensor:
        """Return z in the law's unbounded coordinates."""
        return self._law.unbounded(z)

    def bounded(self, x: torch.Tensor) -> torch.Tensor:
        """Undo :meth:`unbounded`."""
        return self._law.bounded(x)

    def _rows(self, alpha: torch.Tensor, covariates: torch.Tensor | None) -> torch.Tensor:
        """Return the law's own alpha of each system, (n, d)."""
        if covariates is None:
            raise ValueError("the law depends on covariates, which were not given")
        first = len(self._law.names)
        own, coefficients = alpha[..., :first], alpha[..., first:]
        shift = [torch.zeros_like(covariates[:, 0])] * first
        for k, (entry, covariate) in enumerate(self._places):
            shift[entry] = shift[entry] + coefficients[..., k] * covariates[:, covariate]
        return own + torch.stack(shift, dim=1)
