r"""The integrals over single systems' parameters, for noise that varies with the signal.

The negative log posterior of a system's standard normal numbers is
``phi(omega) = -log p(y | g(omega)) + |omega|^2 / 2`` with the density of
:mod:`popinv.inference.likelihood.conditional`. A mode is found by damped steps with the exact
gradient and the matrix ``H = J^T W J + I``, where J is the Jacobian of g and W the Fisher
information. The proposals are the defensive ones of :mod:`popinv.inference.likelihood.proposals`,
whose weights are bounded: the posterior is not close to a normal density if tails are heavy.

The scores of the law have the control variates of
:mod:`popinv.inference.likelihood.control_variates` with W in place of whitening. Those of the noise
are central differences of log p(y | g) in gamma at fixed draws.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from popinv.inference.likelihood.conditional import Conditional, conditional
from popinv.inference.likelihood.control_variates import Field
from popinv.inference.likelihood.draws import (
    antithetic_normals,
    best_draws,
    draws_of_law,
    usable,
)
from popinv.inference.likelihood.integrals import MODES, MarginalSettings, summarised
from popinv.inference.likelihood.modes import Modes
from popinv.inference.likelihood.proposals import defensive
from popinv.inference.likelihood.push_forward import PushForward
from popinv.inference.problem import Problem

_FIRST_DAMPING, _LESS, _MORE, _MOST = 1e-3, 0.2, 5.0, 1e12
_TOLERANCE = 1e-4
_STEP = 1e-4


@dataclass(frozen=True)
class VaryingNoiseAt:
    """The densities of all systems at gamma, and at gamma moved up and down in each free entry.

    Attributes
    ----------
    here : Conditional
    moved : list of (Conditional, Conditional)
        By a step of 1e-4.
    """

    here: Conditional
    moved: list[tuple[Conditional, Conditional]]

    @classmethod
    def of(cls, problem: Problem, gamma: torch.Tensor) -> VaryingNoiseAt:
        """Return the densities of a problem's systems."""
        moved = []
        for unit in torch.eye(len(gamma), dtype=gamma.dtype) if problem.free_noise else ():
            ends = (conditional(problem, gamma + sign * _STEP * unit) for sign in (1, -1))
            moved.append((next(ends), next(ends)))
        return cls(conditional(problem, gamma), moved)

    def rows(self, index: torch.Tensor) -> VaryingNoiseAt:
        """Return the densities of some of the systems."""
        moved = [(up.rows(index), down.rows(index)) for up, down in self.moved]
        return VaryingNoiseAt(self.here.rows(index), moved)

    def scores(self, g: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the derivative of log p(y | g) in each free entry of gamma, for g (n, S, d_y)."""
        with torch.no_grad():
            for up, down in self.moved:
                yield (up.log_density(g) - down.log_density(g)) / (2 * _STEP)


@dataclass(frozen=True)
class VaryingIntegrals:
    """The integrals of some systems; the interface is that of ``integrals.Integrals``.

    Attributes
    ----------
    problem : Problem
    push_forward : PushForward
    noise : VaryingNoiseAt
    numbers : ndarray of int, shape (n,)
        Numbers of the systems, which determine their draws.
    """

    problem: Problem
    push_forward: PushForward
    noise: VaryingNoiseAt
    numbers: np.ndarray

    def find_modes(
        self, settings: MarginalSettings, start: torch.Tensor | None, starts: str = "mode_starts"
    ) -> Modes:
        """Return the modes, searched from a given start or from draws of the law."""
        steps = settings.first_mode_steps
        if start is not None:
            return self._search(start, steps)
        modes = self._search(self._best_draws(starts)[0], steps)
        if starts != "mode_starts":
            return modes
        other = self._search(torch.zeros_like(modes.omega), steps)
        better = torch.nonzero(other.objective < modes.objective)[:, 0]
        return modes.replaced(better, other.of(better))

    def all_modes(self, settings: MarginalSettings, starts: str) -> list[Modes]:
        """Return the modes that searches from separate draws of the law end at.

        Systems with fewer modes have the same one several times.
        """
        steps = settings.first_mode_steps
        return [self._search(start, steps) for start in self._best_draws(starts, MODES)]

    def evaluate(
        self, settings: MarginalSettings, modes: Modes, corrections: int
    ) -> tuple[np.ndarray, ...]:
        """Return the fields of :class:`popinv.inference.likelihood.marginal.Evaluation`."""
        omega, log_weight, each = self._weighted(settings, modes)
        levels = torch.full((len(modes.omega),), corrections)
        return summarised(omega, log_weight, each, modes.omega, levels)

    def _of(self, rows: torch.Tensor) -> VaryingIntegrals:
        return replace(
            self,
            push_forward=self.push_forward.rows(rows),
            noise=self.noise.rows(rows),
            numbers=self.numbers[rows.numpy()],
        )

    def _search(self, start: torch.Tensor, steps: int) -> Modes:
        """Descend from a start (n, d_omega) to a mode of each system."""
        omega, n = start.clone(), len(start)
        damping = torch.full((n,), _FIRST_DAMPING, dtype=omega.dtype)
        g, jacobian = self.push_forward.linearise(omega)
        # Rows are replaced below, and a simulator may return views of one row.
        g, jacobian = g.clone(), jacobian.clone()
        objective = self._objective(g, omega)
        hessian, slope = self._quadratic(g, jacobian, omega)
        arrived = torch.zeros(n, dtype=torch.bool)
        for step in range(steps + 1):
            moving = torch.nonzero(~arrived)[:, 0]
            H, s = hessian[moving], slope[moving]
            weight = damping[moving, None] * H.diagonal(dim1=1, dim2=2)
            newton, move = torch.linalg.solve(H, s), torch.linalg.solve(H + weight.diag_embed(), s)
            small = ~((newton * s).sum(dim=1) / 2 > _TOLERANCE) | (damping[moving] > _MOST)
            arrived[moving] = small
            moving, move = moving[~small], move[~small]
            if step == steps or not len(moving):
                break
            part, trial = self._of(moving), omega[moving] + move
            value = part._objective(part.push_forward(trial), trial)
            better = value < objective[moving]
            damping[moving] *= torch.where(better, _LESS, _MORE)
            gained = moving[better]
            if len(gained):
                part = self._of(gained)
                omega[gained], objective[gained] = trial[better], value[better]
                g[gained], jacobian[gained] = part.push_forward.linearise(omega[gained])
                hessian[gained], slope[gained] = part._quadratic(
                    g[gained], jacobian[gained], omega[gained]
                )
        return Modes(omega, g, jacobian, hessian, objective, arrived)

    def _objective(self, g: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        value = 0.5 * (omega**2).sum(dim=1) - self.noise.here.log_density(g)
        return torch.where(torch.isfinite(value), value, torch.inf)

    def _quadratic(
        self, g: torch.Tensor, jacobian: torch.Tensor, omega: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return H, and the slope of -phi."""
        across = jacobian.transpose(1, 2)
        _, of_g = self.noise.here.with_slope(g)
        information = self.noise.here.information(g)
        hessian = across @ information @ jacobian + torch.eye(omega.shape[1], dtype=omega.dtype)
        return hessian, (across @ of_g[..., None])[..., 0] - omega

    def _weighted(
        self, settings: MarginalSettings, modes: Modes
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return draws (n, S, d_omega), their log weights (n, S), and scores (n, S, n_p)."""
        xi = antithetic_normals(self.problem, self.numbers, settings.draws)
        omega, log_proposal = defensive(modes, xi)
        log_joint, each = self._joint(modes, omega, settings)
        log_weight, each, omega = usable(log_joint - log_proposal, each, omega)
        return omega, log_weight, each

    def _joint(
        self, modes: Modes, omega: torch.Tensor, settings: MarginalSettings
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log p(y | g) + log phi (n, S), and scores and features of each draw.

        The logarithm of phi omits its constant, as the proposals do.
        """
        problem, (n, count, d) = self.problem, omega.shape
        prior = 0.5 * (omega**2).sum(dim=2)
        if not settings.scores:
            g = self.push_forward(omega.reshape(-1, d)).reshape(n, count, -1)
            scores = torch.zeros((n, count, len(problem.free)), dtype=g.dtype)
            return self.noise.here.log_density(g) - prior, scores
        y, pull_back = self.push_forward.with_pull_back(omega.reshape(-1, d))
        g = y.reshape(n, count, -1)
        value, of_g = self.noise.here.with_slope(g)
        scores = torch.zeros((n, count, len(problem.free)), dtype=y.dtype)
        if problem.free_law and problem.law.strongly_curved:
            of_draws = self.push_forward.density_scores(omega.reshape(-1, d))
            scores[..., : problem.d_alpha] = of_draws.reshape(n, count, -1)
        elif problem.free_law:
            parts = pull_back(of_g.reshape(y.shape))
            in_alpha, in_omega = (part.reshape(n, count, -1) for part in parts)
            scores[..., : problem.d_alpha] = in_alpha
            shift, gradient = omega - modes.omega[:, None], in_omega - omega
            for i, field in enumerate(self._law_fields(modes)):
                scores[..., i] -= field.variate(shift, gradient)
        for i, of_noise in enumerate(self.noise.scores(g), problem.d_alpha):
            scores[..., i] = of_noise
        if settings.features is not None:
            more = settings.features(omega, self.noise.here.residual(g), g)
            scores = torch.cat([scores, more], dim=2)
        return value - prior, scores

    def _law_fields(self, modes: Modes) -> Iterator[Field]:
        """Yield the control variate of each parameter of the law."""
        base, mixed = self.push_forward.law_derivatives(modes.omega)
        jacobian = self.push_forward.simulator_jacobian(modes.omega)
        here, g = self.noise.here, modes.observation
        across = modes.jacobian.transpose(1, 2) @ here.information(g) @ jacobian
        pulled = jacobian.transpose(1, 2) @ here.with_slope(g)[1][..., None]
        for i in range(base.shape[2]):
            slope = across @ base[:, :, i, None] - mixed[i].transpose(1, 2) @ pulled
            both = torch.linalg.solve(modes.hessian, torch.cat([slope, across @ mixed[i]], dim=2))
            yield Field(both[..., 0], both[..., 1:])

    def _best_draws(self, stage: str, count: int = 1) -> torch.Tensor:
        """Return for each system the best of some draws of the law, (count, n, d_omega)."""
        n, draws = len(self.numbers), draws_of_law(self.problem, stage)
        objectives = []
        for draw in draws:
            rows = draw.expand(n if self.push_forward.known is not None else 1, -1)
            fit = self.noise.here.log_density(self.push_forward(rows).expand(n, -1))
            objectives.append(0.5 * (draw**2).sum() - fit)
        return best_draws(draws, torch.stack(objectives), count)
