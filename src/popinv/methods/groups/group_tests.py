r"""Whether the systems of a group have the same parameters, and which of them stand apart.

The group is tested as a whole. If it fails, the system without which the others agree best is set
apart, and the others are tested again, until they pass. An outlier is thus set apart before the
tests judge the systems that were pooled with it. If all systems are alike, the probability that
some system is set apart is the level, whatever the number of systems.

With the whitened residual r_k(omega) of system k, the pooled optimum of a group S minimises

.. math:: \tfrac12 \sum_{k \in S} |r_k(\omega)|^2 + \tfrac12 |\omega|^2

in the standard normal coordinates omega of the recovered law. With J_k the Jacobian of the
whitened observation there, system k has the score u_k = J_k^T r_k, along which its own observation
pulls, and the information Lambda_k = J_k^T J_k.

To first order, if all K systems have the same omega, drawn from N(0, I), then their scores are
jointly normal with mean zero and

.. math:: \mathrm{cov}(u_j, u_k) = \delta_{jk} \Lambda_k - \Lambda_j C \Lambda_k, \qquad
    C = \Bigl(I + \sum_k \Lambda_k\Bigr)^{-1}.

The statistic of system k is t_k = u_k^T (I + Lambda_k)^{-1} u_k, which weighs a direction by the
information of the system's observation. The statistic of the group is their sum. Both are weighted
sums of independent chi-squared numbers with one degree of freedom; the weights are eigenvalues.
They are *not* chi-squared numbers with as many degrees of freedom as parameters. The tail is
Lugannani and Rice's saddlepoint approximation (Kuonen, Biometrika 1999).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from popinv.errors import DivergenceError
from popinv.inference.density.densities import density_of
from popinv.inference.density.density import StackedDensity
from popinv.inference.density.problem import Problem
from popinv.inference.integrate.modes import find_modes
from popinv.inference.integrate.push_forward import PushForward
from popinv.late import torch
from popinv.seeds import generator

LEVEL = 0.05
# Number of entries for which the Jacobians fit in memory.
_SYSTEMS_AT_ONCE = 4000
# The surrogate rounds the objective to single precision, for each member. The remaining distance
# from the optimum is corrected to first order.
_STEPS, _TOLERANCE_PER_MEMBER = 100, 1e-4
# Weights that add less than this share of the largest have no visible effect.
_NEGLIGIBLE = 1e-8
# A direction with less information has almost no weight; the population's information is one.
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
    """Signals of all systems of n groups with one set of parameters each, side by side."""

    single: PushForward
    members: int

    def rows(self, index: torch.Tensor) -> _OfGroups:
        """Return the signals of some of the groups."""
        each = index[:, None] * self.members + torch.arange(self.members)
        return replace(self, single=self.single.rows(each.reshape(-1)))

    def __call__(self, omega: torch.Tensor) -> torch.Tensor:
        """Return the signals (n, K d_y) for omega (n, d_omega)."""
        return self.single(self._repeated(omega)).reshape(len(omega), -1)

    def linearise(self, omega: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the signals and their Jacobian (n, K d_y, d_omega)."""
        signal, jacobian = self.single.linearise(self._repeated(omega))
        return signal.reshape(len(omega), -1), jacobian.reshape(len(omega), -1, omega.shape[1])

    def _repeated(self, omega: torch.Tensor) -> torch.Tensor:
        return omega.repeat_interleave(self.members, dim=0)


