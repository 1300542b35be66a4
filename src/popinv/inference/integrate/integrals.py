"""The integrals over single systems' parameters, and their derivatives.

The noise enters through its density alone (:mod:`popinv.inference.density.density`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from popinv.inference.density.density import Density, NormalDensity, VariateField
from popinv.inference.density.problem import Problem
from popinv.inference.density.whitening import Whitening
from popinv.inference.estimators.settings import PolishSettings
from popinv.inference.integrate.draws import (
    antithetic_normals,
    best_draws,
    draws_of_law,
    usable,
)
from popinv.inference.integrate.modes import Modes, find_modes
from popinv.inference.integrate.proposals import (
    defensive,
    laplace,
    laplace_log_density,
    transported,
)
from popinv.inference.integrate.push_forward import PushForward
from popinv.late import torch

# If |r|^2 / 2 at a mode is more than this many standard deviations above its mean, there may be a
# larger mode. The search for it multiplies the noise by the second number.
_SUSPECT, LOUDER = 3.0, (30.0, 10.0, 3.0)
# Number of searches for modes in each system.
MODES = 4
# Draws about a mode are too few where the posterior is this many times their density.
_TOO_FEW, _DRAWS_AT_ONCE = 8.0, 256
# The smallest share of usable draws in each half.
_LEAST_USABLE = 0.25


class Features(Protocol):
    """Functions of a system's standard normal numbers, whitened residual and signal."""

    def __call__(
        self, omega: torch.Tensor, residual: torch.Tensor, signal: torch.Tensor
    ) -> torch.Tensor:
        """Return the features (n, S, k) of draws (n, S, d_omega), (n, S, d_y) and (n, S, d_y)."""
        ...


@dataclass(frozen=True)
class MarginalSettings:
    """Settings of the integration.

    Attributes
    ----------
    draws : int
        S, a multiple of 4.
    features : callable, optional
        Functions of single draws whose posterior means follow the scores in an evaluation.
    scores : bool
        Whether to compute scores. Without scores, they are zero, the cost is halved, and draws are
        defensive.
    first_mode_steps, mode_steps : int
        Largest number of steps to a mode, from draws of the law and from the mode of a nearby
        evaluation. For a strongly curved law, the first number holds for both.
    corrections : tuple of (int, float)
        Numbers of corrections that the proposals of a system may get. A system gets a correction if
        its effective share of the draws is below the second number.
    new_value : bool
        Whether new draws compute the value of the log likelihood at a maximum. The draws of the
        ascent give too large a value.
    """

    draws: int = PolishSettings().draws
    features: Features | None = None
    scores: bool = True
    first_mode_steps: int = 60
    mode_steps: int = 4
    # One correction leaves heavy tails that a few draws do not reveal.
    corrections: tuple[tuple[int, float], ...] = ((2, 0.7), (4, 0.4))
    new_value: bool = True


@dataclass(frozen=True)
class AtModes:
    """All observations at the modes of n systems whose draws have some of them, and fewer of these.

    Attributes
    ----------
    push_forward : PushForward
        All d_y observations.
    slope : Tensor of shape (n, d_y)
        Gradient of log N in their signal.
    few : PushForward
        The few observations from which proposals are made.
    noise : Whitening
        From these few to the whitened observations.
    """

    push_forward: PushForward
    slope: torch.Tensor
    few: PushForward
    noise: Whitening

    def of(self, rows: torch.Tensor) -> AtModes:
        """Return the record of some of the systems."""
        return replace(self, slope=self.slope[rows], noise=self.noise.rows(rows))


