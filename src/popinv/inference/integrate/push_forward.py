"""Observations as functions of a law's standard normal numbers, with derivatives.

A system's noise-free observation is ``g(omega) = G(T(alpha, omega))`` with omega standard normal.
T is cheap and smooth, and is differentiated by differences. G is any function that torch can
differentiate, or a simulator with its own method ``linearise``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from popinv.forward.tangents import linearised, pulled_back
from popinv.inference.density.problem import Problem
from popinv.late import torch
from popinv.population.known import Known, inputs

PullBack = Callable[["torch.Tensor"], tuple["torch.Tensor", "torch.Tensor"]]

# The error of central differences in double precision is about 1e-10 of T's size.
_STEP = 1e-5
# A second difference is less accurate, and is used where its accuracy suffices.
_MIXED_STEP = 1e-3
# Rows of T that are computed together.
_ROWS = 2000


@dataclass(frozen=True)
class PushForward:
    """g of a problem at one alpha.

    Parameters
    ----------
    alpha : Tensor of shape (d_alpha,)
    known : Known of n systems, optional
        Their design and covariates. The rows of omega then belong to the n systems in order, with
        one row, or several rows in succession, for each system.
    """

    problem: Problem
    alpha: torch.Tensor
    known: Known = field(default_factory=lambda: Known.nothing(1))

    def rows(self, systems: torch.Tensor) -> PushForward:
        """Return g of some of the systems."""
        return replace(self, known=self.known.of(systems))

    def __call__(self, omega: torch.Tensor) -> torch.Tensor:
        """Return g for omega of shape (n, d_omega), shape (n, d_y)."""
        with torch.no_grad():
            return self.problem.simulate(self._inputs(self.alpha, omega))

    def linearise(self, omega: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return g and its Jacobian in omega.

        Returns
        -------
        Tensor of shape (n, d_y), Tensor of shape (n, d_y, d_omega)
        """
        with torch.no_grad():
            z = self._inputs(self.alpha, omega)
            y, dy = self._simulated(z, self._law_tangents(self.alpha[None], omega, _STEP)[0])
        return y, dy.permute(1, 2, 0)

    def simulator_jacobian(self, omega: torch.Tensor) -> torch.Tensor:
        """Return the Jacobian of G in z at T(alpha, omega), shape (n, d_y, d_z)."""
        with torch.no_grad():
            z = self._inputs(self.alpha, omega)
            units = torch.eye(self.problem.law.d_z, z.shape[1], dtype=z.dtype)
            units = units[:, None].expand(-1, *z.shape)
            return self._simulated(z, units)[1].permute(1, 2, 0)

    def law_derivatives(self, omega: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return dT/dalpha, shape (n, d_z, d_alpha), and its derivative in omega.

        The second, of shape (d_alpha, n, d_z, d_omega), is accurate to about five digits.
        """
        d_z, d, first, mixed = self.problem.law.d_z, omega.shape[1], [], []
        together = max(1, _ROWS // (4 * d * len(omega)))
        with torch.no_grad():
            for shifts in torch.eye(len(self.alpha), dtype=omega.dtype).split(together):
                plus, minus = self._at(self._ends(shifts, _STEP), omega[None])[:, 0].chunk(2)
                first.append((plus - minus)[..., :d_z] / (2 * _STEP))
                tangents = self._law_tangents(self._ends(shifts, _MIXED_STEP), omega, _MIXED_STEP)
                plus, minus = tangents.chunk(2)
                mixed.append((plus - minus)[..., :d_z] / (2 * _MIXED_STEP))
        return torch.cat(first).permute(1, 2, 0), torch.cat(mixed).permute(0, 2, 3, 1)

    def _ends(self, shifts: torch.Tensor, step: float) -> torch.Tensor:
        """Return alpha moved along each shift, and then against it."""
        return torch.cat([self.alpha + step * shifts, self.alpha - step * shifts])

    def along(self, omega: torch.Tensor, entry: int, move: torch.Tensor) -> torch.Tensor:
        """Return the derivative of g along an entry of alpha, with which omega moves, (n, d_y).

        Parameters
        ----------
        omega : Tensor of shape (n, d_omega)
        move : Tensor of shape (n, d_omega)
            Change of omega for a unit of the entry.
        """
        shift = torch.zeros_like(self.alpha)
        shift[entry] = _STEP
        with torch.no_grad():
            plus = self._inputs(self.alpha + shift, omega + _STEP * move)
            minus = self._inputs(self.alpha - shift, omega - _STEP * move)
            tangent = (plus - minus) / (2 * _STEP)
            return self._simulated(self._inputs(self.alpha, omega), tangent[None])[1][0]

    def with_pull_back(self, omega: torch.Tensor) -> tuple[torch.Tensor, PullBack]:
        """Return g, and the map from cotangents (n, d_y) to gradients in alpha and in omega."""
        rows = self.alpha.expand(len(omega), -1).clone().requires_grad_(True)
        omega = omega.clone().requires_grad_(True)
        with torch.enable_grad():
            y = self.problem.simulate(self._inputs(rows, omega))

        def pull_back(cotangents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            in_alpha, in_omega = pulled_back(y, (rows, omega), cotangents)
            return in_alpha, in_omega

        return y.detach(), pull_back

    def density_scores(self, omega: torch.Tensor) -> torch.Tensor:
        """Return the gradient of log p(z | alpha) in alpha at z = T(alpha, omega), (n, d_alpha)."""
        with torch.no_grad():
            z = self._inputs(self.alpha, omega)[:, : self.problem.law.d_z]
        rows = self.alpha.expand(len(omega), -1).clone().requires_grad_(True)
        with torch.enable_grad():
            total = self.problem.law.log_density_at(rows, z, omega).sum()
        return torch.autograd.grad(total, rows)[0]

    def _law_tangents(self, alphas: torch.Tensor, omega: torch.Tensor, step: float) -> torch.Tensor:
        """Return the derivative of the inputs in omega_k for each k, (a, d_omega, n, inputs).

        The derivative is computed at each of the alphas (a, d_alpha).
        """
        at = omega
        if (own := self._own_tangents(alphas, omega)) is not None:
            return own
        if self.problem.law.affine:
            # The derivative is the same at every omega, and exact with steps of any length.
            at, step = torch.zeros_like(omega if self.known.width else omega[:1]), 1.0
        shifts = step * torch.eye(omega.shape[1], dtype=omega.dtype)[:, None]
        plus, minus = self._at(alphas, torch.cat([at + shifts, at - shifts])).chunk(2, dim=1)
        return ((plus - minus) / (2 * step)).expand(-1, -1, len(omega), -1)

    def _own_tangents(self, alphas: torch.Tensor, omega: torch.Tensor) -> torch.Tensor | None:
        """Return the derivatives of the inputs as the law knows them, (a, d_omega, n, inputs)."""
        law, known = self.problem.law, self.known.for_rows(len(omega))
        covariates = known.covariates[:, : law.covariates] if law.covariates else None
        found = []
        for alpha in alphas:
            if (tangents := law.tangents(alpha, omega, covariates)) is None:
                return None
            # The design does not move.
            found.append(torch.nn.functional.pad(tangents, (0, known.design.shape[1])))
        return torch.stack(found)

    def _at(self, alphas: torch.Tensor, omegas: torch.Tensor) -> torch.Tensor:
        """Return the inputs at each of alphas (a, d_alpha) and omegas (m, n, d), (a, m, n, ...)."""
        (a, _), (m, n, d) = alphas.shape, omegas.shape
        known = self.known.for_rows(n).tiled(a * m)
        # A law computes less for one alpha than for an alpha of each row.
        alpha = alphas[0] if a == 1 else alphas.repeat_interleave(m * n, dim=0)
        z = inputs(self.problem.law, alpha, omegas.reshape(-1, d).repeat(a, 1), known)
        return z.reshape(a, m, n, -1)

    def _inputs(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        return inputs(self.problem.law, alpha, omega, self.known.for_rows(len(omega)))

    def _simulated(
        self, z: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        own = getattr(self.problem.simulate, "linearise", None)
        return linearised(self.problem.simulate, z, tangents) if own is None else own(z, tangents)
