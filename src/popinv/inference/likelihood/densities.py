"""The density of a problem's observations: which one its noise and its systems have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from popinv.inference.likelihood.density import Density, NormalDensity, StackedDensity
from popinv.inference.likelihood.varying_density import varying_density
from popinv.inference.likelihood.whitening import covariance_derivatives, whitening
from popinv.inference.problem import Problem


def _replicates_apart(problem: Problem) -> Problem:
    """Return the problem with each replicate as a system of its own, without a simulator."""
    count, conditions = problem.replicates, problem.conditions
    data = np.asarray(problem.data)
    if conditions is not None:
        present, fill = (
            None if each is None else each.reshape(*each.shape[:-1], count, -1)
            for each in (conditions.present, conditions.fill)
        )
        width, limits = data.shape[1] // count, conditions.limits
        conditions = replace(
            conditions,
            scale=None if conditions.scale is None else np.repeat(conditions.scale, count),
            present=None if present is None else present.reshape(-1, present.shape[-1]),
            # What fills a gap is not looked at.
            fill=None if fill is None else fill[0],
            known=None if conditions.known is None else conditions.known.repeated(count),
            limits=None if limits is None else limits.mapped(lambda x: x.reshape(-1, width)),
        )
    return replace(
        problem,
        data=data.reshape(len(data) * count, -1),
        noise=problem.noise.of_one,
        conditions=conditions,
        replicates=1,
    )


class DensitiesAt:
    """The density of a problem's systems at one gamma, with its derivatives in the free noise.

    Parameters
    ----------
    problem : Problem
    gamma : Tensor of shape (n_gamma,)

    Raises
    ------
    DivergenceError
        If the covariance of the noise is not positive definite.
    """

    def __init__(self, problem: Problem, gamma: torch.Tensor) -> None:
        self._problem, conditions = problem, problem.conditions
        self._all: Density | None = None
        if problem.replicates > 1:
            each = DensitiesAt(_replicates_apart(problem), gamma)
            rows = each.of(np.arange(len(problem.data) * problem.replicates))
            self._all = StackedDensity(rows, problem.replicates)
            return
        if problem.noise.varies:
            self._all = varying_density(problem, gamma)
            return
        with torch.no_grad():
            self._covariance = problem.noise.covariance(gamma)
            free = problem.free_noise
            self._derivatives = covariance_derivatives(problem, gamma) if free else []
        # Without gaps, one factorisation serves all systems.
        self._whole = conditions is None or conditions.present is None
        if self._whole:
            self.noise = whitening(self._covariance, len(problem.data), conditions)
            self.changes = [self.noise.change(each) for each in self._derivatives]

    def of(self, systems: np.ndarray) -> Density:
        """Return the density of some of the systems."""
        index, conditions = torch.from_numpy(systems), self._problem.conditions
        if self._all is not None:
            return self._all.rows(index)
        if self._whole:
            noise, changes = self.noise.rows(index), self.changes
        else:
            own = None if conditions is None else conditions.of(systems)
            noise = whitening(self._covariance, len(systems), own)
            changes = [noise.change(each) for each in self._derivatives]
        data = noise.apply(torch.from_numpy(np.asarray(self._problem.data[systems])))
        return NormalDensity(noise, data, changes)


def log_likelihood(problem: Problem, gamma: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
    """Return log p(y | g) of each system (N,), which torch can differentiate once.

    Parameters
    ----------
    problem : Problem
        Its noise is free where the derivative in gamma is asked for.
    gamma : Tensor of shape (n_gamma,)
    signal : Tensor of shape (N, d_y)
        g.
    """
    at = density_of(problem, gamma.detach()).at(signal.detach())
    value = at.log + ((signal - signal.detach()) * at.slope).sum(dim=-1)
    change = gamma - gamma.detach()
    return value + sum(change[i] * score for i, score in enumerate(at.noise_scores()))


def density_of(problem: Problem, gamma: torch.Tensor) -> Density:
    """Return the density of all systems of a problem at gamma; see :class:`DensitiesAt`."""
    return DensitiesAt(problem, gamma).of(np.arange(len(problem.data)))
