r"""The density of an observation given the noise-free one.

Every integral over the parameters of systems uses a density through the following methods. Here g
is the signal of n systems, J a Jacobian of g, and W the Fisher information of y about g.

- ``rows(i)`` is the density of some of the systems.
- ``at(g)`` gives log p(y | g), its slope in g, its derivatives in the parameters of the noise, and
  whitened residuals.
- ``weigh(g, J)`` is W J, and ``information(g, J, K)`` is J^T W K. W itself is never formed where
  the noise has many entries.
- ``noise_fields(g, J, H)`` are control variates for the derivatives in the noise.

The fast :class:`NormalDensity`, by whitening, serves noise that is normal and independent of the
signal. :class:`~popinv.inference.density.varying_density.VaryingDensity` is for all other noise.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from popinv.inference.density.whitening import NoiseChange, Whitening
from popinv.late import torch


@dataclass(frozen=True)
class VariateField:
    """v = a + A (omega - mode), for n systems.

    Attributes
    ----------
    constant : Tensor of shape (n, d_omega)
        a.
    linear : Tensor of shape (n, d_omega, d_omega)
        A.
    """

    constant: torch.Tensor
    linear: torch.Tensor

    @classmethod
    def solved(
        cls, hessian: torch.Tensor, slope: torch.Tensor, matrix: torch.Tensor
    ) -> VariateField:
        """Return the field of ``a = H^{-1} slope`` and ``A = H^{-1} matrix``.

        Parameters
        ----------
        hessian, matrix : Tensor of shape (n, d_omega, d_omega)
        slope : Tensor of shape (n, d_omega, 1)
        """
        both = torch.linalg.solve(hessian, torch.cat([slope, matrix], dim=2))
        return cls(both[..., 0], both[..., 1:])

    def variate(self, shift: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Return ``v . grad log pi + tr A`` of each draw (n, S).

        Parameters
        ----------
        shift : Tensor of shape (n, S, d_omega)
            omega less the mode.
        gradient : Tensor of shape (n, S, d_omega)
            Gradient of log pi.
        """
        field = self.constant[:, None] + shift @ self.linear.transpose(1, 2)
        trace = self.linear.diagonal(dim1=1, dim2=2).sum(dim=1)
        return (field * gradient).sum(dim=2) + trace[:, None]


class AtSignal(ABC):
    """A density at signals (n, ..., d_y)."""

    @property
    @abstractmethod
    def log(self) -> torch.Tensor:
        """Log p(y | g), shape (n, ...)."""

    @property
    @abstractmethod
    def slope(self) -> torch.Tensor:
        """Its gradient in the signal, of the signal's shape."""

    @property
    @abstractmethod
    def residual(self) -> torch.Tensor:
        """Whitened residuals (n, ..., k)."""

    @abstractmethod
    def noise_scores(self) -> Iterator[torch.Tensor]:
        """Yield the derivative of log p(y | g) in each entry of gamma that moves, (n, ...)."""


