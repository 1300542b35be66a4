r"""Mixtures of normal densities that adapt to the posteriors of single systems.

A posterior with several modes, or one that is curved, is unlike the normal density about one of its
modes. A mixture of normal densities and of the law,

.. math:: q(\omega) = w_0\, \phi(\omega) + \sum_{k=1}^{K} w_k\, N(\omega;\, m_k, S_k),

is fitted to weighted draws of the posterior by expectation and maximisation, and gives better draws
the next time (population Monte Carlo; Cappé, Douc, Guillin, Marin and Robert, Adaptive importance
sampling in general mixture classes, Statistics and Computing 18, 2008). The share of the law stays,
so that the weights of the draws are bounded (Hesterberg, Technometrics 37, 1995).

Logarithms of densities omit the constant of the normal density.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from popinv.late import torch

# Share of the law, and the largest number of components that are fitted.
OF_LAW, _COMPONENTS = 0.1, 6
_EM_STEPS = 8
# The fitted covariances are multiplied by this factor, for tails longer than the normal tails.
_WIDER = 1.3
# Weights are tempered until this many draws are effective for each entry of a covariance.
_EFFECTIVE_FOR_EACH = 8.0
# Each component's covariance is averaged with the whole posterior's, which counts as this many
# draws for each dimension.
_PRIOR_DRAWS = 2.0
_SMALLEST_SHARE = 0.02


@dataclass(frozen=True)
class Mixtures:
    """A mixture for each of n systems.

    Attributes
    ----------
    shares : Tensor of shape (n, K + 1)
        w, with sum 1.
    means : Tensor of shape (n, K + 1, d)
    factors : Tensor of shape (n, K + 1, d, d)
        Lower triangular, ``S = factor factor^T``.
    """

    shares: torch.Tensor
    means: torch.Tensor
    factors: torch.Tensor

    @classmethod
    def with_law(cls, shares: torch.Tensor, means: torch.Tensor, factors: torch.Tensor) -> Mixtures:
        """Return mixtures of the law and of given components, whose shares (n, K) leave its own."""
        n, _, d = means.shape
        law = torch.full((n, 1), OF_LAW, dtype=means.dtype)
        eye = torch.eye(d, dtype=means.dtype).expand(n, 1, d, d)
        return cls(
            torch.cat([law, shares], dim=1),
            torch.cat([means.new_zeros((n, 1, d)), means], dim=1),
            torch.cat([eye, factors], dim=1),
        )

    @classmethod
    def about(cls, means: torch.Tensor, factors: torch.Tensor) -> Mixtures:
        """Return mixtures of the law and of given components with equal shares."""
        n, count, _ = means.shape
        shares = torch.full((n, count), (1 - OF_LAW) / count, dtype=means.dtype)
        return cls.with_law(shares, means, factors)

    def draw(self, xi: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """Map standard normal xi (n, S, d) to draws (n, S, d).

        Parameters
        ----------
        xi : Tensor of shape (n, S, d)
        place : Tensor of shape (n, S)
            In (0, 1); a draw comes from the component at which the cumulative share reaches its
            place.
        """
        which = torch.searchsorted(self.shares.cumsum(dim=1), place.contiguous())
        which = which.clamp(max=self.shares.shape[1] - 1)
        rows = torch.arange(len(xi))[:, None]
        factors, means = self.factors[rows, which], self.means[rows, which]
        return means + (factors @ xi[..., None])[..., 0]

    def log_density(self, omega: torch.Tensor) -> torch.Tensor:
        """Return log q at draws (n, S, d), shape (n, S)."""
        parts = []
        for k in range(self.shares.shape[1]):
            factor = self.factors[:, k]
            centred = (omega - self.means[:, None, k]).mT
            e = torch.linalg.solve_triangular(factor, centred, upper=False)
            logdet = torch.log(factor.diagonal(dim1=1, dim2=2)).sum(dim=1)
            level = torch.log(self.shares[:, k]) - logdet
            parts.append(level[:, None] - 0.5 * (e**2).sum(dim=1))
        return torch.logsumexp(torch.stack(parts), dim=0)


def fitted(omega: torch.Tensor, log_weight: torch.Tensor) -> Mixtures:
    """Return mixtures fitted to weighted draws of the posteriors.

    Parameters
    ----------
    omega : Tensor of shape (n, S, d)
    log_weight : Tensor of shape (n, S)
        Minus infinity for draws without weight.
    """
    d = omega.shape[2]
    weights = _tempered(log_weight, _EFFECTIVE_FOR_EACH * d * (d + 3) / 2)
    mean = (weights[..., None] * omega).sum(dim=1)
    centred = omega - mean[:, None]
    whole = _regular((weights[..., None] * centred).mT @ centred)
    labels = _slices(centred, weights, whole)
    parts = torch.stack([labels == k for k in range(_COMPONENTS)], dim=1).to(omega.dtype)
    monomials = _monomials(centred)
    for step in range(_EM_STEPS):
        shares, means, covariances = _moments(monomials, weights, parts, whole)
        factors = torch.linalg.cholesky(covariances)
        if step < _EM_STEPS - 1:
            parts = torch.softmax(_log_parts(Mixtures(shares, means, factors), monomials), dim=1)
    means = means + mean[:, None]
    return Mixtures.with_law((1 - OF_LAW) * shares, means, math.sqrt(_WIDER) * factors)


def _tempered(log_weight: torch.Tensor, effective: float) -> torch.Tensor:
    """Return normalised weights (n, S), tempered for each system until enough are effective."""
    power = torch.ones((len(log_weight), 1), dtype=log_weight.dtype)
    top = log_weight - log_weight.amax(dim=1, keepdim=True)
    for _ in range(12):
        weights = torch.softmax(torch.where(torch.isinf(top), top, power * top), dim=1)
        few = 1 / (weights**2).sum(dim=1, keepdim=True) < effective
        if not few.any():
            break
        power = torch.where(few, 0.7 * power, power)
    return weights


def _slices(centred: torch.Tensor, weights: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """Return labels (n, S) of slices of equal weight along the longest axis of each posterior."""
    axis = torch.linalg.eigh(whole)[1][..., -1]
    order = torch.argsort((centred @ axis[..., None])[..., 0], dim=1)
    below = weights.gather(1, order).cumsum(dim=1)
    labels = (below * _COMPONENTS).long().clamp(max=_COMPONENTS - 1)
    return torch.empty_like(labels).scatter_(1, order, labels)


def _monomials(x: torch.Tensor) -> torch.Tensor:
    """Return 1, x_i and x_i x_j of draws (n, S, d), i at most j, shape (n, F, S)."""
    rows, columns = torch.triu_indices(x.shape[2], x.shape[2])
    across = x.mT.contiguous()
    one = torch.ones_like(across[:, :1])
    return torch.cat([one, across, across[:, rows] * across[:, columns]], dim=1)


def _log_parts(mixture: Mixtures, monomials: torch.Tensor) -> torch.Tensor:
    """Return ``log w_k N(x; m_k, S_k)`` (n, K, S), a polynomial in x.

    It is quicker than :meth:`Mixtures.log_density`, which is accurate for narrow components too.
    """
    d = mixture.means.shape[2]
    inverse = torch.cholesky_inverse(mixture.factors)
    linear = (inverse @ mixture.means[..., None])[..., 0]
    logdet = torch.log(mixture.factors.diagonal(dim1=2, dim2=3)).sum(dim=2)
    constant = torch.log(mixture.shares) - logdet - 0.5 * (linear * mixture.means).sum(dim=2)
    rows, columns = torch.triu_indices(d, d)
    # An entry off the diagonal stands for two.
    square = -inverse[..., rows, columns] * torch.where(rows == columns, 0.5, 1.0)
    return torch.cat([constant[..., None], linear, square], dim=2) @ monomials


def _moments(
    monomials: torch.Tensor, weights: torch.Tensor, parts: torch.Tensor, whole: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return shares (n, K), means and covariances of the components, from their parts (n, K, S)."""
    d = whole.shape[1]
    sums = (weights[:, None] * parts) @ monomials.mT
    shares = sums[..., 0]
    known = shares.clamp(min=1e-12)[..., None]
    means = sums[..., 1 : d + 1] / known
    rows, columns = torch.triu_indices(d, d)
    second = sums.new_empty((*shares.shape, d, d))
    second[..., rows, columns] = second[..., columns, rows] = sums[..., d + 1 :]
    scatter = second - known[..., None] * means[..., None] * means[..., None, :]
    effective = 1 / (weights**2).sum(dim=1)
    prior = (_PRIOR_DRAWS * d / effective)[:, None]
    # The prior is a small round part of the whole posterior.
    small = whole[:, None] / _COMPONENTS**2
    covariances = (scatter + prior[..., None, None] * small) / (shares + prior)[..., None, None]
    shares = shares.clamp(min=_SMALLEST_SHARE)
    return shares / shares.sum(dim=1, keepdim=True), means, _regular(covariances)


def _regular(covariance: torch.Tensor) -> torch.Tensor:
    """Return covariances with a little added, so that they have a Cholesky factor."""
    d = covariance.shape[-1]
    size = covariance.diagonal(dim1=-2, dim2=-1).mean(dim=-1)[..., None, None]
    eye = torch.eye(d, dtype=covariance.dtype)
    return (covariance + covariance.mT) / 2 + (1e-9 * size + 1e-14) * eye


def inverse_factor(information: torch.Tensor) -> torch.Tensor:
    """Return the lower triangular L with ``L L^T = H^{-1}`` for information H (n, d, d).

    It is accurate even if H is nearly singular, when rounding makes the inverse itself indefinite.
    """
    values, vectors = torch.linalg.eigh(information)
    root = vectors.mT / values.clamp(min=1.0).sqrt()[..., None]
    upper = torch.linalg.qr(root)[1]
    signs = torch.where(upper.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0)
    return (signs[..., None] * upper).mT
