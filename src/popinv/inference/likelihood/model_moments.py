"""Mean and covariance of the noise-free model over the law, from matched draws.

Systems with the same known quantities (:mod:`popinv.population.known`) have the same moments.
Without any, all systems do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from popinv.errors import DivergenceError
from popinv.inference.likelihood.components import Split
from popinv.inference.likelihood.varying_pseudo import varying_moments
from popinv.inference.moments import matched_normals
from popinv.inference.problem import Problem
from popinv.population.known import Known, inputs, systems_by_row
from popinv.seeds import generator

FEWEST_DRAWS = 16_000
"""The smallest default number of draws, except of few systems."""

_FEW_DRAWS, _DRAWS_PER_FEW = 1000, 32
_DRAWS_PER_SYSTEM, _MOST_DRAWS = 16, 400_000
# The smallest number of pairs of draws for systems with the same known quantities.
_FEWEST_PAIRS = 100
# Steps of differences of the simulator, which may be in single precision, and of the law.
_STEP, _LAW_STEP = 1e-3, 1e-5
# Rows that are simulated at a time, and rows that give a first approximation of the mean.
_ROWS, _FEW_ROWS = 20_000, 200


@dataclass(frozen=True)
class ModelMoments:
    """Mean and covariance of the noise-free model, with derivatives in alpha.

    Attributes
    ----------
    mean : Tensor of shape (d_y,)
    covariance : Tensor of shape (d_y, d_y)
    mean_derivatives : Tensor of shape (d_alpha, d_y)
    covariance_derivatives : Tensor of shape (d_alpha, d_y, d_y)
    """

    mean: torch.Tensor
    covariance: torch.Tensor
    mean_derivatives: torch.Tensor
    covariance_derivatives: torch.Tensor

    def with_derivatives_of(self, other: ModelMoments) -> ModelMoments:
        """Return these moments with the derivatives of others."""
        return replace(
            self,
            mean_derivatives=other.mean_derivatives,
            covariance_derivatives=other.covariance_derivatives,
        )


@dataclass(frozen=True)
class MomentsByKnown:
    """The moments of systems that differ in their known quantities.

    Attributes
    ----------
    moments : sequence of ModelMoments
    known : Known
        The known quantities that belong to each.
    """

    moments: tuple[ModelMoments, ...]
    known: Known

    def with_derivatives_of(self, other: MomentsByKnown) -> MomentsByKnown:
        """Return these moments with the derivatives of others."""
        pairs = zip(self.moments, other.moments, strict=True)
        return replace(self, moments=tuple(a.with_derivatives_of(b) for a, b in pairs))


def draws_for(systems: int) -> int:
    """Return the default number of draws for the moments."""
    fewest = min(FEWEST_DRAWS, max(_FEW_DRAWS, _DRAWS_PER_FEW * systems))
    return min(max(fewest, _DRAWS_PER_SYSTEM * systems), _MOST_DRAWS)


def matched_draws(
    problem: Problem, count: int | None = None, groups: int | None = None
) -> torch.Tensor:
    """Return the draws of omega for the moments, the same at all p.

    Systems with other known quantities have draws of their own, one set after the other. Equal
    quantities have equal draws, whatever the other systems are.

    Parameters
    ----------
    problem : Problem
    count : int, optional
        Number of draws; by default 16 for each system, at least 16,000 and at most 400,000; of
        fewer than 500 systems 32 for each, at least 1000. The model's moments then add at most a
        sixteenth to the variance of the answer.
    groups : int, optional
        Number of different known quantities that share them, by default those of the systems.
    """
    width = problem.law.d_omega
    if count is None:
        count = draws_for(len(problem.data))
    address = f"{problem.stage}/moments"
    if problem.known is None:
        rng = generator(problem.seed, address)
        return matched_normals(rng, max(count // 2, 2 * width), width)
    rows = problem.known.of(problem.known.groups()[0]).row_keys()
    pairs = max(count // (2 * (groups or len(rows))), 2 * width, _FEWEST_PAIRS)
    own = (f"{address}/{hashlib.sha256(row).hexdigest()}" for row in rows)
    return torch.cat([matched_normals(generator(problem.seed, at), pairs, width) for at in own])


def model_moments(
    problem: Problem, alpha: torch.Tensor, omega: torch.Tensor, derivatives: bool = True
) -> ModelMoments:
    """Return mean and covariance of G(T(alpha, omega)) over the draws omega (M, d_omega).

    The systems have no known quantities.

    Raises
    ------
    DivergenceError
        If an observation of the model is not finite.
    """
    if problem.law.component is not None:
        split = Split.of(problem, alpha.numpy())
        parts = zip(split.problems, map(torch.from_numpy, split.alphas), strict=True)
        return _mixed(split, [model_moments(part, a, omega, derivatives) for part, a in parts])
    d_alpha = len(alpha) if derivatives and problem.free_law else 0
    linearise = getattr(problem.simulate, "linearise", None)
    if d_alpha and linearise and getattr(problem.simulate, "differentiable", True):
        return _by_tangents(problem, alpha, omega, linearise)
    mean, covariance = _two_moments(problem, alpha, omega)
    means, covariances = [], []
    for i in range(d_alpha):
        plus, minus = (_two_moments(problem, a, omega) for a in _moved(alpha, i, _STEP))
        means.append((plus[0] - minus[0]) / (2 * _STEP))
        covariances.append((plus[1] - minus[1]) / (2 * _STEP))
    if not d_alpha:
        means = [torch.zeros_like(mean)] * len(alpha)
        covariances = [torch.zeros_like(covariance)] * len(alpha)
    return ModelMoments(mean, covariance, torch.stack(means), torch.stack(covariances))


def _mixed(split: Split, each: Sequence[ModelMoments]) -> ModelMoments:
    """Return the moments of a mixture from those of its components."""
    return ModelMoments(*split.moments([tuple(vars(moments).values()) for moments in each]))


def _moved(alpha: torch.Tensor, i: int, step: float) -> tuple[torch.Tensor, torch.Tensor]:
    shift = torch.zeros_like(alpha)
    shift[i] = step
    return alpha + shift, alpha - shift


def _by_tangents(
    problem: Problem,
    alpha: torch.Tensor,
    omega: torch.Tensor,
    linearise: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
) -> ModelMoments:
    """Return moments and derivatives, from the simulator's derivatives along dT/dalpha."""
    law, d_alpha, d_y = problem.law, len(alpha), problem.data.shape[1]
    total, square = alpha.new_zeros(d_y), alpha.new_zeros((d_y, d_y))
    of_total, of_square = alpha.new_zeros((d_alpha, d_y)), alpha.new_zeros((d_alpha, d_y, d_y))
    parts = omega.split(max(1, _ROWS // (1 + d_alpha)))
    with torch.no_grad():
        centre = problem.signal(alpha, parts[0][:_FEW_ROWS]).mean(dim=0)
        for rows in parts:
            ends = (_moved(alpha, i, _LAW_STEP) for i in range(d_alpha))
            tangents = torch.stack([law.sample(a, rows) - law.sample(b, rows) for a, b in ends])
            y, change = linearise(law.sample(alpha, rows), tangents / (2 * _LAW_STEP))
            y = y - centre
            total, square = total + y.sum(dim=0), square + y.T @ y
            of_total, of_square = of_total + change.sum(dim=1), of_square + change.mT @ y
    shift, of_mean = total / len(omega), of_total / len(omega)
    covariance = square / len(omega) - torch.outer(shift, shift)
    half = of_square / len(omega) - of_mean[..., None] * shift
    moments = ModelMoments(centre + shift, covariance, of_mean, half + half.mT)
    if not all(torch.isfinite(moment).all() for moment in vars(moments).values()):
        raise DivergenceError("an observation of the model is not finite")
    return moments


def _two_moments(
    problem: Problem, alpha: torch.Tensor, omega: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    parts = omega.split(_ROWS)
    d_y = problem.data.shape[1]
    total = torch.zeros(d_y, dtype=alpha.dtype)
    square = torch.zeros((d_y, d_y), dtype=alpha.dtype)
    with torch.no_grad():
        # Sums about a point near the mean avoid cancellation.
        centre = problem.signal(alpha, parts[0][:_FEW_ROWS]).mean(dim=0)
        for rows in parts:
            y = problem.signal(alpha, rows) - centre
            total, square = total + y.sum(dim=0), square + y.T @ y
    shift = total / len(omega)
    mean, covariance = centre + shift, square / len(omega) - torch.outer(shift, shift)
    if not (torch.isfinite(mean).all() and torch.isfinite(covariance).all()):
        raise DivergenceError("an observation of the model is not finite")
    return mean, covariance


def moments_of_systems(
    problem: Problem,
    alpha: torch.Tensor,
    gamma: torch.Tensor,
    omega: torch.Tensor,
    derivatives: bool = True,
) -> Any:
    """Return the moments of a problem's systems.

    Parameters
    ----------
    problem : Problem
    alpha : Tensor of shape (d_alpha,)
    gamma : Tensor of shape (n_gamma,)
        The moments depend on it if the noise varies with the signal or with covariates.
    omega : Tensor of shape (M, d_omega)
        From :func:`matched_draws`.
    derivatives : bool
        Whether derivatives are computed, which are zero otherwise.

    Returns
    -------
    ModelMoments, MomentsByKnown or VaryingMoments
    """
    if problem.noise.varies:
        return varying_moments(problem, alpha, gamma, omega, derivatives)
    if problem.known is None:
        return model_moments(problem, alpha, omega, derivatives)
    first, _ = problem.known.groups()
    known = problem.known.of(first)
    return MomentsByKnown(tuple(moments_of_known(problem, alpha, omega, known, derivatives)), known)


def moments_of_known(
    problem: Problem,
    alpha: torch.Tensor,
    omega: torch.Tensor,
    known: Known,
    derivatives: bool = True,
) -> Iterator[ModelMoments]:
    """Yield the moments for each row of known quantities, several rows at a time.

    The draws omega (M, d_omega) are as many for each row, one set after the other.

    Raises
    ------
    DivergenceError
        If an observation of the model is not finite.
    """
    if problem.law.component is not None:
        split = Split.of(problem, alpha.numpy())
        parts = zip(split.problems, map(torch.from_numpy, split.alphas), strict=True)
        each = [moments_of_known(part, a, omega, known, derivatives) for part, a in parts]
        yield from (_mixed(split, moments) for moments in zip(*each, strict=True))
        return
    d_alpha = len(alpha) if derivatives and problem.free_law else 0
    draws = len(omega) // len(known)
    size = max(1, _ROWS // (draws * (1 + d_alpha)))
    with torch.no_grad():
        for start in range(0, len(known), size):
            rows = torch.arange(start, min(start + size, len(known)))
            own = omega[start * draws : (int(rows[-1]) + 1) * draws]
            moments = _of_block(problem, alpha, own, known.of(rows), d_alpha)
            if not all(torch.isfinite(each).all() for each in moments):
                raise DivergenceError("an observation of the model is not finite")
            for row in range(len(rows)):
                yield ModelMoments(*(each[row] for each in moments))


def _of_block(
    problem: Problem, alpha: torch.Tensor, omega: torch.Tensor, known: Known, d_alpha: int
) -> tuple[torch.Tensor, ...]:
    """Return the fields of :class:`ModelMoments` for n rows of known quantities, (n, ...)."""
    count, n_alpha = len(known), len(alpha)
    draws = len(omega) // count
    own = known.repeated(draws)

    def at(a: torch.Tensor) -> torch.Tensor:
        return inputs(problem.law, a, omega, own)

    def two(y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = y.reshape(count, draws, -1)
        mean = y.mean(dim=1)
        centred = y - mean[:, None]
        return mean, centred.mT @ centred / draws

    linearise = getattr(problem.simulate, "linearise", None)
    if d_alpha and linearise and getattr(problem.simulate, "differentiable", True):
        ends = (_moved(alpha, i, _LAW_STEP) for i in range(d_alpha))
        tangents = torch.stack([at(a) - at(b) for a, b in ends]) / (2 * _LAW_STEP)
        y, change = linearise(at(alpha), tangents)
        mean, covariance = two(y)
        centred = y.reshape(count, draws, -1) - mean[:, None]
        change = change.reshape(d_alpha, count, draws, -1)
        of_mean = change.mean(dim=2)
        half = change.mT @ centred / draws
        return mean, covariance, of_mean.swapaxes(0, 1), (half + half.mT).swapaxes(0, 1)
    mean, covariance = two(problem.simulate(at(alpha)))
    of_mean = mean.new_zeros((count, n_alpha, *mean.shape[1:]))
    of_covariance = mean.new_zeros((count, n_alpha, *covariance.shape[1:]))
    for i in range(d_alpha):
        plus, minus = (two(problem.simulate(at(a))) for a in _moved(alpha, i, _STEP))
        of_mean[:, i] = (plus[0] - minus[0]) / (2 * _STEP)
        of_covariance[:, i] = (plus[1] - minus[1]) / (2 * _STEP)
    return mean, covariance, of_mean, of_covariance


def groups_of_draws(
    problem: Problem, omega: torch.Tensor
) -> Iterator[tuple[np.ndarray, Known | None, torch.Tensor]]:
    """Yield the systems with the same known quantities, these quantities, and their draws."""
    if problem.known is None:
        yield np.arange(len(problem.data)), None, omega
        return
    first, index = problem.known.groups()
    for group, own in enumerate(omega.split(len(omega) // len(first))):
        row = first[group : group + 1]
        yield np.flatnonzero(index == group), problem.known.of(row), own


def equal_moments(
    problem: Problem, moments: ModelMoments | MomentsByKnown
) -> Iterator[tuple[np.ndarray, ModelMoments]]:
    """Yield the systems of a problem that have the same moments, and these moments."""
    if isinstance(moments, ModelMoments):
        yield np.arange(len(problem.data)), moments
        return
    for row, systems in systems_by_row(moments.known, problem.known):
        yield systems, moments.moments[row]


def repeated(known: Known | None, rows: torch.Tensor) -> Known | None:
    """Return the known quantities of one system for each of some rows."""
    return None if known is None else known.repeated(len(rows))
