r"""Whitened residuals of systems, in units of their own noise.

The noise of system n is ``N(0, s_n^2 Gamma)``, and the entries in its mask are observed. With
``L L^T`` the Cholesky factorisation of the observed part of Gamma,

.. math:: r_n = L^{-1} (y_n - g_n) / s_n, \qquad
    \log N(y_n; g_n, s_n^2 \Gamma) = -\tfrac12 |r_n|^2 - \log\det L - k_n \log s_n
    - \tfrac{k_n}{2} \log 2\pi,

where k_n is the number of observed entries. Missing entries have residual zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.density.conditions import Conditions
from popinv.late import torch

# Smaller off-diagonal entries, relative to the largest diagonal entry, are errors of the difference
# of covariances.
_ROUNDING = 1e-10


@dataclass(frozen=True)
class Outside:
    """The effect of a change of noise on residuals outside of a span of n systems.

    See :mod:`popinv.inference.density.reduced`.

    Attributes
    ----------
    across : Tensor of shape (n, k)
        ``Q^T E r`` of the residual r outside.
    square : Tensor of shape (n,)
        ``r^T E r``.
    """

    across: torch.Tensor
    square: torch.Tensor


@dataclass(frozen=True)
class NoiseChange:
    """``E = L^{-1} (dGamma) L^{-T}`` for a change dGamma of the noise.

    Attributes
    ----------
    seen : Tensor of shape (P, d_y, d_y)
        E of each pattern of observed entries.
    trace : Tensor of shape (P,)
    diagonal : Tensor of shape (d_y,), optional
        The diagonal of E, if there is one pattern and E is diagonal: for an amplitude of any noise,
        and for standard deviations of independent noise.
    outside : Outside, optional
        The rest of the residuals, if E belongs to a span.
    """

    seen: torch.Tensor
    trace: torch.Tensor
    diagonal: torch.Tensor | None
    outside: Outside | None = None

    @classmethod
    def of(cls, seen: torch.Tensor) -> NoiseChange:
        """Return the change with this E of each pattern (P, d_y, d_y)."""
        diagonal = seen.diagonal(dim1=1, dim2=2)
        trace, only = diagonal.sum(dim=1), None
        if len(seen) == 1:
            off = seen[0] - torch.diag(diagonal[0])
            if off.abs().max() <= _ROUNDING * diagonal[0].abs().max():
                only = diagonal[0]
        return cls(seen, trace, only)

    def rows(self, index: torch.Tensor) -> NoiseChange:
        """Return the change for some of the systems."""
        if self.outside is None:
            return self
        rest = Outside(self.outside.across[index], self.outside.square[index])
        return replace(self, outside=rest)

    def times(self, values: torch.Tensor, pattern: torch.Tensor) -> torch.Tensor:
        """Return E v for values (n, ..., d_y) of systems with these patterns (n,)."""
        if self.diagonal is not None:
            return values * self.diagonal
        return values @ (self.seen[0] if len(self.seen) == 1 else self.seen[pattern])


@dataclass(frozen=True)
class Whitening:
    """The map from residuals to whitened residuals for a group of n systems.

    Attributes
    ----------
    inverse : Tensor of shape (P, d_y, d_y)
        ``L^{-1}`` of each pattern of observed entries; rows and columns of missing entries are
        zero.
    pattern : Tensor of int, shape (n,)
        The pattern of each system.
    scale : Tensor of shape (n,)
        s_n.
    constant : Tensor of shape (n,)
        ``log N`` at residual zero.
    entries : Tensor of int, shape (P,)
        Number of observed entries.
    diagonal : Tensor of shape (P, d_y), optional
        The diagonal of ``L^{-1}``, if it is diagonal for all patterns. Products then cost less,
        and are the same numbers.
    """

    inverse: torch.Tensor
    pattern: torch.Tensor
    scale: torch.Tensor
    constant: torch.Tensor
    entries: torch.Tensor
    diagonal: torch.Tensor | None = None

    def rows(self, index: torch.Tensor) -> Whitening:
        """Return the whitening of some of the systems."""
        return replace(
            self,
            pattern=self.pattern[index],
            scale=self.scale[index],
            constant=self.constant[index],
        )

    def apply(self, values: torch.Tensor) -> torch.Tensor:
        """Return ``L^{-1} v / s`` for values of shape (n, ..., d_y)."""
        return self._times(values, self.inverse.mT)

    def transpose(self, values: torch.Tensor) -> torch.Tensor:
        """Return ``L^{-T} v / s`` for values of shape (n, ..., d_y)."""
        return self._times(values, self.inverse)

    def _times(self, values: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
        """Return ``v M / s`` with the matrix M of each pattern (P, j, k), shape (n, ..., k)."""
        scaled = values / self.scale.reshape(-1, *[1] * (values.ndim - 1))
        if self.diagonal is not None:
            own = self.diagonal if len(matrices) == 1 else self.diagonal[self.pattern]
            return scaled * own.reshape(len(own), *[1] * (values.ndim - 2), -1)
        if len(matrices) == 1:
            return scaled @ matrices[0]
        flat = scaled.reshape(len(values), -1, values.shape[-1])
        return (flat @ matrices[self.pattern]).reshape(values.shape)

    def change(self, derivative: torch.Tensor) -> NoiseChange:
        """Return the change for dGamma (d_y, d_y), the derivative of Gamma in one parameter."""
        return NoiseChange.of(self.inverse @ derivative @ self.inverse.transpose(1, 2))

    def noise_scores(self, residuals: torch.Tensor, change: NoiseChange) -> torch.Tensor:
        r"""Return ``(r^T E r - tr E) / 2``, the derivative of log N along a change of Gamma.

        s_n cancels.

        Parameters
        ----------
        residuals : Tensor of shape (n, S, d_y)
            Whitened residuals.

        Returns
        -------
        Tensor of shape (n, S)
        """
        square = (change.times(residuals, self.pattern) * residuals).sum(dim=-1)
        if (rest := change.outside) is not None:
            square = square + 2 * (residuals @ rest.across[..., None])[..., 0]
            square = square + rest.square[:, None]
        return 0.5 * (square - change.trace[self.pattern, None])


def whitening(
    covariance: torch.Tensor, conditions: Conditions, symmetric: bool = False
) -> Whitening:
    """Return the whitening of systems with these scales and gaps.

    Parameters
    ----------
    covariance : Tensor of shape (d_y, d_y) or (n, d_y, d_y)
        Gamma, the noise of scale 1, of all systems or of each.
    conditions : Conditions
        Conditions of the n systems.
    symmetric : bool
        Whether L is the symmetric root of the observed part of Gamma. It has no order of the
        entries, which matters if the residuals are not normal.

    Raises
    ------
    DivergenceError
        If Gamma is not positive definite to rounding.
    """
    d_y, dtype = covariance.shape[-1], covariance.dtype
    scale = torch.tensor(conditions.scale, dtype=dtype)
    present, pattern = np.ones((1, d_y), dtype=bool), np.zeros(len(conditions), dtype=np.int64)
    if conditions.gaps:
        present, pattern = np.unique(conditions.present, axis=0, return_inverse=True)
    if covariance.ndim == 3:
        present, pattern = present[pattern.reshape(-1)], np.arange(len(conditions))
    seen = torch.from_numpy(present)
    both = seen[:, :, None] & seen[:, None, :]
    # Missing entries become independent with variance 1, and are removed from the inverse.
    eye = torch.eye(d_y, dtype=dtype)
    matrices = torch.where(both, covariance, eye)
    factor, failed = torch.linalg.cholesky_ex(matrices)
    if failed.any():
        raise DivergenceError("the noise covariance is not positive definite")
    if symmetric:
        values, vectors = torch.linalg.eigh(matrices)
        inverse = (vectors * values[:, None] ** -0.5) @ vectors.mT
    else:
        identity = eye.expand(len(factor), d_y, d_y)
        inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
    logdet = torch.log(factor.diagonal(dim1=1, dim2=2)).sum(dim=1)
    index = torch.from_numpy(pattern.reshape(-1))
    entries = seen.sum(dim=1)
    each = torch.log(scale) + 0.5 * math.log(2 * math.pi)
    constant = -logdet[index] - entries[index] * each
    inverse = inverse * both
    diagonal = inverse.diagonal(dim1=1, dim2=2)
    alone = bool((diagonal.diag_embed() == inverse).all())
    return Whitening(inverse, index, scale, constant, entries, diagonal if alone else None)
