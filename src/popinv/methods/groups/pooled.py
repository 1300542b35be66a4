r"""The parameters that serve several systems best together, and what each system says about them.

With the whitened residual r_k(omega) of system k, the pooled optimum of a group S minimises

.. math:: \tfrac12 \sum_{k \in S} |r_k(\omega)|^2 + \tfrac12 |\omega|^2

in the standard normal coordinates omega of the recovered law. With J_k the Jacobian of the
whitened observation there, system k has the score u_k = J_k^T r_k, along which its own observation
pulls, and the information Lambda_k = J_k^T J_k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from popinv.errors import DivergenceError
from popinv.inference.likelihood.modes import find_modes
from popinv.inference.likelihood.push_forward import PushForward
from popinv.inference.likelihood.whitening import Whitening, whitening
from popinv.inference.problem import Problem

# The objective is rounded in single precision by the surrogate, for each member. What is left to
# the optimum is corrected to first order.
_STEPS, _TOLERANCE_PER_MEMBER = 100, 1e-4


@dataclass(frozen=True)
class Pooled:
    """Pooled optima of B groups of K systems.

    Attributes
    ----------
    omega : ndarray of shape (B, d)
    scores : ndarray of shape (B, K, d)
        u_k.
    information : ndarray of shape (B, K, d, d)
        Lambda_k.
    """

    omega: np.ndarray
    scores: np.ndarray
    information: np.ndarray


@dataclass(frozen=True)
class _OfGroups:
    """The whitening of groups of systems that have one set of parameters each."""

    single: Whitening
    members: int

    def rows(self, index: torch.Tensor) -> _OfGroups:
        """Return the whitening of some of the groups."""
        each = index[:, None] * self.members + torch.arange(self.members)
        return _OfGroups(self.single.rows(each.reshape(-1)), self.members)

    def apply(self, values: torch.Tensor) -> torch.Tensor:
        """Map values (n, ..., d_y) to those of all members side by side, (n, ..., K d_y)."""
        white = self.single.apply(values.repeat_interleave(self.members, dim=0))
        white = white.reshape(len(values), self.members, *values.shape[1:])
        return white.movedim(1, -2).flatten(-2)


def pooled_optima(
    problem: Problem,
    estimate: tuple[np.ndarray, np.ndarray],
    groups: Sequence[Sequence[int]],
    data: np.ndarray | None = None,
) -> Pooled:
    """Find the pooled optima of groups of equal size.

    Parameters
    ----------
    problem : Problem
    estimate : (alpha, gamma)
        Law and noise, unconstrained.
    groups : sequence of B sequences of K int
        Numbers of the systems.
    data : ndarray of shape (B, K, d_y), optional
        Observations in place of the systems' own.

    Raises
    ------
    DivergenceError
        If an optimum is not found.
    """
    systems = np.asarray(groups, dtype=int)
    alpha, gamma = (torch.from_numpy(np.asarray(part, dtype=float)) for part in estimate)
    count, members = systems.shape
    conditions = None if problem.conditions is None else problem.conditions.of(systems.ravel())
    single = whitening(problem.noise.covariance(gamma), systems.size, conditions)
    observed = problem.data[systems] if data is None else data
    white = single.apply(torch.from_numpy(observed.reshape(systems.size, -1)))
    start = torch.zeros((count, problem.law.d_omega), dtype=torch.float64)
    modes = find_modes(
        PushForward(problem, alpha),
        _OfGroups(single, members),  # type: ignore[arg-type]
        white.reshape(count, -1),
        start,
        _STEPS,
        _TOLERANCE_PER_MEMBER * members,
    )
    if not modes.arrived.all():
        missing = systems[~modes.arrived.numpy()][0].tolist()
        raise DivergenceError(
            f"no parameters were found that serve the systems {missing} best in {_STEPS} steps; "
            "check the surrogate at the parameters of these systems"
        )
    residual = (white.reshape(count, -1) - modes.observation).reshape(count, members, -1)
    jacobian = modes.jacobian.reshape(count, members, -1, problem.law.d_omega)
    transposed = jacobian.transpose(2, 3)
    scores = (transposed @ residual[..., None])[..., 0]
    information = transposed @ jacobian
    # The last step is taken in the linearised model: the scores and the population then balance.
    rest = scores.sum(dim=1) - modes.omega
    change = torch.linalg.solve(modes.hessian, rest)
    scores = scores - (information @ change[:, None, :, None])[..., 0]
    return Pooled((modes.omega + change).numpy(), scores.numpy(), information.numpy())
