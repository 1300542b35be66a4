r"""The density of an observation given the noise-free one, for any noise.

With ``xi = s D(g) L u`` and ``R = L L^T`` (:mod:`popinv.population.noise.terms` says which L),

.. math:: \log p(y \mid g) = \sum_j \log f(r_j) - \sum_j \log(s d_j(g_j)) - \log\det L, \qquad
    r = L^{-1} D(g)^{-1} (y - g) / s,

where f is the density of u, over the entries that were observed. The Fisher information of y about
g is

.. math:: W = \kappa\, \bar D^{-1} R^{-1} \bar D^{-1}
    + \tfrac{\iota}{2}\, a a^T \circ (R^{-1} \circ R + I), \qquad \bar D = s D, \quad
    a_j = d_j'(g_j) / d_j(g_j),

with kappa and iota the informations of f about its location and the logarithm of its scale, 1 and 2
for a normal density. W is exact for a normal density or independent entries. W only sets steps and
proposals, so that an approximation suffices.

For a censored entry, the probability of its limits replaces the density
(:mod:`popinv.population.noise.intervals`): given the entries that are seen, if normal noise is
correlated (:mod:`popinv.inference.density.censoring`). With k the share of the information of u
that the limits of each entry leave, ``R^{-1}`` above becomes
``k^{1/2} (k^{1/2} R k^{1/2} + I - k)^{-1} k^{1/2}``, as if censoring added independent noise. This
is exact for independent entries.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from popinv.inference.density.censoring import CensoredEntries
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.density import AtSignal, Density, VariateField
from popinv.inference.density.problem import Problem
from popinv.inference.density.whitening import Whitening, whitening
from popinv.late import torch
from popinv.population.noise.intervals import (
    interval_information,
    log_density,
    log_interval,
    standardised,
)
from popinv.population.noise.student import location_information, scale_information
from popinv.population.noise.terms import Noise

# Size of an observation of zero, as a share of the largest of its system.
_LEAST_SIZE = 1e-3
# Steps of gamma, for derivatives by central differences.
_STEP = 1e-4


@dataclass(frozen=True)
class VaryingDensity(Density):
    """log p(y | g) of n systems at one gamma.

    Attributes
    ----------
    gamma : Tensor of shape (n_gamma,)
    low, high : Tensor of shape (n, d_y)
        Ends between which observations lie; both equal the observation if it was seen, and are
        arbitrary if nothing was observed.
    there : Tensor of bool, shape (n, d_y)
        Which entries were observed.
    scale : Tensor of shape (n,)
        s.
    covariates : Tensor of shape (n, k), optional
    whitening : Whitening
        The whitening of R, at scale 1.
    joint : CensoredEntries, optional
        The censored entries, if the noise is correlated.
    moved : tuple of (VaryingDensity, VaryingDensity)
        The densities at gamma moved up and down by a step in each free entry.
    sized : Tensor of shape (n, d_y), optional
        Standard deviations d that replace those of the signal.
    """

    noise: Noise
    gamma: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    there: torch.Tensor
    scale: torch.Tensor
    covariates: torch.Tensor | None
    whitening: Whitening
    joint: CensoredEntries | None = None
    moved: tuple[tuple[VaryingDensity, VaryingDensity], ...] = ()
    sized: torch.Tensor | None = None

    @cached_property
    def exact(self) -> torch.Tensor:
        """Which entries were observed and are not censored, (n, d_y)."""
        return self.there & (self.low == self.high)

    @cached_property
    def censors(self) -> bool:
        """Whether any entry is censored."""
        return bool((self.there & ~self.exact).any())

    @property
    def seen(self) -> torch.Tensor:
        """Number of observed entries of each system, (n,)."""
        return self.there.sum(dim=1)

    def rows(self, index: torch.Tensor) -> VaryingDensity:
        """Return the densities of some of the systems."""
        return replace(
            self,
            low=self.low[index],
            high=self.high[index],
            there=self.there[index],
            scale=self.scale[index],
            covariates=None if self.covariates is None else self.covariates[index],
            whitening=self.whitening.rows(index),
            joint=None if self.joint is None else self.joint.rows(index),
            moved=tuple((up.rows(index), down.rows(index)) for up, down in self.moved),
            sized=None if self.sized is None else self.sized[index],
        )

    def residual(self, g: torch.Tensor) -> torch.Tensor:
        """Return the whitened residuals r of signals g (n, ..., d_y), zero where none is seen.

        The residual of a censored entry is the distance of the limit that g is beyond.
        """
        d, r = self._standardised(g)
        if not self.censors:
            return r
        a, b = self._limits(g, d)
        return torch.where(self._along(self.exact, g), r, torch.zeros_like(r).clamp(a, b))

    def log_density(self, g: torch.Tensor) -> torch.Tensor:
        """Return log p(y | g) for g of shape (n, ..., d_y), shape (n, ...)."""
        exact, (d, r) = self._along(self.exact, g), self._standardised(g)
        tails = self.noise.tails(self.gamma)
        own = torch.where(exact, log_density(r, tails) - torch.log(d), 0.0)
        entries = self.whitening.entries[self.whitening.pattern].to(g.dtype)
        logdet = -self.whitening.constant - 0.5 * entries * math.log(2 * math.pi)
        total = own.sum(dim=-1) - logdet.reshape(-1, *[1] * (g.ndim - 2))
        if not self.censors:
            return total
        a, b = self._limits(g, d)
        if self.joint is not None:
            return total + self.joint.log_probability(a, b, r)
        censored = self._along(self.there & ~self.exact, g).expand(g.shape)
        inside = torch.zeros_like(a)
        inside[censored] = log_interval(a[censored], b[censored], tails)
        return total + inside.sum(dim=-1)

    def louder(self, factor: float) -> VaryingDensity:
        """Return the density with all deviations times a factor, without its derivatives.

        Noise that grows has the size that belongs to the observations. Its own density vanishes
        where a signal is zero, so that no search crosses from one sign to the other.
        """
        sized = self.sized
        if sized is None and self.noise.grows != "constant":
            seen = torch.where(self.there, torch.where(self.low.isfinite(), self.low, self.high), 0)
            most = seen.abs().max(dim=1, keepdim=True).values
            seen = torch.where(seen == 0, _LEAST_SIZE * most, seen)
            sized = self.noise.deviations(self.gamma, seen, self.covariates)
        return replace(self, scale=self.scale * factor, moved=(), sized=sized)

    def at(self, g: torch.Tensor) -> AtSignal:
        """Return the density at signals of shape (n, ..., d_y)."""
        return _VaryingAt(self, g)

    def weigh(self, g: torch.Tensor, jacobian: torch.Tensor) -> torch.Tensor:
        """Return W J for g (n, d_y) and J (n, d_y, k)."""
        return self.matrix(g) @ jacobian

    def information(
        self, g: torch.Tensor, jacobian: torch.Tensor, other: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return J^T W K for g (n, d_y), J (n, d_y, j) and K (n, d_y, k), by default J."""
        return jacobian.transpose(1, 2) @ self.weigh(g, jacobian if other is None else other)

    def noise_fields(
        self, g: torch.Tensor, jacobian: torch.Tensor, hessian: torch.Tensor
    ) -> Iterator[VariateField]:
        """Yield the control variate of each noise parameter's score, about a mode of signal g."""
        across = jacobian.transpose(1, 2)
        for up, down in self.moved:
            slope = (up.with_slope(g)[1] - down.with_slope(g)[1]) / (2 * _STEP)
            change = (up.information(g, jacobian) - down.information(g, jacobian)) / (2 * _STEP)
            yield VariateField.solved(hessian, -across @ slope[..., None], 0.5 * change)

    def with_slope(self, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log p(y | g) and its gradient in g, of the shape of g."""
        g = g.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            value = self.log_density(g)
            (slope,) = torch.autograd.grad(value.sum(), g)
        return value.detach(), slope

    def matrix(self, g: torch.Tensor) -> torch.Tensor:
        """Return W for g of shape (n, d_y), shape (n, d_y, d_y)."""
        at = g.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            d = self.scale[:, None] * self._deviations(at)
            logs = torch.log(d).sum()
            rate = torch.zeros_like(at)
            if logs.requires_grad:
                (rate,) = torch.autograd.grad(logs, at)
        d, tails = d.detach(), self.noise.tails(self.gamma)
        inverse = self.whitening.inverse
        precision = (inverse.transpose(1, 2) @ inverse)[self.whitening.pattern]
        inside = torch.zeros_like(g)
        if self.censors:
            inside, share = interval_information(*self._limits(g, d), tails)
            share = torch.where(self.exact, 1.0, torch.where(self.there, share, 0.0))
            precision = torch.diag_embed(share)
            if self.joint is not None:
                root = torch.sqrt(share)
                both = root[:, :, None] * root[:, None, :]
                each = self._correlation(g) * both + torch.diag_embed(1 - share)
                precision = torch.linalg.inv(each) * both
        # The limits of a censored entry move with the standard deviation.
        moves = 1 / d + torch.where(self.there & ~self.exact, inside * rate, 0.0)
        rate = torch.where(self.exact, rate, 0.0)
        location = 1.0 if tails is None else location_information(tails)
        of_scale = 2.0 if tails is None else scale_information(tails)
        both = precision * self._correlation(g) + torch.eye(g.shape[1], dtype=g.dtype)
        grown = 0.5 * of_scale * rate[:, :, None] * rate[:, None, :] * both
        return location * precision * moves[:, :, None] * moves[:, None, :] + grown

    def _deviations(self, g: torch.Tensor) -> torch.Tensor:
        """Return d for signals (n, ..., d_y)."""
        if self.sized is not None:
            return self._along(self.sized, g).expand(g.shape)
        return self.noise.deviations(self.gamma, g, self.covariates)

    def _standardised(self, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return s d and r, each of the shape of g."""
        exact, y, scale = (self._along(x, g) for x in (self.exact, self.low, self.scale[:, None]))
        d = scale * self._deviations(g)
        # Infinite limits are left out before the division.
        y = torch.where(exact, y, 0.0)
        return d, self.whitening.apply(torch.where(exact, (y - g) / d, 0.0))

    def _limits(self, g: torch.Tensor, d: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the standardised limits of censored entries; other limits are infinite."""
        there = self._along(self.there & ~self.exact, g)
        low, high = (self._along(x, g) for x in (self.low, self.high))
        low, high = torch.where(there, low, -torch.inf), torch.where(there, high, torch.inf)
        return standardised(low, g, d), standardised(high, g, d)

    def _correlation(self, g: torch.Tensor) -> torch.Tensor:
        """Return R, to go with signals (n, d_y)."""
        return self.noise.correlation(self.gamma, self.covariates).to(g.dtype)

    @staticmethod
    def _along(x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        """Return rows of n systems (n, d) so that they broadcast against g (n, ..., d_y)."""
        return x.reshape(len(x), *[1] * (g.ndim - 2), x.shape[1])


@dataclass(frozen=True)
class _VaryingAt(AtSignal):
    density: VaryingDensity
    signal: torch.Tensor

    @cached_property
    def _both(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.density.with_slope(self.signal)

    @cached_property
    def log(self) -> torch.Tensor:
        if "_both" in self.__dict__:
            return self._both[0]
        with torch.no_grad():
            return self.density.log_density(self.signal)

    @property
    def slope(self) -> torch.Tensor:
        return self._both[1]

    @cached_property
    def residual(self) -> torch.Tensor:
        with torch.no_grad():
            return self.density.residual(self.signal)

    def noise_scores(self) -> Iterator[torch.Tensor]:
        for up, down in self.density.moved:
            # The gradient mode must not reach the code that receives the scores.
            with torch.no_grad():
                change = up.log_density(self.signal) - down.log_density(self.signal)
            yield change / (2 * _STEP)


def varying_density(problem: Problem, gamma: torch.Tensor) -> VaryingDensity:
    """Return the density of all systems of a problem, with its derivatives in the free noise.

    Parameters
    ----------
    problem : Problem
    gamma : Tensor of shape (n_gamma,)

    Raises
    ------
    DivergenceError
        If the correlation of the noise is not positive definite.
    """
    here, moved = _density(problem, gamma), []
    for unit in torch.eye(len(gamma), dtype=gamma.dtype) if problem.free_noise else ():
        up, down = (_density(problem, gamma + sign * _STEP * unit, here) for sign in (1, -1))
        moved.append((up, down))
    return replace(here, moved=tuple(moved))


def _density(
    problem: Problem, gamma: torch.Tensor, near: VaryingDensity | None = None
) -> VaryingDensity:
    """Return the density at gamma, with the whitening of ``near`` if the correlation is equal."""
    noise, conditions = problem.noise, problem.conditions
    # Noise that varies is not streamed.
    y = np.asarray(problem.data)
    low, high = conditions.limits.ends(y) if conditions.limited else (y, y)
    seen, scale = torch.tensor(conditions.present), torch.tensor(conditions.scale)
    censored, covariates = seen & torch.from_numpy(low < high), conditions.known.covariates
    with torch.no_grad():
        correlation, joint = noise.correlation(gamma, covariates), None
        if near is not None and torch.equal(noise.correlation(near.gamma, covariates), correlation):
            roots, joint = near.whitening, near.joint
        else:
            # The standard deviations contain the scales, and censored entries are no residuals.
            whole = (seen if noise.independent else seen & ~censored).numpy()
            gaps = (None, None) if whole.all() else (whole, np.zeros(y.shape[1]))
            stated = Conditions.stated(y.shape, None, *gaps)
            roots = whitening(correlation, stated, noise.symmetric)
            if not noise.independent and censored.any():
                joint = CensoredEntries.of(correlation, roots, seen, censored)
    ends = torch.from_numpy(low), torch.from_numpy(high)
    return VaryingDensity(noise, gamma, *ends, seen, scale, covariates, roots, joint)
