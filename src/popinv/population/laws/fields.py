"""Laws of random fields on the unit interval and the unit square, by cosine expansions.

The cosines are the eigenfunctions of the Laplacian with zero normal derivative at the boundary.
:func:`popinv.forward.wavenumbers.wavenumbers` gives the wave numbers.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from popinv.forward.wavenumbers import wavenumbers
from popinv.late import torch
from popinv.population.constraints import POSITIVE, REAL
from popinv.population.laws.base import Law


class _Cosines:
    """The wave numbers k of an expansion, and what the laws need of them."""

    def __init__(self, dimension: int, modes: int) -> None:
        self.wave_numbers = wavenumbers(dimension, modes)

    def __len__(self) -> int:
        return len(self.wave_numbers)

    @cached_property
    def squared(self) -> torch.Tensor:
        """pi^2 |k|^2."""
        return torch.as_tensor(math.pi**2 * (self.wave_numbers**2).sum(axis=1), dtype=torch.float64)

    @cached_property
    def average(self) -> torch.Tensor:
        """The average of the squared cosine: 1/2 in each direction in which it varies."""
        return torch.as_tensor(0.5 ** (self.wave_numbers > 0).sum(axis=1), dtype=torch.float64)


class MaternLaw(Law):
    r"""Mean plus a Whittle-Matern field with unknown mean, standard deviation and length.

    .. math::
        a(x) = m + \sum_j z_j \prod_i \cos(\pi k_{ji} x_i), \qquad
        z_j = s \sqrt{q_j(\ell)}\,\omega_j, \qquad
        q_j \propto (1 + \ell^2 \pi^2 |k_j|^2)^{-\nu - d/2}

    with ``q`` normalised so that the variance of the field, averaged over the domain, is s**2:
    s is then the standard deviation of the log-permeability that one reads off a picture, and
    does not change its meaning with the length. (The expansion without this normalisation is in
    arXiv 2405.17955, where the field's variance depends on the length.)

    alpha = (mean, log standard deviation, log length); z = (mean, z_1, ..., z_modes).

    Parameters
    ----------
    dimension : int
        1 or 2.
    modes : int
        Wave numbers per direction.
    smoothness : float
        nu, held fixed.
    """

    names = ("mean", "standard_deviation", "length")
    constraints = (REAL, POSITIVE, POSITIVE)
    affine = True

    def __init__(self, dimension: int, modes: int, smoothness: float) -> None:
        self._cosines = _Cosines(dimension, modes)
        self.wave_numbers = self._cosines.wave_numbers
        self._exponent = smoothness + dimension / 2
        self.d_omega = len(self._cosines)
        self.d_z = self.d_omega + 1

    @property
    def varying(self) -> np.ndarray:
        """False for the mean, which is the same in all systems."""
        return np.arange(self.d_z) > 0

    def spectrum(self, length: torch.Tensor) -> torch.Tensor:
        """Return q (..., modes) for length (...,): the variance of z_j at s = 1."""
        q = (1 + length[..., None] ** 2 * self._cosines.squared) ** -self._exponent
        return q / (q * self._cosines.average).sum(dim=-1, keepdim=True)

    def amplitudes(self, alpha: torch.Tensor) -> torch.Tensor:
        """Return the deviations s sqrt(q_j) of the coefficients, (..., modes)."""
        deviation, length = alpha[..., 1].exp(), alpha[..., 2].exp()
        return deviation[..., None] * torch.sqrt(self.spectrum(length))

    def sample(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        """Map omega (n, modes) to z (n, 1 + modes)."""
        coefficients = self.amplitudes(alpha) * omega
        return torch.cat([alpha[..., 0].expand(len(omega))[:, None], coefficients], dim=1)

    def log_density(self, alpha: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return the log density of the coefficients, for each row of z (n, 1 + modes).

        The mean is the same number in all systems and has no density: the first entry of z is
        left out, and the result does not depend on the mean.
        """
        variance = torch.exp(2 * alpha[..., 1, None]) * self.spectrum(torch.exp(alpha[..., 2]))
        logs = torch.log(2 * math.pi * variance).sum(dim=-1)
        return -0.5 * ((z[:, 1:] ** 2 / variance).sum(dim=-1) + logs)

    def most_likely(self, z: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return the maximum likelihood alpha of the coefficients, with the mean of z[:, 0]."""
        alpha = super().most_likely(z, start)
        alpha[0] = z[:, 0].mean()
        return alpha


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

    names = ("inverse_length", "permeability_1", "permeability_2")
    constraints = (POSITIVE, POSITIVE, POSITIVE)

    def __init__(self, dimension: int, modes: int) -> None:
        self._cosines = _Cosines(dimension, modes)
        self.wave_numbers = self._cosines.wave_numbers
        self.d_omega = len(self._cosines)
        self.d_z = self.d_omega + 2

    @property
    def varying(self) -> np.ndarray:
        """False for the permeabilities, which are the same in all systems."""
        return np.arange(self.d_z) > 1

    def amplitudes(self, alpha: torch.Tensor) -> torch.Tensor:
        """Return the deviations of the coefficients before the norm, (..., modes)."""
        inverse_length = alpha[..., 0].exp()
        return (self._cosines.squared + inverse_length[..., None] ** 2) ** -2

    def sample(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        """Map omega (n, modes) to z (n, 2 + modes)."""
        c = self.amplitudes(alpha) * omega
        c = c / torch.sqrt((c**2 * self._cosines.average).sum(dim=1, keepdim=True))
        permeabilities = alpha[..., 1:3].expand(len(omega), 2)
        return torch.cat([permeabilities, c], dim=1)