@dataclass(frozen=True)
class Integrals:
    """The integrals of some systems.

    Attributes
    ----------
    numbers : ndarray of int, shape (n,)
        Numbers of the systems, which determine their draws.
    at_modes : AtModes, optional
        If the draws have only some of the observations.
    """

    problem: Problem
    push_forward: PushForward
    density: Density
    numbers: np.ndarray
    at_modes: AtModes | None = None

    @property
    def near_normal(self) -> bool:
        """Whether posteriors are close to the normal densities about their modes."""
        return self.density.is_normal and not self.problem.law.strongly_curved

    def find_modes(self, settings: MarginalSettings, start: torch.Tensor | None) -> Modes:
        """Return the modes, searched from a given start or from draws of the law."""
        steps = settings.first_mode_steps
        if start is not None:
            modes = self._search(start, settings.mode_steps if self.near_normal else steps)
            if self.density.is_normal:
                return modes
            # Signals that the law has moved across zero do not come back where noise grows.
            return self._escaped(modes, start, steps)
        modes = self._search(self._best_draws("mode_starts")[0], steps)
        zero = torch.zeros_like(modes.omega)
        if not self.density.is_normal:
            modes = _better(modes, torch.arange(len(zero)), self._search(zero, steps))
        return self._escaped(modes, zero, steps)

    def _escaped(self, modes: Modes, start: torch.Tensor, steps: int) -> Modes:
        """Return modes of which suspicious ones are replaced by better ones, if there are any."""
        misfit = (self.density.at(modes.signal).residual ** 2).sum(dim=1)
        suspects = suspicious(misfit, modes.omega, self.density.seen)
        if not len(suspects):
            return modes
        block, point = self.of(suspects), start[suspects]
        for factor in LOUDER:
            louder = replace(block, density=block.density.louder(factor))
            point = louder._search(point, steps).omega
        return _better(modes, suspects, block._search(point, steps))

    def all_modes(self, settings: MarginalSettings, starts: str) -> list[Modes]:
        """Return the modes at which searches from separate draws of the law end.

        A system with fewer modes has the same mode several times.
        """
        steps = settings.first_mode_steps
        return [self._search(start, steps) for start in self._best_draws(starts, MODES)]

    def missed(
        self, modes: Modes, value: torch.Tensor, draws: torch.Tensor, signals: torch.Tensor | None
    ) -> torch.Tensor:
        r"""Return the share of each posterior where Laplace draws are too few, shape (n,).

        With draws omega_s of the law, the Laplace density q and the found p(y), it is m / (1 + m),

        .. math:: m = \frac{1}{S p(y)} \sum_s p(y \mid \omega_s)\,
            1\bigl[\,p(y \mid \omega_s)\, \phi(\omega_s) > 8\, p(y)\, q(\omega_s)\bigr] ,

        a part of which draws of q hardly ever learn, so that it lacks in the found p(y). A curved
        posterior with a single mode may have a third of its mass there.

        Parameters
        ----------
        value : Tensor of shape (n,)
            log p(y) from draws about the modes.
        draws : Tensor of shape (S, d_omega)
        signals : Tensor of shape (S, d_y), optional
            Their signals, if these are the same for all systems.
        """
        n, share = len(value), torch.zeros_like(value)
        for i, some in enumerate(draws.split(_DRAWS_AT_ONCE)):
            each = some.expand(n, *some.shape)
            if signals is None:
                signal = self.push_forward(each.flatten(0, 1)).reshape(*each.shape[:2], -1)
            else:
                signal = signals[i * _DRAWS_AT_ONCE :][: len(some)].expand(n, len(some), -1)
            log = self.density.at(signal).log - value[:, None]
            posterior = log - 0.5 * (some**2).sum(dim=1)
            too_few = posterior > laplace_log_density(modes, each) + math.log(_TOO_FEW)
            share += torch.where(too_few, torch.exp(log), 0.0).sum(dim=1)
        return share / (len(draws) + share)

    def _search(self, start: torch.Tensor, steps: int) -> Modes:
        return find_modes(self.push_forward, self.density, start, steps)

    def evaluate(
        self, settings: MarginalSettings, modes: Modes, corrections: int
    ) -> tuple[np.ndarray, ...]:
        """Return the fields of :class:`popinv.inference.integrate.marginal.Evaluation`."""
        n, size = len(modes.omega), settings.draws // 2
        omega, log_weight, each = self._weighted(settings, modes, corrections)
        if corrections:
            # If the map of the proposals folds too often, proposals without corrections are used.
            finite = torch.isfinite(log_weight).reshape(n, 2, size).sum(dim=2).min(dim=1).values
            few = torch.nonzero(finite < _LEAST_USABLE * size)[:, 0]
            if len(few):
                plain = self.of(few)._weighted(settings, modes.of(few), 0)
                for array, others in zip((omega, log_weight, each), plain, strict=True):
                    array[few] = others
        levels = torch.full((n,), corrections)
        return summarised(omega, log_weight, each, modes.omega, levels)

    def of(self, rows: torch.Tensor) -> Integrals:
        """Return the integrals of some of the systems."""
        return replace(
            self,
            push_forward=self.push_forward.rows(rows),
            density=self.density.rows(rows),
            numbers=self.numbers[rows.numpy()],
            at_modes=None if self.at_modes is None else self.at_modes.of(rows),
        )

    def _weighted(
        self, settings: MarginalSettings, modes: Modes, corrections: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return draws (n, S, d_omega), their log weights (n, S), and scores (n, S, n_p)."""
        problem = self.problem
        xi = antithetic_normals(problem, self.numbers, settings.draws)
        # If only the value is needed, draws are defensive, except for thin and curved posteriors.
        if not self.near_normal or not (settings.scores or corrections):
            omega, log_proposal = defensive(modes.omega[:, None], modes.hessian, xi)
        elif corrections:
            omega, log_proposal = transported(*self._proposing(modes), modes, xi, corrections)
        else:
            omega, log_proposal = laplace(modes, xi)
        log_joint, each = self._joint(modes, omega, settings)
        log_weight, each, omega = usable(log_joint - log_proposal, each, omega)
        return omega, log_weight, each

    def _proposing(self, modes: Modes) -> tuple[PushForward, torch.Tensor, torch.Tensor]:
        """Return the signals of proposals, W J at the modes, and the goal of their steps.

        Any signal gives proposals of known density, and so does one of few observations.
        """
        slope = self.density.at(modes.signal).slope
        pulled = (modes.jacobian.transpose(1, 2) @ slope[..., None])[..., 0]
        if (known := self.at_modes) is None:
            used, signal = self.push_forward, modes.signal
            weighted = self.density.weigh(signal, modes.jacobian)
        else:
            assert isinstance(self.density, NormalDensity)
            used, signal = known.few, known.few(modes.omega)
            white = self.density.noise.apply(modes.jacobian.transpose(1, 2))
            weighted = known.noise.transpose(white).transpose(1, 2)
        return used, weighted, (signal[:, None] @ weighted)[:, 0] + pulled

    def _joint(
        self, modes: Modes, omega: torch.Tensor, settings: MarginalSettings
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log p(y | g) + log phi (n, S), and scores and features (n, S, n_p + k) of draws.

        The logarithm of phi omits its constant, as the proposals do.
        """
        problem, (n, count, d) = self.problem, omega.shape
        if settings.scores:
            y, pull_back = self.push_forward.with_pull_back(omega.reshape(-1, d))
        else:
            y = self.push_forward(omega.reshape(-1, d))
        at = self.density.at(y.reshape(n, count, -1))
        prior = 0.5 * (omega**2).sum(dim=2)
        scores = torch.zeros((n, count, len(problem.free)), dtype=y.dtype)
        if not settings.scores:
            return at.log - prior, scores
        parts = pull_back(at.slope.reshape(y.shape))
        in_alpha, in_omega = (part.reshape(n, count, -1) for part in parts)
        shift, gradient = omega - modes.omega[:, None], in_omega - omega
        if problem.free_law and problem.law.strongly_curved:
            of_draws = self.push_forward.density_scores(omega.reshape(-1, d))
            scores[..., : problem.d_alpha] = of_draws.reshape(n, count, -1)
        elif problem.free_law:
            scores[..., : problem.d_alpha] = in_alpha
            for i, field in enumerate(law_fields(self.push_forward, self.density, modes)):
                scores[..., i] -= field.variate(shift, gradient)
                if self.at_modes is not None:
                    scores[..., i] += self._unseen(self.at_modes, modes, i, field.constant)[:, None]
        fields = self.density.noise_fields(modes.signal, modes.jacobian, modes.hessian)
        of_noise = zip(at.noise_scores(), fields, strict=True)
        for i, (score, field) in enumerate(of_noise, problem.d_alpha):
            scores[..., i] = score - field.variate(shift, gradient)
        if settings.features is not None:
            mean = problem.noise.mean(y.reshape(n, count, -1))
            more = settings.features(omega, at.residual, mean)
            scores = torch.cat([scores, more], dim=2)
        return at.log - prior, scores

    def _unseen(
        self, known: AtModes, modes: Modes, entry: int, against: torch.Tensor
    ) -> torch.Tensor:
        """Return what the omitted observations add to the score of an entry of alpha, (n,).

        As the entry grows, the mode moves against the constant of the entry's field.
        """
        whole = known.push_forward.along(modes.omega, entry, -against)
        some = self.push_forward.along(modes.omega, entry, -against)
        slope = self.density.at(modes.signal).slope
        return (known.slope * whole).sum(dim=1) - (slope * some).sum(dim=1)

    def _best_draws(self, stage: str, count: int = 1) -> torch.Tensor:
        """Return for each system the best of some draws of the law, (count, n, d_omega)."""
        draws, objectives = draws_of_law(self.problem, stage), []
        for draw, signal in zip(draws, self._signals(draws), strict=True):
            there = self.density.at(signal.expand(len(self.numbers), -1))
            objectives.append(0.5 * (draw**2).sum() - there.log)
        return best_draws(draws, torch.stack(objectives), count)

    def _signals(self, draws: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the signal of each draw (1, d_y), or of each system with the draw (n, d_y)."""
        if not self.push_forward.known.width:
            yield from self.push_forward(draws).split(1)
            return
        for draw in draws:
            yield self.push_forward(draw.expand(len(self.numbers), -1))


def suspicious(misfit: torch.Tensor, omega: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Return the systems whose observations are far from the model at a mode.

    They suggest another mode, which a search with larger noise may find.

    Parameters
    ----------
    misfit : Tensor of shape (n,)
        ``|r|^2`` there.
    omega : Tensor of shape (n, d_omega)
    seen : Tensor of shape (n,)
        Number of observed entries.
    """
    far = 0.5 * (misfit + (omega**2).sum(dim=1))
    bound = 0.5 * (seen + omega.shape[1]) + _SUSPECT * torch.sqrt(2.0 * seen)
    return torch.nonzero(~(far < bound))[:, 0]


def _better(modes: Modes, rows: torch.Tensor, other: Modes) -> Modes:
    """Return the modes; better modes of other searches of some rows replace them."""
    better = other.objective < modes.objective[rows]
    return modes.replaced(rows[better], other.of(better))


def summarised(
    omega: torch.Tensor,
    log_weight: torch.Tensor,
    each: torch.Tensor,
    modes: torch.Tensor,
    corrections: torch.Tensor,
) -> tuple[np.ndarray, ...]:
    """Return the fields of an evaluation from weighted draws, whose halves are alike.

    Parameters
    ----------
    omega : Tensor of shape (n, S, d_omega)
    log_weight : Tensor of shape (n, S)
    each : Tensor of shape (n, S, n_p)
        Scores of each draw.
    modes : Tensor of shape (n, d_omega)
    corrections : Tensor of int, shape (n,)

    Returns
    -------
    tuple of ndarray
        The fields of :class:`popinv.inference.integrate.marginal.Evaluation`.
    """
    draws = log_weight.shape[1]
    value, scores, weights = _estimate(log_weight, each)
    (value_1, scores_1, _), (value_2, scores_2, _) = (
        _estimate(w, s)
        for w, s in zip(log_weight.split(draws // 2, 1), each.split(draws // 2, 1), strict=True)
    )
    bias = (scores_1 + scores_2) / 2 - scores
    mean = (weights[..., None] * omega).sum(dim=1)
    values = (
        2 * value - (value_1 + value_2) / 2,
        (value_1 - value_2) / 2,
        scores - bias,
        bias,
        (scores_1 - scores_2) / 2,
        modes,
        mean,
        (weights[..., None] * (omega - mean[:, None]) ** 2).sum(dim=1),
        1 / (weights**2).sum(dim=1) / draws,
        corrections,
    )
    return tuple(v.numpy() for v in values)


def _estimate(
    log_weight: torch.Tensor, each: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the log of the mean weight (n,), weighted means of ``each``, and the weights."""
    value = torch.logsumexp(log_weight, dim=1) - math.log(log_weight.shape[1])
    weights = torch.softmax(log_weight, dim=1)
    return value, (weights[..., None] * each).sum(dim=1), weights


def law_fields(push_forward: PushForward, density: Density, modes: Modes) -> Iterator[VariateField]:
    r"""Yield the control variate of each parameter of the law.

    With pi(omega) the posterior of a system, any smooth field v gives

    .. math:: E_\pi[v \cdot \nabla \log \pi + \operatorname{div} v] = 0

    (Stein's identity; a zero-variance control variate of Mira, Solgi and Imparato, Stat. Comput.
    23, 2013). Fields ``v = a + A (omega - omega*)`` about the mode are chosen so that no variance
    is left for a linear model of normal parameters.

    A parameter of the law moves every observation by many noise standard deviations, until omega
    compensates for the move. With t = dT/dalpha at the mode and D its derivative in omega, the
    Jacobians J in omega and J_z in z, the slope u of log p(y | g), the information W, and
    ``H = J^T W J + I``,

    .. math:: a = H^{-1} (J^T W J_z t - D^T J_z^T u), \qquad A = H^{-1} J^T W J_z D .

    The fields of the noise are :meth:`popinv.inference.density.density.Density.noise_fields`.
    """
    base, mixed = push_forward.law_derivatives(modes.omega)
    jacobian = push_forward.simulator_jacobian(modes.omega)
    across = density.information(modes.signal, modes.jacobian, jacobian)
    pulled = jacobian.transpose(1, 2) @ density.at(modes.signal).slope[..., None]
    for i in range(base.shape[2]):
        slope = across @ base[:, :, i, None] - mixed[i].transpose(1, 2) @ pulled
        yield VariateField.solved(modes.hessian, slope, across @ mixed[i])
