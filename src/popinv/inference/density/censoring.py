r"""Censored entries of observations whose normal noise is correlated, given the entries seen.

With L L^T the correlation of the entries seen, and r the whitened residuals of these, the censored
entries of the standardised noise have the mean ``A r`` and the covariance C,

.. math:: A = R_{cs} L^{-T}, \qquad C = R_{cc} - A A^T,

and the probability that they lie within their limits is the probability of a rectangle
(:mod:`popinv.population.noise.intervals`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from popinv.errors import DivergenceError
from popinv.inference.density.whitening import Whitening
from popinv.late import torch
from popinv.population.noise.intervals import MOST_ENTRIES, log_rectangle


@dataclass(frozen=True)
class CensoredEntries:
    """The censored entries of n systems, at most k of each.

    Attributes
    ----------
    entries : Tensor of int, shape (n, k)
        The censored entries; only the first ``count`` (n,) of each row.
    count : Tensor of int, shape (n,)
    across : Tensor of shape (P, k, d_y)
        A of each pattern of entries seen and censored.
    factor : Tensor of shape (P, k, k)
        The Cholesky factor of C.
    pattern : Tensor of int, shape (n,)
        The pattern of each system.
    """

    entries: torch.Tensor
    count: torch.Tensor
    across: torch.Tensor
    factor: torch.Tensor
    pattern: torch.Tensor

    @classmethod
    def of(
        cls, correlation: torch.Tensor, seen: Whitening, there: torch.Tensor, censored: torch.Tensor
    ) -> CensoredEntries:
        """Return the censored entries of systems.

        Parameters
        ----------
        correlation : Tensor of shape (d_y, d_y) or (n, d_y, d_y)
            R of all systems, or of each.
        seen : Whitening
            Of R, for the entries that are neither censored nor missing.
        there, censored : Tensor of bool, shape (n, d_y)
            Which entries are not missing, and which of them are censored.

        Raises
        ------
        DivergenceError
            If R is not positive definite, or a system has more censored entries than are allowed.
        """
        count = censored.sum(dim=1)
        k = int(count.max())
        if k > MOST_ENTRIES:
            raise DivergenceError(
                f"a system has {k} censored observations, but with correlated noise at most "
                f"{MOST_ENTRIES} are allowed"
            )
        entries = _first(censored, k)
        alike = torch.cat([there, censored], dim=1).to(torch.int8)
        if correlation.ndim == 3:
            # Each system has a correlation of its own.
            alike = torch.arange(len(censored))[:, None]
        kinds, pattern = torch.unique(alike, dim=0, return_inverse=True)
        # A system of each pattern.
        one = torch.empty(len(kinds), dtype=torch.long)
        one[pattern] = torch.arange(len(pattern))
        own, valid = entries[one], torch.arange(k) < count[one, None]
        whole = correlation[one] if correlation.ndim == 3 else correlation.expand(len(one), -1, -1)
        cross = seen.inverse[seen.pattern[one]] @ whole
        across = cross.gather(2, own[:, None, :].expand(-1, cross.shape[1], -1)).mT
        across = torch.where(valid[..., None], across, 0.0)
        rows = torch.arange(len(one))[:, None, None]
        covariance = whole[rows, own[:, :, None], own[:, None, :]] - across @ across.mT
        both = valid[:, :, None] & valid[:, None, :]
        eye = torch.eye(k, dtype=correlation.dtype)
        factor, failed = torch.linalg.cholesky_ex(torch.where(both, covariance, eye))
        if failed.any():
            raise DivergenceError("the noise covariance is not positive definite")
        return cls(entries, count, across, factor, pattern)

    def rows(self, index: torch.Tensor) -> CensoredEntries:
        """Return the censored entries of some of the systems."""
        own = {name: getattr(self, name)[index] for name in ("entries", "count", "pattern")}
        return replace(self, **own)

    def log_probability(
        self, low: torch.Tensor, high: torch.Tensor, residual: torch.Tensor
    ) -> torch.Tensor:
        """Return the log probability that they lie within their limits, given the entries seen.

        Parameters
        ----------
        low, high : Tensor of shape (n, ..., d_y)
            Standardised limits.
        residual : Tensor of shape (n, ..., d_y)
            Whitened residuals, zero where nothing is seen.
        """
        total = residual.new_zeros(residual.shape[:-1])
        for k in torch.unique(self.count[self.count > 0]).tolist():
            systems = torch.nonzero(self.count == k)[:, 0]
            own, pattern = self.entries[systems, :k], self.pattern[systems]
            shape = (len(systems), -1, residual.shape[-1])
            a, b, r = (x[systems].reshape(shape) for x in (low, high, residual))
            mean = r @ self.across[pattern, :k].mT
            columns = own[:, None, :].expand(-1, a.shape[1], -1)
            a, b = (x.gather(2, columns) - mean for x in (a, b))
            factor = self.factor[pattern, :k, :k].repeat_interleave(a.shape[1], dim=0)
            value = log_rectangle(a.reshape(-1, k), b.reshape(-1, k), factor)
            each = value.reshape(len(systems), *residual.shape[1:-1])
            total = total.index_add(0, systems, each)
        return total


def _first(mask: torch.Tensor, count: int) -> torch.Tensor:
    """Return the places (n, count) of the entries in a mask (n, d), then of other entries."""
    return mask.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :count]