class Density(ABC):
    """log p(y | g) of n systems at one gamma."""

    is_normal: bool = False
    """Whether y given g is normal, with a covariance that does not depend on g."""

    @property
    @abstractmethod
    def seen(self) -> torch.Tensor:
        """Number of observed entries of each system, (n,)."""

    @abstractmethod
    def rows(self, index: torch.Tensor) -> Density:
        """Return the density of some of the systems, which may come up several times."""

    @abstractmethod
    def louder(self, factor: float) -> Density:
        """Return the density with all deviations times a factor, without its derivatives."""

    @abstractmethod
    def at(self, g: torch.Tensor) -> AtSignal:
        """Return the density at signals of shape (n, ..., d_y)."""

    @abstractmethod
    def weigh(self, g: torch.Tensor, jacobian: torch.Tensor) -> torch.Tensor:
        """Return W J for g (n, d_y) and J (n, d_y, k)."""

    @abstractmethod
    def information(
        self, g: torch.Tensor, jacobian: torch.Tensor, other: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return J^T W K for g (n, d_y), J (n, d_y, j) and K (n, d_y, k), by default J."""

    @abstractmethod
    def noise_fields(
        self, g: torch.Tensor, jacobian: torch.Tensor, hessian: torch.Tensor
    ) -> Iterator[VariateField]:
        r"""Yield the control variate of each noise parameter's score, about a mode of signal g.

        Along the Jacobian, the score of a parameter changes by

        .. math:: \delta^T J^T \dot u - \tfrac12 \delta^T J^T \dot W J \delta,

        where u is the slope and dots are derivatives in the parameter. ``a = -H^{-1} J^T \dot u``
        and ``A = H^{-1} J^T \dot W J / 2`` cancel it, with H (n, d, d) the curvature at the mode.
        """


@dataclass(frozen=True)
class NormalDensity(Density):
    """Normal noise of one covariance, but for scales and gaps.

    Attributes
    ----------
    data : Tensor of shape (n, k)
        Whitened observations.
    changes : list of NoiseChange
        Changes of the noise in each of its parameters.
    """

    noise: Whitening
    data: torch.Tensor
    changes: list[NoiseChange]

    is_normal = True

    @property
    def seen(self) -> torch.Tensor:
        """Number of observed entries of each system, (n,)."""
        return self.noise.entries[self.noise.pattern]

    def rows(self, index: torch.Tensor) -> NormalDensity:
        """Return the density of some of the systems, which may come up several times."""
        changes = [change.rows(index) for change in self.changes]
        return NormalDensity(self.noise.rows(index), self.data[index], changes)

    def louder(self, factor: float) -> NormalDensity:
        """Return the density with all deviations times a factor, without its derivatives."""
        scale = self.noise.scale * factor
        constant = self.noise.constant - self.seen.to(scale.dtype) * math.log(factor)
        louder = replace(self.noise, scale=scale, constant=constant)
        return NormalDensity(louder, self.data / factor, [])

    def at(self, g: torch.Tensor) -> AtSignal:
        """Return the density at signals of shape (n, ..., d_y)."""
        data = self.data.reshape(len(g), *[1] * (g.ndim - 2), -1)
        return _NormalAt(self, data - self.noise.apply(g))

    def weigh(self, g: torch.Tensor, jacobian: torch.Tensor) -> torch.Tensor:
        """Return W J for g (n, d_y) and J (n, d_y, k)."""
        return self.noise.transpose(self._whitened(jacobian).transpose(1, 2)).transpose(1, 2)

    def information(
        self, g: torch.Tensor, jacobian: torch.Tensor, other: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return J^T W K for g (n, d_y), J (n, d_y, j) and K (n, d_y, k), by default J."""
        white = self._whitened(jacobian)
        return white.transpose(1, 2) @ (white if other is None else self._whitened(other))

    def noise_fields(
        self, g: torch.Tensor, jacobian: torch.Tensor, hessian: torch.Tensor
    ) -> Iterator[VariateField]:
        r"""Yield the control variate of each noise parameter's score, about a mode of signal g.

        With ``E = L^{-1} (dGamma) L^{-T}``, and J and r whitened,

        .. math:: a = H^{-1} J^T E r, \qquad A = -H^{-1} J^T E J / 2 .
        """
        J, residual = self._whitened(jacobian), self.at(g).residual
        for change in self.changes:
            # E is symmetric.
            along = change.times(J.transpose(1, 2), self.noise.pattern).transpose(1, 2)
            slope = along.transpose(1, 2) @ residual[..., None]
            if change.outside is not None:
                slope = slope + J.transpose(1, 2) @ change.outside.across[..., None]
            yield VariateField.solved(hessian, slope, -0.5 * J.transpose(1, 2) @ along)

    def _whitened(self, jacobian: torch.Tensor) -> torch.Tensor:
        # Whitening acts on the last axis.
        return self.noise.apply(jacobian.transpose(1, 2)).transpose(1, 2)


@dataclass(frozen=True)
class _NormalAt(AtSignal):
    density: NormalDensity
    whitened: torch.Tensor

    @property
    def residual(self) -> torch.Tensor:
        return self.whitened

    @cached_property
    def log(self) -> torch.Tensor:
        constant = self.density.noise.constant
        constant = constant.reshape(-1, *[1] * (self.whitened.ndim - 2))
        return constant - 0.5 * (self.whitened**2).sum(dim=-1)

    @cached_property
    def slope(self) -> torch.Tensor:
        return self.density.noise.transpose(self.whitened)

    def noise_scores(self) -> Iterator[torch.Tensor]:
        # All draws of a system form one axis.
        rows = self.whitened.reshape(len(self.whitened), -1, self.whitened.shape[-1])
        for change in self.density.changes:
            scores = self.density.noise.noise_scores(rows, change)
            yield scores.reshape(self.whitened.shape[:-1])


@dataclass(frozen=True)
class StackedDensity(Density):
    """The density of several observations of each of n systems, side by side.

    They are independent given the signals. The observations of a system are its replicates, or the
    observations of all systems of a group.

    Attributes
    ----------
    each : Density
        The density of the n K observations, with a system's observations one after the other.
    members : int
        K.
    """

    each: Density
    members: int

    @property
    def is_normal(self) -> bool:  # type: ignore[override]
        """Whether the density of each is."""
        return self.each.is_normal

    @property
    def seen(self) -> torch.Tensor:
        """Number of observed entries of each system, (n,)."""
        return self._total(self.each.seen)

    def rows(self, index: torch.Tensor) -> StackedDensity:
        """Return the density of some of the systems, which may come up several times."""
        own = index[:, None] * self.members + torch.arange(self.members)
        return replace(self, each=self.each.rows(own.reshape(-1)))

    def louder(self, factor: float) -> StackedDensity:
        """Return the density with all deviations times a factor, without its derivatives."""
        return replace(self, each=self.each.louder(factor))

    def at(self, g: torch.Tensor) -> AtSignal:
        """Return the density at signals of shape (n, ..., K d_y)."""
        return _StackedAt(self, self.each.at(self.apart(g)))

    def weigh(self, g: torch.Tensor, jacobian: torch.Tensor) -> torch.Tensor:
        """Return W J for g (n, K d_y) and J (n, K d_y, k)."""
        weighted = self.each.weigh(self.apart(g), self._rows_of(jacobian))
        return weighted.reshape(jacobian.shape)

    def information(
        self, g: torch.Tensor, jacobian: torch.Tensor, other: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return J^T W K for g (n, K d_y), J (n, K d_y, j) and K (n, K d_y, k), by default J."""
        return self._total(self.information_of_each(g, jacobian, other))

    def information_of_each(
        self, g: torch.Tensor, jacobian: torch.Tensor, other: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return J^T W K of each of the observations, (n K, j, k)."""
        right = None if other is None else self._rows_of(other)
        return self.each.information(self.apart(g), self._rows_of(jacobian), right)

    def noise_fields(
        self, g: torch.Tensor, jacobian: torch.Tensor, hessian: torch.Tensor
    ) -> Iterator[VariateField]:
        """Yield the control variate of each noise parameter's score, about a mode of signal g."""
        repeated = hessian.repeat_interleave(self.members, dim=0)
        for field in self.each.noise_fields(self.apart(g), self._rows_of(jacobian), repeated):
            yield VariateField(self._total(field.constant), self._total(field.linear))

    def apart(self, values: torch.Tensor) -> torch.Tensor:
        """Return values (n, ..., K d) of each of the observations, (n K, ..., d)."""
        each = values.unflatten(-1, (self.members, -1)).movedim(-2, 1)
        return each.flatten(0, 1)

    def together(self, values: torch.Tensor) -> torch.Tensor:
        """Return values (n K, ..., d) of the observations side by side, (n, ..., K d)."""
        return values.unflatten(0, (-1, self.members)).movedim(1, -2).flatten(-2)

    def _rows_of(self, jacobian: torch.Tensor) -> torch.Tensor:
        return jacobian.reshape(len(jacobian) * self.members, -1, jacobian.shape[2])

    def _total(self, values: torch.Tensor) -> torch.Tensor:
        return values.unflatten(0, (-1, self.members)).sum(dim=1)


@dataclass(frozen=True)
class _StackedAt(AtSignal):
    density: StackedDensity
    each: AtSignal

    @property
    def log(self) -> torch.Tensor:
        return self.density._total(self.each.log)

    @property
    def slope(self) -> torch.Tensor:
        return self.density.together(self.each.slope)

    @property
    def residual(self) -> torch.Tensor:
        return self.density.together(self.each.residual)

    def noise_scores(self) -> Iterator[torch.Tensor]:
        yield from map(self.density._total, self.each.noise_scores())
