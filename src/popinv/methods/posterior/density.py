r"""The posterior density of each system at one law and noise, up to its constant.

In the standard normal numbers omega of the law, z = T(alpha, omega), the density of system n is

.. math:: \log p_n(\omega) = -\tfrac12 \bigl|L^{-1}(y^{(n)} - G(T(\alpha, \omega)))\bigr|^2 / s_n^2
    - \tfrac12 |\omega|^2 + \mathrm{const}, \qquad L L^T = \Gamma(\gamma),

over the entries that were observed. The constant depends on the system, on alpha and on gamma.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from popinv.inference.conditions import Conditions
from popinv.inference.likelihood.push_forward import PushForward
from popinv.inference.likelihood.whitening import Whitening, whitening
from popinv.inference.problem import Problem
from popinv.methods.invariants import Invariant, held
from popinv.seeds import generator

# Numbers of a block of rows, whose noise may have a matrix for each row.
_BLOCK_VALUES = 2e7
# Systems whose density is checked, and the difference that rounding may leave.
_CHECKED, _ROUNDING = 20, 1e-8


@dataclass(frozen=True)
class Densities:
    """The densities of all systems of a problem, with whitened observations (N, d_y)."""

    push_forward: PushForward
    noise: Whitening
    whitened: torch.Tensor

    @classmethod
    def at(cls, problem: Problem, p: np.ndarray) -> Densities:
        """Return the densities at p = (alpha, gamma), unconstrained.

        Raises
        ------
        DivergenceError
            If the covariance of the noise is not positive definite.
        """
        alpha, gamma = (torch.from_numpy(part.copy()) for part in problem.split(p))
        with torch.no_grad():
            covariance = problem.noise.covariance(gamma)
        noise = whitening(covariance, len(problem.data), problem.conditions)
        push_forward = PushForward(problem, alpha, problem.known)
        return cls(push_forward, noise, noise.apply(torch.from_numpy(problem.data)))

    def log(self, omega: torch.Tensor, systems: torch.Tensor) -> torch.Tensor:
        """Return log p_n at rows omega (rows, d_omega) of these systems (rows,).

        It is minus infinity where the simulator gives no finite observation.
        """
        blocks = zip(omega.split(self._rows), systems.split(self._rows), strict=True)
        value = torch.cat([self._log(*block) for block in blocks])
        return torch.where(torch.isfinite(value), value, -torch.inf)

    def _log(self, omega: torch.Tensor, systems: torch.Tensor) -> torch.Tensor:
        there = self.noise.rows(systems).apply(self.push_forward.rows(systems)(omega))
        misfit = ((self.whitened[systems] - there) ** 2).sum(dim=1)
        return -0.5 * (misfit + (omega**2).sum(dim=1))

    def slope(self, omega: torch.Tensor, systems: torch.Tensor) -> torch.Tensor:
        """Return the gradient of log p_n in omega, shape (rows, d_omega)."""
        blocks = zip(omega.split(self._rows), systems.split(self._rows), strict=True)
        return torch.cat([self._slope(*block) for block in blocks])

    def _slope(self, omega: torch.Tensor, systems: torch.Tensor) -> torch.Tensor:
        noise = self.noise.rows(systems)
        y, pull_back = self.push_forward.rows(systems).with_pull_back(omega)
        residual = self.whitened[systems] - noise.apply(y)
        return pull_back(noise.transpose(residual))[1] - omega

    def invariants(self, problem: Problem, p: np.ndarray) -> list[Invariant]:
        """Check the density where nothing is observed, and by the noise's covariance as it is.

        Problem and p are those of :meth:`at`.
        """
        systems = torch.arange(min(_CHECKED, len(problem.data)))
        drawn = generator(problem.seed, f"{problem.stage}/invariants")
        omega = torch.from_numpy(drawn.standard_normal((len(systems), problem.law.d_omega)))
        population = -0.5 * (omega**2).sum(dim=1)
        shape, known = problem.data.shape, problem.conditions
        scale = None if known is None else known.scale
        gone = Conditions(scale, np.zeros(shape, dtype=bool), np.zeros(shape[1]), problem.known)
        blank = replace(problem, data=np.zeros(shape), conditions=gone)
        nothing = Densities.at(blank, p).log(omega, systems) - population
        there = self.log(omega, systems)
        apart = there - (population - 0.5 * _misfits(problem, p, omega, systems))
        return [
            held(
                "nothing_observed",
                "nothing observed: difference of a system's log density from the population's",
                float(nothing.abs().max()),
                _ROUNDING,
            ),
            held(
                "density_by_covariance",
                "difference of a system's log density from that by the noise's covariance, "
                "relative",
                float((apart / there.abs().clamp(min=1.0)).abs().max()),
                _ROUNDING,
            ),
        ]

    @property
    def _rows(self) -> int:
        if len(self.noise.inverse) == 1:
            return 1 << 30
        return max(1, int(_BLOCK_VALUES / self.noise.inverse[0].numel()))


def _misfits(
    problem: Problem, p: np.ndarray, omega: torch.Tensor, systems: torch.Tensor
) -> torch.Tensor:
    """Return ``r^T (s^2 Gamma)^-1 r`` of each system's observed entries, one after the other."""
    alpha, gamma = (torch.from_numpy(part.copy()) for part in problem.split(p))
    known, conditions = problem.known, problem.conditions
    with torch.no_grad():
        covariance = problem.noise.covariance(gamma).numpy()
        own = None if known is None else known.of(systems.numpy())
        signal = problem.signal(alpha, omega, own).numpy()
    found = []
    for row, system in enumerate(systems.tolist()):
        seen = np.ones(len(covariance), dtype=bool)
        scale = 1.0
        if conditions is not None:
            seen = seen if conditions.present is None else conditions.present[system]
            scale = 1.0 if conditions.scale is None else float(conditions.scale[system])
        residual = (np.asarray(problem.data[system]) - signal[row])[seen]
        inside = np.linalg.solve(covariance[np.ix_(seen, seen)], residual)
        found.append(residual @ inside / scale**2)
    return torch.tensor(found, dtype=omega.dtype)
