r"""The density of an observation given mean and covariance of a random simulator's answer.

With a signal g of mean m and factor F (:mod:`popinv.population.noise.intrinsic`),

.. math:: \log p(y \mid g) = \log N(y;\, m,\, V), \qquad V = F F^T + s^2\, \Gamma(\gamma),

over the entries that were observed. The intrinsic variation is thus integrated exactly. With
``q = V^{-1} (y - m)``, the slope and the Fisher information about g are

.. math::
    \partial_m = q, \qquad \partial_F = (q q^T - V^{-1}) F, \qquad
    a^T W b = a_m^T V^{-1} b_m + \tfrac12 \operatorname{tr} V^{-1} A\, V^{-1} B ,

with ``A = a_F F^T + F a_F^T`` the change of V along a, and B that along b.

A surrogate may extrapolate to an F so large that V is not finite, or not positive definite by
rounding. The density there is taken as zero, without slope or information.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from popinv.forward.tangents import each_tangent
from popinv.inference.density.density import AtSignal, Density, VariateField
from popinv.inference.density.problem import Problem
from popinv.late import torch
from popinv.population.noise.intrinsic import rooted
from popinv.population.noise.terms import Noise

# Steps of gamma, for derivatives of control variates by central differences.
_STEP = 1e-4


@dataclass(frozen=True)
class IntrinsicDensity(Density):
    """log p(y | g) of n systems of one replicate at one gamma.

    Attributes
    ----------
    data : Tensor of shape (n, d)
        Observations, arbitrary where nothing was observed.
    there : Tensor of bool, shape (n, d)
        Which entries were observed.
    scale : Tensor of shape (n,)
        s.
    covariance : Tensor of shape (d, d)
        Gamma.
    changes : Tensor of shape (n_gamma, d, d)
        Its derivatives in the free noise; empty if the noise is held.
    louder_by : float
        Factor of all deviations, intrinsic ones too.
    """

    noise: Noise
    data: torch.Tensor
    there: torch.Tensor
    scale: torch.Tensor
    covariance: torch.Tensor
    changes: torch.Tensor
    louder_by: float = 1.0

    @property
    def seen(self) -> torch.Tensor:
        """Number of observed entries of each system, (n,)."""
        return self.there.sum(dim=1)

    def rows(self, index: torch.Tensor) -> IntrinsicDensity:
        """Return the density of some of the systems, which may come up several times."""
        rows = {name: getattr(self, name)[index] for name in ("data", "there", "scale")}
        return replace(self, **rows)

    def louder(self, factor: float) -> IntrinsicDensity:
        """Return the density with all deviations times a factor, without its derivatives."""
        return replace(self, louder_by=self.louder_by * factor, changes=self.changes[:0])

    def at(self, g: torch.Tensor) -> AtSignal:
        """Return the density at signals of shape (n, ..., d + k)."""
        return _IntrinsicAt(self, g)

    def weigh(self, g: torch.Tensor, jacobian: torch.Tensor) -> torch.Tensor:
        """Return W J for g (n, d + k) and J (n, d + k, j)."""
        at = _IntrinsicAt(self, g)
        in_mean, in_factor = self._apart(jacobian)
        of_factor = at.inverse[:, None] @ at.change(in_factor) @ at.inverse[:, None] @ at.by_factor
        entries = self.noise.factor.entries(of_factor).mT
        return torch.cat([at.inverse @ in_mean, entries], dim=1)

    def information(
        self, g: torch.Tensor, jacobian: torch.Tensor, other: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return J^T W K for g (n, d + k), J (n, d + k, i) and K (n, d + k, j), by default J."""
        weighed = self.weigh(g, jacobian if other is None else other)
        found = jacobian.mT @ weighed
        # Rounding must not leave the square of a matrix asymmetric.
        return (found + found.mT) / 2 if other is None else found

    def noise_fields(
        self, g: torch.Tensor, jacobian: torch.Tensor, hessian: torch.Tensor
    ) -> Iterator[VariateField]:
        """Yield the control variate of each noise parameter's score, about a mode of signal g."""
        across = jacobian.mT
        for change in self.changes:
            up, down = (
                replace(self, covariance=self.covariance + step * change, changes=self.changes[:0])
                for step in (_STEP, -_STEP)
            )
            slope = (up.at(g).slope - down.at(g).slope) / (2 * _STEP)
            moved = (up.information(g, jacobian) - down.information(g, jacobian)) / (2 * _STEP)
            yield VariateField.solved(hessian, -across @ slope[..., None], 0.5 * moved)

    def along(self, x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        """Return rows of n systems (n, ...) that broadcast against signals (n, ..., d + k)."""
        return x.reshape(len(x), *[1] * (g.ndim - 2), *x.shape[1:])

    def _apart(self, jacobian: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the Jacobians of mean (n, d, j) and factor entries (n, j, k)."""
        return jacobian[:, : self.noise.factor.d], jacobian[:, self.noise.factor.d :].mT


@dataclass(frozen=True)
class _IntrinsicAt(AtSignal):
    density: IntrinsicDensity
    signal: torch.Tensor

    @property
    def factor(self) -> torch.Tensor:
        """F (n, ..., d, columns), zero where nothing is observed."""
        own = self.density.noise.factor
        there = self.density.along(self.density.there, self.signal)
        return own.matrix(self.signal[..., own.d :]) * there[..., None]

    @property
    def by_factor(self) -> torch.Tensor:
        """F of signals (n, d + k) times the square of the factor of all deviations, (n, 1, ...).

        V changes by ``a_F (by_factor)^T`` and its transpose.
        """
        return self.factor[:, None] * self.density.louder_by**2

    @cached_property
    def _rooted(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The Cholesky factor of V, 1 where there is none, and where there is one (n, ...).

        Entries that are not observed have 1 on the diagonal.
        """
        density, factor = self.density, self.factor
        seen = density.there[:, :, None] & density.there[:, None]
        own = torch.where(seen, density.covariance * density.scale[:, None, None] ** 2, 0.0)
        variance = (factor @ factor.mT + density.along(own, self.signal)) * density.louder_by**2
        missing = torch.diag_embed((~density.there).to(variance.dtype))
        return rooted(variance + density.along(missing, self.signal))

    @property
    def root(self) -> torch.Tensor:
        """The Cholesky factor of V (n, ..., d, d), 1 where V has none."""
        return self._rooted[0]

    @property
    def possible(self) -> torch.Tensor:
        """Where the density is positive, bool (n, ...)."""
        mean = self.signal[..., : self.density.noise.factor.d]
        return self._rooted[1] & torch.isfinite(mean).all(dim=-1)

    @cached_property
    def inverse(self) -> torch.Tensor:
        """V^{-1} (n, ..., d, d), zero where nothing is observed."""
        there = self.density.along(self.density.there, self.signal) & self.possible[..., None]
        return torch.cholesky_inverse(self.root) * (there[..., None] & there[..., None, :])

    @cached_property
    def difference(self) -> torch.Tensor:
        """Y - m (n, ..., d), zero where nothing is observed or the density is zero."""
        density = self.density
        y, there = (density.along(x, self.signal) for x in (density.data, density.there))
        there = there & self.possible[..., None]
        return torch.where(there, y - self.signal[..., : density.noise.factor.d], 0.0)

    @cached_property
    def residual(self) -> torch.Tensor:
        return torch.linalg.solve_triangular(self.root, self.difference[..., None], upper=False)[
            ..., 0
        ]

    @cached_property
    def _weighed(self) -> torch.Tensor:
        """Q (n, ..., d): V^{-1} (y - m)."""
        return (self.inverse @ self.difference[..., None])[..., 0]

    @cached_property
    def log(self) -> torch.Tensor:
        logdet = torch.log(self.root.diagonal(dim1=-2, dim2=-1)).sum(dim=-1)
        seen = self.density.along(self.density.seen, self.signal).to(logdet.dtype)
        log = -0.5 * (self.residual**2).sum(dim=-1) - logdet - 0.5 * seen * math.log(2 * math.pi)
        return torch.where(self.possible, log, -torch.inf)

    @cached_property
    def slope(self) -> torch.Tensor:
        q = self._weighed
        of_variance = q[..., None] * q[..., None, :] - self.inverse
        # A product of zero and infinity is not a number.
        factor = torch.where(self.possible[..., None, None], self.factor, 0.0)
        of_factor = (of_variance @ factor) * self.density.louder_by**2
        return torch.cat([q, self.density.noise.factor.entries(of_factor)], dim=-1)

    def change(self, entries: torch.Tensor) -> torch.Tensor:
        """Return the changes of V (n, j, d, d) along changes of the entries (n, j, k)."""
        there = self.density.there[:, None, :, None]
        moved = self.density.noise.factor.matrix(entries) * there
        half = moved @ self.by_factor.mT
        return half + half.mT

    def noise_scores(self) -> Iterator[torch.Tensor]:
        q, scale = self._weighed, self.density.along(self.density.scale, self.signal)
        for change in self.density.changes:
            square = ((q @ change) * q).sum(dim=-1)
            trace = (self.inverse * change).sum(dim=(-2, -1))
            yield 0.5 * scale**2 * (square - trace)


def intrinsic_density(problem: Problem, gamma: torch.Tensor) -> IntrinsicDensity:
    """Return the density of all systems of a problem of one replicate, with its derivatives.

    Parameters
    ----------
    problem : Problem
        Its noise is that of a random simulator.
    gamma : Tensor of shape (n_gamma,)
    """
    noise, conditions = problem.noise, problem.conditions
    with torch.no_grad():
        covariance = noise.covariance(gamma)
        changes = torch.zeros((0, *covariance.shape), dtype=covariance.dtype)
        if problem.free_noise:
            changes = torch.stack(list(each_tangent(noise.covariance, gamma)))
    return IntrinsicDensity(
        noise,
        torch.from_numpy(np.array(problem.data)),
        torch.tensor(conditions.present),
        torch.tensor(conditions.scale),
        covariance,
        changes,
    )
