"""The density of a problem's observations, chosen by its noise and its systems."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from popinv.forward.tangents import each_tangent
from popinv.inference.density.density import Density, NormalDensity, StackedDensity
from popinv.inference.density.intrinsic_density import intrinsic_density
from popinv.inference.density.problem import Problem
from popinv.inference.density.shifted_density import ShiftedDensity
from popinv.inference.density.varying_density import varying_density
from popinv.inference.density.whitening import whitening
from popinv.late import torch


def _replicates_apart(problem: Problem) -> Problem:
    """Return the problem with each replicate as a system of its own, without a simulator."""
    count, conditions = problem.replicates, problem.conditions
    data = np.asarray(problem.data)
    present = conditions.present.reshape(len(data) * count, -1)
    conditions = replace(
        conditions,
        scale=np.repeat(conditions.scale, count),
        present=present,
        # The values that fill gaps are not used.
        fill=np.zeros(present.shape[1]),
        known=conditions.known.repeated(count),
        limits=conditions.limits.mapped(lambda rows: rows.reshape(present.shape)),
    )
    return replace(
        problem,
        data=data.reshape(len(data) * count, -1),
        noise=problem.noise.of_one,
        conditions=conditions,
    )


class DensitiesAt:
    """The density of a problem's systems at one gamma, with its derivatives in the free noise.

    Parameters
    ----------
    gamma : Tensor of shape (n_gamma,)

    Raises
    ------
    DivergenceError
        If the covariance of the noise is not positive definite.
    """

    def __init__(self, problem: Problem, gamma: torch.Tensor) -> None:
        self._problem, conditions = problem, problem.conditions
        self._all: Density | None = None
        self._mean: tuple[DensitiesAt, torch.Tensor, torch.Tensor] | None = None
        if problem.noise.shared is not None:
            self._mean = _about_mean(problem, gamma)
            return
        # The replicates of a system share its own discrepancy.
        if problem.replicates > 1 and problem.noise.own is None:
            each = DensitiesAt(_replicates_apart(problem), gamma)
            rows = each.of(np.arange(len(problem.data) * problem.replicates))
            self._all = StackedDensity(rows, problem.replicates)
            return
        if not problem.is_normal:
            of_all = intrinsic_density if problem.noise.intrinsic else varying_density
            self._all = of_all(problem, gamma)
            return

        def covariance(at: torch.Tensor) -> torch.Tensor:
            return problem.noise.covariances(at, problem.known.covariates)

        with torch.no_grad():
            self._covariance = covariance(gamma)
            self._derivatives = list(each_tangent(covariance, gamma)) if problem.free_noise else []
        # Without gaps, one factorisation serves all systems, or each system has one.
        self._whole = not conditions.gaps
        self._by_system = self._covariance.ndim == 3
        if self._whole:
            self.noise = whitening(self._covariance, conditions)
            self.changes = [self.noise.change(each) for each in self._derivatives]

    def of(self, systems: np.ndarray) -> Density:
        """Return the density of some of the systems."""
        index, conditions = torch.from_numpy(systems), self._problem.conditions
        if self._mean is not None:
            centred, mean, derivatives = self._mean
            if mean.ndim > 1:
                mean, derivatives = mean[index], derivatives[index]
            return ShiftedDensity(centred.of(systems), mean, derivatives)
        if self._all is not None:
            return self._all.rows(index)
        if self._whole:
            noise, changes = self.noise.rows(index), self.changes
        else:
            rows = index if self._by_system else ...
            noise = whitening(self._covariance[rows], conditions.of(systems))
            changes = [noise.change(each[rows]) for each in self._derivatives]
        data = noise.apply(torch.from_numpy(np.asarray(self._problem.data[systems])))
        return NormalDensity(noise, data, changes)


def _about_mean(
    problem: Problem, gamma: torch.Tensor
) -> tuple[DensitiesAt, torch.Tensor, torch.Tensor]:
    """Return the densities about the noise's mean, the mean, and its derivatives."""
    noise, covariates = problem.noise, problem.known.covariates
    count = len(noise.centred.names)
    with torch.no_grad():
        mean = noise.shift(gamma, covariates)
        derivatives = noise.shift_derivatives(gamma, covariates)
    if not problem.free_noise:
        derivatives = derivatives[..., :0, :]
    return DensitiesAt(replace(problem, noise=noise.centred), gamma[:count]), mean, derivatives


def log_likelihood(problem: Problem, gamma: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
    """Return log p(y | g) of each system (N,), which torch can differentiate once.

    Parameters
    ----------
    problem : Problem
        Its noise is free if the derivative in gamma is needed.
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
