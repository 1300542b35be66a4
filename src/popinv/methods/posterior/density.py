r"""The posterior density of each system at one law and noise, up to its constant.

In the standard normal numbers omega of the law, z = T(alpha, omega), the density of system n is

.. math:: \log p_n(\omega) = \log p\bigl(y^{(n)} \mid G(T(\alpha, \omega)), \gamma\bigr)
    - \tfrac12 |\omega|^2 + \mathrm{const},

with the density of its observation (:mod:`popinv.inference.density.density`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.densities import density_of
from popinv.inference.density.density import Density
from popinv.inference.density.problem import Problem
from popinv.inference.integrate.push_forward import PushForward
from popinv.late import torch
from popinv.methods.invariants import Invariant, held
from popinv.seeds import generator

# Numbers of a block of rows, whose noise may have a matrix for each row.
_BLOCK_VALUES = 2e7
# Number of systems whose density is checked, and the largest difference due to rounding.
_CHECKED, _ROUNDING = 20, 1e-8
# Step of differences in omega, and the error that they may have where a surrogate rounds to single
# precision.
_STEP, _OF_DIFFERENCES = 1e-3, 1e-2


@dataclass(frozen=True)
class Densities:
    """The densities of all systems of a problem."""

    push_forward: PushForward
    observation: Density
    rows_at_once: int

    @classmethod
    def at(cls, problem: Problem, p: np.ndarray) -> Densities:
        """Return the densities at p = (alpha, gamma), unconstrained.

        Raises
        ------
        DivergenceError
            If the covariance of the noise is not positive definite.
        """
        alpha, gamma = problem.tensors(p)
        push_forward = PushForward(problem, alpha, problem.known)
        gaps = problem.conditions.gaps
        rows = max(1, int(_BLOCK_VALUES / problem.data.shape[1] ** 2)) if gaps else 1 << 30
        return cls(push_forward, density_of(replace(problem, free_noise=False), gamma), rows)

    def log(self, omega: torch.Tensor, systems: torch.Tensor) -> torch.Tensor:
        """Return log p_n at rows omega (rows, d_omega) of these systems (rows,).

        It is minus infinity where the simulator gives no finite observation.
        """
        blocks = zip(omega.split(self.rows_at_once), systems.split(self.rows_at_once), strict=True)
        value = torch.cat([self._log(*block) for block in blocks])
        return torch.where(torch.isfinite(value), value, -torch.inf)

    def _log(self, omega: torch.Tensor, systems: torch.Tensor) -> torch.Tensor:
        at = self.observation.rows(systems).at(self.push_forward.rows(systems)(omega))
        return at.log - 0.5 * (omega**2).sum(dim=1)

    def slope(self, omega: torch.Tensor, systems: torch.Tensor) -> torch.Tensor:
        """Return the gradient of log p_n in omega, shape (rows, d_omega)."""
        blocks = zip(omega.split(self.rows_at_once), systems.split(self.rows_at_once), strict=True)
        return torch.cat([self._slope(*block) for block in blocks])

    def _slope(self, omega: torch.Tensor, systems: torch.Tensor) -> torch.Tensor:
        y, pull_back = self.push_forward.rows(systems).with_pull_back(omega)
        return pull_back(self.observation.rows(systems).at(y).slope)[1] - omega

    def invariants(self, problem: Problem, p: np.ndarray) -> list[Invariant]:
        """Check the density where nothing is observed, and by a second computation.

        The second computation uses the covariance of the noise directly, or differences for the
        slope under noise that varies. Problem and p are as in :meth:`at`.
        """
        systems = torch.arange(min(_CHECKED, len(problem.data)))
        drawn = generator(problem.seed, f"{problem.stage}/invariants")
        omega = torch.from_numpy(drawn.standard_normal((len(systems), problem.law.d_omega)))
        population = -0.5 * (omega**2).sum(dim=1)
        shape, given = problem.data.shape, problem.conditions
        nowhere, fill = np.zeros(shape, dtype=bool), np.zeros(shape[1])
        gone = Conditions.stated(shape, given.scale, nowhere, fill, given.known)
        blank = replace(problem, data=np.zeros(shape), conditions=gone)
        nothing = Densities.at(blank, p).log(omega, systems) - population
        second = self._by_covariance if self.observation.is_normal else self._by_differences
        return [
            held(
                "nothing_observed",
                "nothing observed: difference of a system's log density from the population's",
                float(nothing.abs().max()),
                _ROUNDING,
            ),
            second(problem, p, omega, systems),
        ]

    def _by_covariance(
        self, problem: Problem, p: np.ndarray, omega: torch.Tensor, systems: torch.Tensor
    ) -> Invariant:
        at_zero = torch.zeros_like(omega)
        there, apart = (self.log(each, systems) for each in (omega, at_zero))
        own = [
            -0.5 * (_misfits(problem, p, each, systems) + (each**2).sum(dim=1))
            for each in (omega, at_zero)
        ]
        wrong = (there - apart) - (own[0] - own[1])
        return held(
            "density_by_covariance",
            "difference of a system's log density from that by the noise's covariance, relative",
            float((wrong / own[0].abs().clamp(min=1.0)).abs().max()),
            _ROUNDING,
        )

    def _by_differences(
        self, problem: Problem, p: np.ndarray, omega: torch.Tensor, systems: torch.Tensor
    ) -> Invariant:
        slope = self.slope(omega, systems)
        step = _STEP * slope / slope.norm(dim=1, keepdim=True)
        change = self.log(omega + step, systems) - self.log(omega - step, systems)
        wrong = change / (2 * _STEP) / slope.norm(dim=1) - 1
        return held(
            "slope_by_differences",
            "relative difference of a log density's slope from that by differences",
            float(wrong.abs().max()),
            _OF_DIFFERENCES,
        )


def _misfits(
    problem: Problem, p: np.ndarray, omega: torch.Tensor, systems: torch.Tensor
) -> torch.Tensor:
    """Return ``r^T (s^2 Gamma)^-1 r`` of each system's observed entries, one after the other."""
    alpha, gamma = problem.tensors(p)
    known, conditions = problem.known, problem.conditions
    with torch.no_grad():
        covariates = known.of(systems.numpy()).covariates
        every = problem.noise.covariances(gamma, covariates).expand(len(systems), -1, -1).numpy()
        mean = problem.signal(alpha, omega, known.of(systems.numpy()))
        signal = (mean + problem.noise.shift(gamma, covariates)).numpy()
    found = []
    for row, system in enumerate(systems.tolist()):
        covariance, scale = every[row], float(conditions.scale[system])
        seen = conditions.present[system]
        residual = (np.asarray(problem.data[system]) - signal[row])[seen]
        inside = np.linalg.solve(covariance[np.ix_(seen, seen)], residual)
        found.append(residual @ inside / scale**2)
    return torch.tensor(found, dtype=omega.dtype)
