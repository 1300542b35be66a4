r"""The density of an observation given the noise-free one, for any noise.

With ``xi = s D(g) L u`` (:mod:`popinv.population.noise.varying`) and ``R = L L^T``,

.. math:: \log p(y \mid g) = \sum_j \log f(r_j) - \sum_j \log(s d_j(g_j)) - \log\det L, \qquad
    r = L^{-1} D(g)^{-1} (y - g) / s,

where f is the density of u, over the entries that were observed. The Fisher information of y about
g is

.. math:: W = \kappa\, \bar D^{-1} R^{-1} \bar D^{-1}
    + \tfrac{\iota}{2}\, a a^T \circ (R^{-1} \circ R + I), \qquad \bar D = s D, \quad
    a_j = d_j'(g_j) / d_j(g_j),

with kappa and iota the informations of f about its location and the logarithm of its scale, 1 and 2
for a normal density. This is exact for a normal density or independent entries. It only sets
steps and proposals, so that an approximation suffices. An observation below a limit of
quantification contributes as in :mod:`popinv.inference.likelihood.censoring`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from popinv.inference.likelihood.censoring import tail_curvature
from popinv.inference.likelihood.density import AtSignal, Density, Field
from popinv.inference.likelihood.whitening import Whitening, whitening
from popinv.inference.problem import Problem
from popinv.population.noise.student import (
    location_information,
    log_density,
    scale_information,
)
from popinv.population.noise.varying import VaryingNoise

# Steps of gamma, for derivatives by central differences.
_STEP = 1e-4


@dataclass(frozen=True)
class VaryingDensity(Density):
    """log p(y | g) of n systems at one gamma.

    Attributes
    ----------
    noise : VaryingNoise
    gamma : Tensor of shape (n_gamma,)
    data : Tensor of shape (n, d_y)
        Observations, any number where nothing was observed.
    there : Tensor of bool, shape (n, d_y)
        Which entries were observed.
    scale : Tensor of shape (n,)
        s.
    covariates : Tensor of shape (n, k), optional
    whitening : Whitening
        Of R, at scale 1.
    censored : Tensor of bool, shape (n, d_y), optional
        Which observations are only known to lie below the number in the data, a limit. The noise
        is then independent and Gaussian.
    moved : tuple of (VaryingDensity, VaryingDensity)
        The densities at gamma moved up and down by a step in each free entry.
    """

    noise: VaryingNoise
    gamma: torch.Tensor
    data: torch.Tensor
    there: torch.Tensor
    scale: torch.Tensor
    covariates: torch.Tensor | None
    whitening: Whitening
    censored: torch.Tensor | None = None
    moved: tuple[tuple[VaryingDensity, VaryingDensity], ...] = ()

    @property
    def seen(self) -> torch.Tensor:
        """Number of observed entries of each system, (n,)."""
        return self.there.sum(dim=1)

    def rows(self, index: torch.Tensor) -> VaryingDensity:
        """Return the densities of some of the systems."""
        return replace(
            self,
            data=self.data[index],
            there=self.there[index],
            scale=self.scale[index],
            covariates=None if self.covariates is None else self.covariates[index],
            whitening=self.whitening.rows(index),
            censored=None if self.censored is None else self.censored[index],
            moved=tuple((up.rows(index), down.rows(index)) for up, down in self.moved),
        )

    def residual(self, g: torch.Tensor) -> torch.Tensor:
        """Return the whitened residuals r of signals g (n, ..., d_y), zero where none is seen."""
        return self._standardised(g)[1]

    def log_density(self, g: torch.Tensor) -> torch.Tensor:
        """Return log p(y | g) for g of shape (n, ..., d_y), shape (n, ...)."""
        there, (d, r) = self._along(self.there, g), self._standardised(g)
        own_logs = torch.where(there, -torch.log(d), 0.0)
        entries = self.whitening.entries[self.whitening.pattern].to(g.dtype)
        logdet = -self.whitening.constant - 0.5 * entries * math.log(2 * math.pi)
        tails = self.noise.tails(self.gamma)
        normal = -0.5 * (r**2 + math.log(2 * math.pi))
        own = own_logs + torch.where(there, normal if tails is None else log_density(r, tails), 0.0)
        if self.censored is not None:
            below = self._along(self.censored, g)
            # Both branches are finite, so that the gradient of neither is NaN.
            own = torch.where(below, torch.special.log_ndtr(torch.where(below, r, 0.0)), own)
        return own.sum(dim=-1) - logdet.reshape(-1, *[1] * (g.ndim - 2))

    def louder(self, factor: float) -> VaryingDensity:
        """Return the density with all deviations times a factor, without its derivatives."""
        return replace(self, scale=self.scale * factor, moved=())

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
    ) -> Iterator[Field]:
        """Yield the control variate of each noise parameter's score, about a mode of signal g."""
        across = jacobian.transpose(1, 2)
        for up, down in self.moved:
            slope = (up.with_slope(g)[1] - down.with_slope(g)[1]) / (2 * _STEP)
            change = (up.information(g, jacobian) - down.information(g, jacobian)) / (2 * _STEP)
            yield Field.solved(hessian, -across @ slope[..., None], 0.5 * change)

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
            d = self.scale[:, None] * self.noise.deviations(self.gamma, at, self.covariates)
            logs = torch.log(d).sum()
            rate = torch.zeros_like(at)
            if logs.requires_grad:
                (rate,) = torch.autograd.grad(logs, at)
        d, tails = d.detach(), self.noise.tails(self.gamma)
        inverse = self.whitening.inverse
        precision = (inverse.transpose(1, 2) @ inverse)[self.whitening.pattern]
        rate = torch.where(self.there, rate, 0.0)
        location = 1.0 if tails is None else location_information(tails)
        of_scale = 2.0 if tails is None else scale_information(tails)
        correlation = self.noise.correlation(self.gamma, self.covariates)
        both = precision * correlation + torch.eye(g.shape[1], dtype=g.dtype)
        grown = 0.5 * of_scale * rate[:, :, None] * rate[:, None, :] * both
        information = location * precision / (d[:, :, None] * d[:, None, :]) + grown
        if self.censored is None:
            return information
        a = (self.data - g) / d
        of_limit = tail_curvature(a) * (1 / d + a * rate) ** 2
        own = torch.where(self.censored, of_limit, information.diagonal(dim1=1, dim2=2))
        return torch.diag_embed(own)

    def _standardised(self, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return s d and r, each of the shape of g."""
        there, data, scale = (
            self._along(x, g) for x in (self.there, self.data, self.scale[:, None])
        )
        d = scale * self.noise.deviations(self.gamma, g, self.covariates)
        return d, self.whitening.apply(torch.where(there, (data - g) / d, 0.0))

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
            # The mode of the gradients must not reach those who are given the scores.
            with torch.no_grad():
                change = up.log_density(self.signal) - down.log_density(self.signal)
            yield change / (2 * _STEP)


def varying_density(problem: Problem, gamma: torch.Tensor) -> VaryingDensity:
    """Return the density of all systems of a problem, with its derivatives in the free noise.

    Parameters
    ----------
    problem : Problem
        Its noise is a :class:`~popinv.population.noise.varying.VaryingNoise`.
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
    """Return the density at gamma, with the whitening of one near if its correlation is equal."""
    noise, conditions = problem.noise, problem.conditions
    assert isinstance(noise, VaryingNoise)
    # Noise that varies is not streamed.
    y = np.asarray(problem.data)
    seen, scale = torch.tensor(conditions.present), torch.tensor(conditions.scale)
    censored = seen & torch.from_numpy(y <= conditions.limits) if conditions.limited else None
    with torch.no_grad():
        correlation = noise.correlation(gamma, conditions.known.covariates)
        if near is not None and torch.equal(
            noise.correlation(near.gamma, conditions.known.covariates), correlation
        ):
            roots = near.whitening
        else:
            # The scales are in the deviations.
            roots = whitening(correlation, conditions.with_scale(1.0))
    data, covariates = torch.from_numpy(y), conditions.known.covariates
    return VaryingDensity(noise, gamma, data, seen, scale, covariates, roots, censored)
