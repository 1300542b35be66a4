r"""A law of no prescribed shape: a triangular map of standard normal numbers.

With a monotone map t_k for each parameter (:mod:`popinv.population.laws.transforms`) and
``z_k = t_k(x_k)``, in a given order of the parameters,

.. math:: x_k = m_k + s_k\, \frac{\mu_k(\omega_1, \dots, \omega_{k-1})
    + e^{\rho_k(\omega_1, \dots, \omega_{k-1})} g_k(\omega_k)}{\sqrt{V_k}} .

g_k is increasing with mean 0 and variance 1 (:mod:`popinv.population.laws.free_form.monotone`), and

.. math:: \mu_k = \sum_{j<k} \sum_{p=1}^{3} b_{kjp} \psi_p(\omega_j), \qquad
    \rho_k = \sum_{j<k} r_{kj} \omega_j, \qquad
    V_k = \sum b_{kjp}^2 + e^{2 \sum r_{kj}^2},

with the orthonormal Hermite polynomials psi_p. m_k and s_k are therefore the mean and the standard
deviation of x_k, whatever its shape. The map is triangular and increasing in its last argument, so
it is smooth and invertible (Marzouk, Moselhy, Parno and Spantini, Sampling via measure transport,
2016). It is affine, and the law normal, where all coefficients are zero but those of psi_1.

The data do not determine all coefficients. Their log likelihood is lowered by half the sum of the
squares of alpha's entries for g, mu and rho, which are the coefficients in units of a prior
standard deviation: the maximum is that of the posterior under a normal prior about the normal law
(for g as in Efron, Empirical Bayes deconvolution estimates, Biometrika 103, 2016, which penalises
the coefficients of a spline).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from popinv.population.laws.base import Law
from popinv.population.laws.free_form.monotone import MonotoneMap
from popinv.population.laws.free_form.values import FORMS, value_names
from popinv.population.laws.transforms import Transform, bounded_columns, unbounded_columns

_LOG_ROOT = 0.5 * math.log(2 * math.pi)
# Prior standard deviations of the coefficients of psi_1, psi_2 and psi_3, and of rho.
_PRIOR = torch.tensor([2.0, 1.0, 0.5, 0.5], dtype=torch.float64)


class FreeFormLaw(Law):
    """Parameters whose distribution has no prescribed shape.

    alpha holds the means of x and the logarithms of its standard deviations, then for each
    parameter the coefficients of g, then for each pair those of psi_1, psi_2, psi_3 and rho.

    Parameters
    ----------
    parameters : sequence of str
        Names of the entries of z.
    transforms : sequence of Transform
        The map of each.
    knots : int
        Number of knots of each g.
    roughness : float
        Prior standard deviation of the change of log g' over one unit of omega.
    dependent : bool
        Whether the parameters depend on each other.
    order : sequence of str, optional
        The parameters in the order of the map; by default that of z.
    """

    strongly_curved = True
    summarised = True

    def __init__(
        self,
        parameters: Sequence[str],
        transforms: Sequence[Transform],
        knots: int,
        roughness: float,
        dependent: bool,
        order: Sequence[str] | None = None,
    ) -> None:
        d = len(parameters)
        self.d_z = self.d_omega = d
        self.parameters, self.transforms = tuple(parameters), tuple(transforms)
        self._order = [list(parameters).index(name) for name in order or parameters]
        self._map = MonotoneMap(knots, roughness)
        self._each = knots
        self._pairs = [(k, j) for k in range(d) for j in range(k)] if dependent else []
        self.joint = bool(self._pairs)
        ordered = [parameters[i] for i in self._order]
        self.names = value_names(
            parameters, ordered, self._each, [(ordered[k], ordered[j]) for k, j in self._pairs]
        )
        free = len(self.names) - 2 * d
        self.positive = (*(False,) * d, *(True,) * d, *(False,) * free)

    @property
    def precision(self) -> np.ndarray:
        """One for the coefficients, zero for means and standard deviations."""
        return (np.arange(len(self.names)) >= 2 * self.d_z).astype(float)

    @property
    def unitless(self) -> np.ndarray:
        """True for all entries but the means."""
        return np.arange(len(self.names)) >= self.d_z

    @property
    def logarithmic(self) -> tuple[bool, ...]:
        """True for the parameters whose logarithm the map gives."""
        return tuple(transform.kind == "log" for transform in self.transforms)

    def sample(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        """Map omega (n, d_z) to z (n, d_z)."""
        means, log_deviations, shapes, pairs = self._parts(alpha)
        columns: list[torch.Tensor | None] = [None] * self.d_z
        for k, i in enumerate(self._order):
            value, _ = self._map.value(shapes[..., k, :], omega[:, k])
            shift, log_scale, log_norm = self._conditional(pairs, omega, k)
            e = (shift + torch.exp(log_scale) * value) * torch.exp(-log_norm)
            x = means[..., i] + torch.exp(log_deviations[..., i]) * e
            columns[i] = self.transforms[i].bounded(x)
        return torch.stack([column for column in columns if column is not None], dim=1)

    def log_density(self, alpha: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return the log density for each row of z (n, d_z)."""
        return self.log_density_at(alpha, z, None)

    def log_density_at(
        self, alpha: torch.Tensor, z: torch.Tensor, omega: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the log density for each row of z, which omega is mapped to if it is given."""
        means, log_deviations, shapes, pairs = self._parts(alpha)
        x = self.unbounded(z)
        total = torch.zeros(len(z), dtype=z.dtype)
        found: list[torch.Tensor] = []
        for k, i in enumerate(self._order):
            before = torch.stack(found, dim=1) if found else x[:, :0]
            shift, log_scale, log_norm = self._conditional(pairs, before, k)
            e = (x[:, i] - means[..., i]) * torch.exp(log_norm - log_deviations[..., i])
            own = shapes[..., k, :]
            root = None if omega is None else omega[:, k]
            here = self._map.inverse(own, (e - shift) * torch.exp(-log_scale), root)
            _, log_slope = self._map.value(own, here)
            stretch = log_slope + log_scale - log_norm + log_deviations[..., i]
            slope_of_z = self.transforms[i].log_slope(x[:, i])
            total = total - 0.5 * here**2 - _LOG_ROOT - stretch - slope_of_z
            found.append(here)
        return total

    def most_likely(self, z: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return the alpha of the highest penalised likelihood for known z (n, d_z)."""
        from popinv.optimisation.minimisation import minimise

        known = torch.from_numpy(z)
        weights = torch.from_numpy(self.precision / (2 * len(z)))

        def loss(alpha: torch.Tensor) -> torch.Tensor:
            return (weights * alpha**2).sum() - self.log_density(alpha, known).mean()

        return minimise(loss, start)

    def unbounded(self, z: torch.Tensor) -> torch.Tensor:
        """Return x for z (..., d_z), column by column."""
        return unbounded_columns(self.transforms, z)

    def bounded(self, x: torch.Tensor) -> torch.Tensor:
        """Return z for x (..., d_z), column by column."""
        return bounded_columns(self.transforms, x)

    def _parts(
        self, alpha: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return means and log deviations (..., d), shapes (..., d, n), pairs (..., pairs, 4)."""
        d, own = self.d_z, self.d_z * self._each
        sizes = [d, d, own, len(FORMS) * len(self._pairs)]
        means, log_deviations, shapes, pairs = alpha.split(sizes, dim=-1)
        pairs = pairs.unflatten(-1, (len(self._pairs), len(FORMS))) * _PRIOR
        return means, log_deviations, shapes.unflatten(-1, (d, self._each)), pairs

    def _conditional(
        self, pairs: torch.Tensor, omega: torch.Tensor, k: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return mu_k and rho_k (n,), and the logarithm of the root of V_k."""
        rows = [row for row, (own, _) in enumerate(self._pairs) if own == k]
        if not rows:
            nothing = torch.zeros(len(omega), dtype=pairs.dtype)
            return nothing, nothing, torch.zeros((), dtype=pairs.dtype)
        own = pairs[..., rows, :]
        polynomials = _hermite(omega[:, :k])
        shift = (own[..., :3] * polynomials).sum(dim=(-2, -1))
        log_scale = (own[..., 3] * omega[:, :k]).sum(dim=-1)
        spread = (own[..., :3] ** 2).sum(dim=(-2, -1))
        norm = torch.exp(2 * (own[..., 3] ** 2).sum(dim=-1))
        return shift, log_scale, 0.5 * torch.log(spread + norm)


def _hermite(omega: torch.Tensor) -> torch.Tensor:
    """Return the orthonormal Hermite polynomials of degrees 1, 2 and 3, (n, k, 3)."""
    second = (omega**2 - 1) / math.sqrt(2)
    third = (omega**3 - 3 * omega) / math.sqrt(6)
    return torch.stack([omega, second, third], dim=-1)
