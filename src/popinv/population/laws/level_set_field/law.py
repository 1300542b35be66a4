"""Media of two materials, by cosine expansions of a level-set function.

The cosines are the eigenfunctions of the Laplacian with zero normal derivative at the boundary;
which wave numbers are used is said by :func:`popinv.forward.fields.wavenumbers`.
"""

from __future__ import annotations

import numpy as np
import torch

from popinv.forward.fields import wavenumbers
from popinv.population.laws.base import Law
from popinv.population.laws.level_set_field.section import LevelSetFieldParameters
from popinv.sections.base import positive_keys

_UNKNOWNS = positive_keys(LevelSetFieldParameters)


class LevelSetLaw(Law):
    r"""Two permeabilities, separated by the zero level of a random field.

    .. math::
        c_j = \frac{\tilde c_j}{\|\tilde c\|}, \qquad
        \tilde c_j = (\pi^2 |k_j|^2 + \lambda^2)^{-2} \omega_j

    where the norm is the L2 norm of the field. alpha = (log lambda, log kappa_1, log kappa_2);
    z = (log kappa_1, log kappa_2, c_1, ..., c_modes). The field's sign is symmetric, so the two
    permeabilities are known up to exchange: a start with permeability_1 < permeability_2 names
    them. Source: arXiv 2405.17955 (level-set prior of its one-dimensional Darcy example).
    """

    names = tuple(_UNKNOWNS)
    positive = tuple(_UNKNOWNS.values())

    def __init__(self, dimension: int, modes: int) -> None:
        k = wavenumbers(dimension, modes)
        self._squared = torch.as_tensor(np.pi**2 * (k**2).sum(axis=1), dtype=torch.float64)
        self._average = torch.as_tensor(0.5 ** (k > 0).sum(axis=1), dtype=torch.float64)
        self.d_omega = len(k)
        self.d_z = self.d_omega + 2

    @property
    def varying(self) -> np.ndarray:
        """False for the permeabilities, which are the same in all systems."""
        return np.arange(self.d_z) > 1

    def sample(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        """Map omega (n, modes) to z (n, 2 + modes)."""
        inverse_length = alpha[..., 0].exp()
        c = (self._squared + inverse_length[..., None] ** 2) ** -2 * omega
        c = c / torch.sqrt((c**2 * self._average).sum(dim=1, keepdim=True))
        permeabilities = alpha[..., 1:3].expand(len(omega), 2)
        return torch.cat([permeabilities, c], dim=1)