def pooled_optima(
    problem: Problem,
    estimate: Estimate,
    groups: Sequence[Sequence[int]],
    data: np.ndarray | None = None,
) -> Pooled:
    """Find the pooled optima of B groups of K systems.

    The systems have their own observations, or the observations ``data`` (B, K, d_y).

    Raises
    ------
    DivergenceError
        If an optimum is not found.
    """
    systems = np.asarray(groups, dtype=int)
    alpha, gamma = tensors(estimate)
    count, members = systems.shape
    each = problem.of_systems(systems.ravel())
    if data is not None:
        each = replace(each, data=data.reshape(systems.size, -1))
    density = StackedDensity(density_of(each, gamma), members)
    start = torch.zeros((count, problem.law.d_omega), dtype=torch.float64)
    modes = find_modes(
        _OfGroups(PushForward(each, alpha, each.known), members),
        density,
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
    d = problem.law.d_omega
    jacobian = density.apart(modes.jacobian.transpose(1, 2)).transpose(1, 2)
    slope = density.apart(density.at(modes.signal).slope)
    scores = (jacobian.transpose(1, 2) @ slope[..., None]).reshape(count, members, d)
    information = density.information_of_each(modes.signal, modes.jacobian)
    information = information.reshape(count, members, d, d)
    # The last step is taken in the linearised model: the scores and the population then balance.
    rest = scores.sum(dim=1) - modes.omega
    change = torch.linalg.solve(modes.hessian, rest)
    scores = scores - (information @ change[:, None, :, None])[..., 0]
    return Pooled((modes.omega + change).numpy(), scores.numpy(), information.numpy())


def _informed(scores: np.ndarray, information: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and information in the directions about which the group has information."""
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

    The p-values are not adjusted for their number K.
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

    # K' runs from 0 to infinity. It lies between the K' of one weight and of len(w) equal weights,
    # which gives these ends.
    s = brentq(slope, -len(w) / (2 * x) - 1, 0.5 - 0.25 / max(x, 0.5), xtol=1e-14)
    root = np.sign(s) * np.sqrt(2 * (s * x + 0.5 * np.log1p(-2 * s * w).sum()))
    v = s * np.sqrt(2 * (w**2 / (1 - 2 * s * w) ** 2).sum())
    return float(norm.logsf(root + np.log(v / root) / root))


@dataclass(frozen=True)
class GroupAnswer:
    """Results of the tests of K systems: p-values, and the places of the systems set apart.

    The p-values of pairs (K, K) are adjusted for the number of pairs, with ones on the diagonal.
    The p-value of each system (K,), against the systems that are not set apart, is adjusted for the
    number of systems.
    """

    p_value: float
    pairs: np.ndarray
    systems: np.ndarray
    apart: tuple[int, ...]


def examine(problem: Problem, estimate: Estimate, systems: Sequence[int]) -> GroupAnswer:
    """Test a group of K systems."""
    numbers = np.asarray(systems)
    observed = problem.data[numbers]
    p_values, (apart,) = _set_apart(problem, estimate, numbers, observed[None])
    together = [k for k in range(len(numbers)) if k not in apart]
    return GroupAnswer(
        float(p_values[0]),
        _pair_p_values(problem, estimate, numbers, observed[None])[0],
        _against_the_rest(problem, estimate, numbers, observed, together),
        apart,
    )


def _log_p_values(
    problem: Problem, estimate: Estimate, numbers: np.ndarray, observed: np.ndarray
) -> np.ndarray:
    """Return log p-values (B,) of groups with numbers (B, K) and observations (B, K, d_y)."""
    found = []
    together = max(1, _SYSTEMS_AT_ONCE // numbers.shape[1])
    for at in range(0, len(numbers), together):
        some = slice(at, at + together)
        pooled = pooled_optima(problem, estimate, numbers[some].tolist(), observed[some])
        both = zip(pooled.scores, pooled.information, strict=True)
        found += [group_log_p_value(*one) for one in both]
    return np.array(found)


def _set_apart(
    problem: Problem, estimate: Estimate, numbers: np.ndarray, observed: np.ndarray
) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Return the p-values (B,) of whole groups, and the places of the systems that are set apart.

    The groups have observations (B, K, d_y) of systems with the numbers (K,). All groups that fail
    are processed side by side.
    """
    count, members = observed.shape[:2]
    left = [list(range(members)) for _ in range(count)]
    first = _log_p_values(problem, estimate, np.tile(numbers, (count, 1)), observed)
    now = first.copy()
    failing = np.flatnonzero(now < np.log(LEVEL))
    for size in range(members, 2, -1):
        if not len(failing):
            break
        # Each group without its first system, without its second, and so on.
        places = np.array(
            [[[k for k in left[b] if k != out] for out in left[b]] for b in failing]
        ).reshape(-1, size - 1)
        rows = np.repeat(failing, size)[:, None]
        found = _log_p_values(problem, estimate, numbers[places], observed[rows, places])
        by_group = found.reshape(-1, size)
        for b, best, log_p in zip(
            failing, by_group.argmax(axis=1), by_group.max(axis=1), strict=True
        ):
            left[b].pop(int(best))
            now[b] = log_p
        failing = failing[now[failing] < np.log(LEVEL)]
    for b in failing:
        # The last two have nothing in common: there is no group.
        left[b] = []
    return np.exp(first), [tuple(k for k in range(members) if k not in those) for those in left]


def _pair_p_values(
    problem: Problem, estimate: Estimate, numbers: np.ndarray, observed: np.ndarray
) -> np.ndarray:
    """Return the adjusted p-values of all pairs of B groups (B, K, d_y), shape (B, K, K)."""
    count, members = observed.shape[:2]
    first, second = np.triu_indices(members, 1)
    places = np.stack([first, second], axis=1)
    rows = np.tile(numbers[places], (count, 1))
    pairs = observed[:, places].reshape(len(rows), 2, -1)
    found = np.exp(_log_p_values(problem, estimate, rows, pairs)).reshape(count, -1)
    table = np.ones((count, members, members))
    for index, p_values in enumerate(found):
        table[index, first, second] = table[index, second, first] = adjusted(p_values)
    return table


def _against_the_rest(
    problem: Problem,
    estimate: Estimate,
    numbers: np.ndarray,
    observed: np.ndarray,
    together: list[int],
) -> np.ndarray:
    """Return the adjusted p-value of each system against all others that are not set apart."""
    # If no systems are together, each system is compared with all others.
    core = together or list(range(len(numbers)))
    found = np.empty(len(numbers))
    pooled = pooled_optima(problem, estimate, [numbers[core].tolist()], observed[core][None])
    found[core] = system_p_values(pooled.scores[0], pooled.information[0])
    outside = [k for k in range(len(numbers)) if k not in core]
    if outside:
        places = np.array([[*core, k] for k in outside])
        pooled = pooled_optima(problem, estimate, numbers[places].tolist(), observed[places])
        for k, scores, information in zip(outside, pooled.scores, pooled.information, strict=True):
            found[k] = system_p_values(scores, information)[-1]
    return adjusted(found)


def simulated_groups(
    problem: Problem,
    estimate: Estimate,
    groups: Sequence[Sequence[int]],
    stage: str,
    different: int = 0,
) -> np.ndarray:
    """Draw observations of B groups of K systems that share parameters, (B, K, d_y).

    The simulated systems take the noise scales and gaps of the named systems. The stage addresses
    the draws below the problem's own. The last ``different`` systems of each group have parameters
    of their own.
    """
    systems = np.asarray(groups, dtype=int)
    count, members = systems.shape
    rng = generator(problem.seed, f"{problem.stage}/{stage}")
    shared = rng.standard_normal((count, 1, problem.law.d_omega))
    omega = np.repeat(shared, members, axis=1)
    if different:
        omega[:, -different:] = rng.standard_normal(omega[:, -different:].shape)
    e = rng.standard_normal((systems.size, problem.data.shape[1]))
    alpha, gamma = tensors(estimate)
    with torch.no_grad():
        flat = torch.from_numpy(omega.reshape(systems.size, -1))
        known = problem.known.of(systems.ravel())
        signal = problem.signal(alpha, flat, known)
        observed = problem.observed(gamma, signal, torch.from_numpy(e), systems.ravel())
    return observed.numpy().reshape(count, members, -1)


@dataclass(frozen=True)
class ErrorRates:
    """How often the tests err on simulated groups of one size at the level of 5 %.

    ``group``, ``pairs`` and ``systems`` are the shares of groups of alike systems that fail as a
    whole, of which some pair fails, and of which some system fails against all others. ``found``
    and ``dragged`` are shares of groups in which one system has parameters of its own: in the share
    ``found`` this system is set apart, and in the share ``dragged`` another system is. The p-values
    (B,) belong to groups of alike systems.
    """

    group: float
    pairs: float
    systems: float
    found: float
    dragged: float
    group_p_values: np.ndarray


def error_rates(
    problem: Problem, estimate: Estimate, systems: Sequence[int], groups: int, of_pairs: bool = True
) -> ErrorRates:
    """Measure the tests on simulated groups with the noise scales and gaps of these systems.

    The estimate is their truth. ``groups`` groups consist of alike systems, and as many have one
    outlier each. The test of the pairs takes the longest in large groups.
    """
    numbers = np.asarray(systems)
    rows = [list(systems)] * groups
    stage = f"alike/{len(numbers)}"
    alike = simulated_groups(problem, estimate, rows, stage)
    pooled = pooled_optima(problem, estimate, rows, alike)
    both = list(zip(pooled.scores, pooled.information, strict=True))
    p_values = np.exp([group_log_p_value(*one) for one in both])
    single = np.array([adjusted(system_p_values(*one)).min() for one in both])
    pairs = np.nan
    if of_pairs:
        found_pairs = _pair_p_values(problem, estimate, numbers, alike)
        pairs = float((found_pairs.min(axis=(1, 2)) < LEVEL).mean())
    mixed = simulated_groups(problem, estimate, rows, f"one_apart/{len(numbers)}", different=1)
    # In a pair, either of the two systems may be the outlier.
    found = dragged = np.nan
    if len(numbers) > 2:
        last = len(numbers) - 1
        _, named = _set_apart(problem, estimate, numbers, mixed)
        found = float(np.mean([last in apart for apart in named]))
        dragged = float(np.mean([any(k != last for k in apart) for apart in named]))
    return ErrorRates(
        group=float((p_values < LEVEL).mean()),
        pairs=pairs,
        systems=float((single < LEVEL).mean()),
        found=found,
        dragged=dragged,
        group_p_values=p_values,
    )
