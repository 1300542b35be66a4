r"""Independent Gaussian processes on the same inputs: posterior means, derivatives, covariances.

Process c has mean zero and the covariance

.. math::
    k_c(x, x') = a_c\,\rho(r_c) + b_c\,(1 + x \cdot x'), \qquad
    r_c^2 = \sum_j (x_j - x'_j)^2 / \ell_{cj}^2,

with :math:`\rho` of a Matern process of smoothness 5/2 or :math:`\exp(-r^2/2)`. The second term is
a linear trend with a normal prior. Targets differ from the process by independent errors of
variance :math:`\nu_c` (the nugget), so with :math:`K_c = k_c(X, X) + \nu_c I`

.. math::
    m_c(x) = k_c(x, X) K_c^{-1} t_c, \qquad
    v_c(x, x') = k_c(x, x') - k_c(x, X) K_c^{-1} k_c(X, x').

See Rasmussen and Williams, "Gaussian processes for machine learning", MIT Press 2006, eq. (2.23),
(2.24), (4.17).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from popinv.late import torch

COVARIANCES = ("matern", "squared_exponential")
# Rows of inputs that are evaluated at once: their matrices of covariances fit into a cache.
_BLOCK = 2048


@dataclass(frozen=True)
class Processes:
    """Gaussian processes conditioned on targets.

    Parameters
    ----------
    covariance : {"matern", "squared_exponential"}
    amplitude, slope, nugget : Tensor of shape (q,)
        a, b and nu: variances.
    lengths : Tensor of shape (q, d)
    inputs : Tensor of shape (n, d)
        X, in float64 as everything else.
    targets : Tensor of shape (n, q)
    """

    covariance: str
    amplitude: torch.Tensor
    slope: torch.Tensor
    nugget: torch.Tensor
    lengths: torch.Tensor
    inputs: torch.Tensor
    targets: torch.Tensor
    _factor: torch.Tensor = field(init=False, repr=False, compare=False)
    _weights: torch.Tensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        count = len(self.inputs)
        prior = torch.stack([self._prior(c, self.inputs, self.inputs) for c in range(len(self))])
        noisy = prior + self.nugget[:, None, None] * torch.eye(count, dtype=prior.dtype)
        factor = torch.linalg.cholesky(noisy)
        weights = torch.cholesky_solve(self.targets.T[:, :, None], factor)[:, :, 0]
        object.__setattr__(self, "_factor", factor)
        object.__setattr__(self, "_weights", weights)

    def __len__(self) -> int:
        return len(self.amplitude)

    def conditioned(self, inputs: torch.Tensor, targets: torch.Tensor) -> Processes:
        """Return the processes conditioned on further targets (m, q) at inputs (m, d)."""
        return replace(
            self,
            inputs=torch.cat([self.inputs, inputs]),
            targets=torch.cat([self.targets, targets]),
        )

    def mean(self, x: torch.Tensor) -> torch.Tensor:
        """Return the posterior means (m, q) at x (m, d), differentiable in x."""
        return torch.cat([self._mean(part) for part in x.split(_BLOCK)])

    def linearise(
        self, x: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the means (m, q) at x (m, d), and their derivatives (k, m, q) along tangents."""
        parts = [
            self._linearise(one, along)
            for one, along in zip(x.split(_BLOCK), tangents.split(_BLOCK, dim=1), strict=True)
        ]
        return torch.cat([m for m, _ in parts]), torch.cat([c for _, c in parts], dim=1)

    def variance(self, x: torch.Tensor) -> torch.Tensor:
        """Return the posterior variances (m, q) at x (m, d)."""
        return torch.cat([self._variance(part) for part in x.split(_BLOCK)])

    def covariances(self, x: torch.Tensor) -> torch.Tensor:
        """Return the posterior covariances (q, m, m) between the rows of x (m, d)."""
        found = []
        for c in range(len(self)):
            half = self._explained(c, x)
            found.append(self._prior(c, x, x) - half.T @ half)
        return torch.stack(found)

    def _mean(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack(
            [self._prior(c, x, self.inputs) @ self._weights[c] for c in range(len(self))], dim=1
        )

    def _linearise(
        self, x: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        means, changes = [], []
        for c, weights in enumerate(self._weights):
            one, two = x / self.lengths[c], self.inputs / self.lengths[c]
            value, slope = _radial(self.covariance, _squares(one, two))
            pulled = self.amplitude[c] * slope * weights
            radial = 2 * (one * pulled.sum(dim=1, keepdim=True) - pulled @ two) / self.lengths[c]
            trend = self.slope[c] * (weights @ self.inputs)
            means.append(
                self.amplitude[c] * (value @ weights) + x @ trend + self.slope[c] * weights.sum()
            )
            changes.append((tangents * (radial + trend)).sum(dim=2))
        return torch.stack(means, dim=1), torch.stack(changes, dim=2)

    def _variance(self, x: torch.Tensor) -> torch.Tensor:
        trend = 1 + x.square().sum(dim=1)
        found = [
            self.amplitude[c] + self.slope[c] * trend - self._explained(c, x).square().sum(dim=0)
            for c in range(len(self))
        ]
        return torch.stack(found, dim=1).clamp_min(0.0)

    def _explained(self, c: int, x: torch.Tensor) -> torch.Tensor:
        """Return L^{-1} k(X, x), of shape (n, m), with K = L L^T."""
        between = self._prior(c, self.inputs, x)
        return torch.linalg.solve_triangular(self._factor[c], between, upper=False)

    def _prior(self, c: int, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        squares = _squares(x / self.lengths[c], other / self.lengths[c])
        value, _ = _radial(self.covariance, squares)
        return self.amplitude[c] * value + self.slope[c] * (1 + x @ other.T)


def _squares(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the squared distances (m, n) between rows; at least tiny, as a root is taken."""
    squares = x.square().sum(dim=1)[:, None] + other.square().sum(dim=1) - 2 * x @ other.T
    return squares.clamp_min(1e-30)


def _radial(covariance: str, squares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the covariance at squared distances, and its derivative in these."""
    if covariance == "squared_exponential":
        value = torch.exp(-0.5 * squares)
        return value, -0.5 * value
    scaled = math.sqrt(5.0) * squares.sqrt()
    decay = torch.exp(-scaled)
    value = (1 + scaled + scaled.square() / 3) * decay
    return value, -(5.0 / 6.0) * (1 + scaled) * decay
