r"""Whether the systems of a group have the same parameters: the pooled optimum, and tests there.

With the whitened residual r_k(omega) of system k, the pooled optimum of a group S minimises

.. math:: \tfrac12 \sum_{k \in S} |r_k(\omega)|^2 + \tfrac12 |\omega|^2

in the standard normal coordinates omega of the recovered law. With J_k the Jacobian of the
whitened observation there, system k has the score u_k = J_k^T r_k, along which its own observation
pulls, and the information Lambda_k = J_k^T J_k.

To first order, if all K systems have the same omega, drawn from N(0, I), then their scores are
jointly normal with mean zero and

.. math:: \mathrm{cov}(u_j, u_k) = \delta_{jk} \Lambda_k - \Lambda_j C \Lambda_k, \qquad
    C = \Bigl(I + \sum_k \Lambda_k\Bigr)^{-1}.

The statistic of system k is t_k = u_k^T (I + Lambda_k)^{-1} u_k, which weighs a direction by what
the system's observation tells of it, and that of the group is their sum. Both are weighted sums of
independent chi-squared numbers with one degree of freedom; the weights are eigenvalues. They are
*not* chi-squared numbers with as many degrees of freedom as parameters. The tail is Lugannani and
Rice's saddlepoint approximation (Kuonen, Biometrika 1999).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.stats import norm

from popinv.errors import DivergenceError
from popinv.inference.likelihood.modes import find_modes
from popinv.inference.likelihood.push_forward import PushForward
from popinv.inference.likelihood.whitening import Whitening, whitening
from popinv.inference.problem import Problem

# The objective is rounded in single precision by the surrogate, for each member. What is left to
# the optimum is corrected to first order.
_STEPS, _TOLERANCE_PER_MEMBER = 100, 1e-4
# Weights that add less than this share of the largest change nothing that can be seen.
_NEGLIGIBLE = 1e-8
# Information below which a direction has next to no weight; that of the population is one.
_UNINFORMED = 1e-3

Estimate = tuple[np.ndarray, np.ndarray]
"""Law and noise (alpha, gamma), unconstrained."""


def tensors(estimate: Estimate) -> tuple[torch.Tensor, torch.Tensor]:
    """Return alpha and gamma."""
    alpha, gamma = (torch.from_numpy(np.asarray(part, dtype=float)) for part in estimate)
    return alpha, gamma


@dataclass(frozen=True)
class Pooled:
    """Pooled optima omega (B, d) of B groups of K systems.

    The scores are u_k (B, K, d), and the information Lambda_k (B, K, d, d).
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
    estimate: Estimate,
    groups: Sequence[Sequence[int]],
    data: np.ndarray | None = None,
) -> Pooled:
    """Find the pooled optima of B groups of K systems.

    The systems have their own observations, or those of ``data`` (B, K, d_y).

    Raises
    ------
    DivergenceError
        If an optimum is not found.
    """
    systems = np.asarray(groups, dtype=int)
    alpha, gamma = tensors(estimate)
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


def _informed(scores: np.ndarray, information: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and information in the directions of which the group tells anything."""
    values, vectors = np.linalg.eigh(information.sum(axis=0))
    kept = vectors[:, values > _UNINFORMED]
    return scores @ kept, kept.T @ information @ kept


def _covariance(information: np.ndarray) -> np.ndarray:
    """Return the covariance of all scores, (K, d, K, d)."""
    members, d, _ = information.shape
    pooled = np.linalg.inv(np.eye(d) + information.sum(axis=0))
    joint = -np.einsum("jab,bc,kcd->jakd", information, pooled, information)
    for k in range(members):
        joint[k, :, k] += information[k]
    return joint


def _roots(information: np.ndarray) -> np.ndarray:
    """Return lower factors M_k with M_k M_k^T = (I + Lambda_k)^-1, (K, d, d)."""
    return np.linalg.cholesky(np.linalg.inv(np.eye(information.shape[1]) + information))


def _statistics(scores: np.ndarray, roots: np.ndarray) -> np.ndarray:
    return np.einsum("kba,kb->ka", roots, scores) ** 2


def group_log_p_value(scores: np.ndarray, information: np.ndarray) -> float:
    """Return the logarithm of the p-value of homogeneity of a group, of (K, d) and (K, d, d).

    Groups with several clear outliers have p-values below the smallest number, which can only be
    compared by their logarithms.
    """
    scores, information = _informed(scores, information)
    members, d = scores.shape
    if not d:
        return 0.0
    roots = _roots(information)
    joint = np.einsum("jba,jbkc,kcd->jakd", roots, _covariance(information), roots, optimize=True)
    weights = np.linalg.eigvalsh(joint.reshape(members * d, members * d))
    return log_tail(weights, float(_statistics(scores, roots).sum()))


def system_p_values(scores: np.ndarray, information: np.ndarray) -> np.ndarray:
    """Return the p-value of each system against all others of its group together, (K,).

    They are not adjusted for there being K of them.
    """
    scores, information = _informed(scores, information)
    roots, covariance = _roots(information), _covariance(information)
    statistics = _statistics(scores, roots).sum(axis=1)
    weights = [
        np.linalg.eigvalsh(root.T @ covariance[k, :, k] @ root) for k, root in enumerate(roots)
    ]
    both = zip(weights, statistics.tolist(), strict=True)
    return np.array([np.exp(log_tail(*one)) for one in both])


def adjusted(p_values: np.ndarray) -> np.ndarray:
    """Return p-values after Holm's correction for all of them together.

    Examples
    --------
    >>> adjusted(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    found = np.empty(len(p_values))
    found[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1.0)
    return found


def log_tail(weights: np.ndarray, value: float) -> float:
    r"""Return log P(sum_i w_i X_i > value) for chi-squared X_i with one degree of freedom each.

    The weights are not negative, up to rounding. With the cumulants' function
    K(s) = -1/2 sum log(1 - 2 s w) and K'(s) = value, the tail is 1 - Phi(r + log(v/r)/r) with
    r = sign(s) sqrt(2 (s value - K)), v = s sqrt(K''). Its relative error is a few percent for one
    weight, and less for several.
    """
    w = weights[weights > _NEGLIGIBLE * max(weights.max(), 0.0)]
    if not len(w) or value <= 0:
        return 0.0
    scale = w.max()
    w, x = w / scale, value / scale
    if abs(x - w.sum()) < 1e-4 * w.sum():
        # The formula is removable at the mean; its neighbours' mean stands in for it.
        return float(np.mean([log_tail(w, share * w.sum()) for share in (0.999, 1.001)]))

    def slope(s: float) -> float:
        return float((w / (1 - 2 * s * w)).sum() - x)

    # K' runs from 0 to infinity; these ends bracket it, as K' lies between those of one weight and
    # of len(w) equal weights.
    s = brentq(slope, -len(w) / (2 * x) - 1, 0.5 - 0.25 / max(x, 0.5), xtol=1e-14)
    root = np.sign(s) * np.sqrt(2 * (s * x + 0.5 * np.log1p(-2 * s * w).sum()))
    v = s * np.sqrt(2 * (w**2 / (1 - 2 * s * w) ** 2).sum())
    return float(norm.logsf(root + np.log(v / root) / root))
