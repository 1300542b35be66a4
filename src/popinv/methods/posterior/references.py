r"""Normal densities about the modes of each system, and its difference from the population.

About a mode m_k with Gauss-Newton matrix H_k the posterior is close to ``N(m_k, H_k^{-1})``
(Laplace). A wider density has a tenth of the observation's information, and the law itself has
none. The mixture

.. math:: q(\omega) = w_0\, \phi(\omega)
    + \sum_k w_k \bigl(0.8\, N(m_k, H_k^{-1}) + 0.2\, N(m_k, (I + (H_k - I)/10)^{-1})\bigr)

gives the chains their moves. The mixture covers all modes that were found, and through the law also
other modes. The modes are searched for from draws of the law, from draws on the other side of its
centre, and again from other draws. Of equal modes one is kept.

A change of law and noise moves the modes. They follow by steps of Newton's method with the Hessian
that was found before, until a step is short.

With the whitened residual r(omega) of a system, its best mode gives the statistic

.. math:: D_n = \min_\omega \; |r(\omega)|^2 + |\omega|^2 .

It is large if the parameters that explain the observation are rare in the population, or if none
explain it. If the model is linear and the law normal, it is Mahalanobis's distance of y^(n) from
the population's observations, and follows chi-squared with as many degrees of freedom as there are
observed entries. In general it does not, so that systems are simulated from the recovered law and
noise, with scales and gaps of observed systems. The p-value is the share of simulated systems that
are as far out. Gaps are accounted for by comparing the chi-squared tail probability of D at the
number of observed entries.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.stats import chi2

from popinv.inference.density.density import Density
from popinv.inference.density.problem import Problem
from popinv.inference.integrate.integrals import MarginalSettings
from popinv.inference.integrate.marginal import integrals_at
from popinv.inference.integrate.modes import Modes, with_information
from popinv.late import torch
from popinv.methods.posterior.density import Densities
from popinv.methods.posterior.group_draws import (
    SEARCHES,
    best_modes,
    error_of,
    groups_together,
    least_of,
)
from popinv.optimisation.adapted_mixtures import OF_LAW, Mixtures, inverse_factor
from popinv.seeds import generator

# Share of the wider densities.
WIDE = 0.2
# Most steps by which modes follow, and the length of a short step, in posterior standard
# deviations.
_MOST_STEPS, _SHORT = 8, 0.2
# Modes closer than this, in posterior standard deviations, count as one.
_SAME = 0.5
# Number of entries in Jacobians and Hessians of the systems that are processed together.
_BLOCK_VALUES = 4e6
# Number of systems in a group; processes share the groups.
_MOST_TOGETHER = 250
# Share of the modes' weight that is equal for all modes, whatever their evidence.
_ALIKE = 0.5


@dataclass(frozen=True)
class References:
    """The modes (n, M, d) of n systems, and normal densities about them.

    The share (n, M) is w, with sum 0.9 for each system. A system with fewer modes repeats the first
    mode, with share 0. The factors (2, n, M, d, d) are lower triangular L with ``L L^T`` the
    covariance, of the narrow densities and of the wide ones, and the inverses ``L^{-1}``.
    """

    modes: torch.Tensor
    share: torch.Tensor
    factors: torch.Tensor
    inverses: torch.Tensor

    def of(self, systems: torch.Tensor) -> References:
        """Return the references of some of the systems."""
        return References(
            self.modes[systems],
            self.share[systems],
            self.factors[:, systems],
            self.inverses[:, systems],
        )

    def following(self, densities: Densities, systems: torch.Tensor) -> References:
        """Return the references for other law and noise, about modes that have followed.

        These systems have the numbers ``systems`` (n,) in ``densities``.
        """
        modes, own = self.modes.clone(), self.share > 0
        for k in range(modes.shape[1]):
            rows = torch.nonzero(own[:, k])[:, 0]
            for _ in range(_MOST_STEPS):
                if not len(rows):
                    break
                here, factor = modes[rows, k], self.factors[0, rows, k]
                # The step in posterior standard deviations, and in omega.
                whitened = factor.mT @ densities.slope(here, systems[rows])[..., None]
                there = here + (factor @ whitened)[..., 0]
                gained = densities.log(there, systems[rows]) > densities.log(here, systems[rows])
                modes[rows[gained], k] = there[gained]
                far = gained & ((whitened**2).sum(dim=(1, 2)) > _SHORT**2)
                rows = rows[far]
        modes = torch.where(own[..., None], modes, modes[:, :1])
        return replace(self, modes=modes)

    @cached_property
    def mixture(self) -> Mixtures:
        """q, with the law first, then the narrow densities, then the wide ones."""
        shares = torch.cat([(1 - WIDE) * self.share, WIDE * self.share], dim=1)
        means, factors = (
            torch.cat([self.modes, self.modes], dim=1),
            torch.cat([*self.factors], dim=1),
        )
        return Mixtures.with_law(shares, means, factors)

    def nearest(self, omega: torch.Tensor) -> torch.Tensor:
        """Return the nearest mode of each omega (n, S, d), in posterior deviations, (n, S)."""
        distances = []
        for k in range(self.modes.shape[1]):
            e = (omega - self.modes[:, None, k]) @ self.inverses[0, :, k].mT
            distances.append((e**2).sum(dim=2))
        return torch.stack(distances).argmin(dim=0)


def references(problem: Problem, p: np.ndarray) -> tuple[References, torch.Tensor]:
    """Return the references of all systems of a problem at p, and the smallest phi of each (N,).

    ``phi = |r|^2 / 2 + |omega|^2 / 2`` with the whitened residual r at the mode.
    """
    density, found = _modes(problem, p)
    share = _shares(found)
    used = [k for k in range(len(found)) if k == 0 or (share[:, k] > 0).any()]
    own = share[:, used] > 0
    modes = torch.stack([found[k].omega for k in used], dim=1)
    hessians = torch.stack([found[k].hessian for k in used], dim=1)
    modes = torch.where(own[..., None], modes, modes[:, :1])
    hessians = torch.where(own[..., None, None], hessians, hessians[:, :1])
    eye = torch.eye(modes.shape[2], dtype=modes.dtype)
    factors = torch.stack([inverse_factor(each) for each in (hessians, with_information(hessians))])
    inverses = torch.linalg.solve_triangular(factors, eye.expand_as(factors), upper=False)
    return References(modes, share[:, used], factors, inverses), _least(density, found)


def least_misfits(problem: Problem, p: np.ndarray, searches: int = SEARCHES) -> np.ndarray:
    """Return ``|r|^2 + |omega|^2`` at the best mode of each system of a problem, shape (N,).

    The modes come from so many searches, each from several starts; from one start if there is none.
    """
    n, parts = len(problem.data), []
    size = groups_together(problem) if problem.law.nested else systems_together(problem)
    for start in range(0, n, size):
        block = problem.of_systems(np.arange(start, min(start + size, n)))
        if problem.law.nested:
            parts.append(least_of(best_modes(block, p, searches)).numpy())
        else:
            parts.append(2 * _least(*_modes(block, p, searches)).numpy())
    return np.concatenate(parts)


def systems_together(problem: Problem) -> int:
    """Return the number of systems of a group, which a process samples.

    Their Jacobians and Hessians fit into memory.
    """
    d_y, d = problem.data.shape[1], problem.law.d_omega
    return max(1, min(_MOST_TOGETHER, int(_BLOCK_VALUES / (d * (d_y + 4 * d)))))


def _modes(
    problem: Problem, p: np.ndarray, searches: int = SEARCHES
) -> tuple[Density, list[Modes]]:
    """Return the density of the observations, and the results of separate searches."""
    settings = MarginalSettings()
    known = replace(problem, free_noise=False)
    block, found = integrals_at(known, p), []
    if not searches:
        found = [block.find_modes(settings, None)]
    for search in range(searches):
        found += block.all_modes(settings, f"mode_starts/{search}")
    return block.density, found


def _least(density: Density, found: list[Modes]) -> torch.Tensor:
    """Return the smallest ``|r|^2 / 2 + |omega|^2 / 2`` of the modes of each system, (N,)."""
    misfits = []
    for modes in found:
        square = (density.at(modes.signal).residual ** 2).sum(dim=1)
        misfits.append(0.5 * (square + (modes.omega**2).sum(dim=1)))
    least = torch.stack(misfits)
    return torch.where(torch.isfinite(least), least, torch.inf).amin(dim=0)


def _shares(found: list[Modes]) -> torch.Tensor:
    """Return the weight of each mode (n, M), by its evidence; 0 for a repeated mode."""
    evidence = torch.stack([-m.objective - 0.5 * torch.logdet(m.hessian) for m in found], dim=1)
    # A search that met no finite observation has no evidence.
    evidence = torch.where(torch.isfinite(evidence), evidence, -1e30)
    fresh = torch.ones_like(evidence, dtype=torch.bool)
    for k, later in enumerate(found):
        for j, before in enumerate(found[:k]):
            apart = later.omega - before.omega
            distance = (apart[:, None] @ before.hessian @ apart[..., None])[:, 0, 0]
            fresh[:, k] &= ~(fresh[:, j] & (distance < _SAME**2))
    own = torch.softmax(torch.where(fresh, evidence, -torch.inf), dim=1)
    alike = fresh / fresh.sum(dim=1, keepdim=True)
    return (1 - OF_LAW) * (_ALIKE * alike + (1 - _ALIKE) * own)


# Systems that are simulated. Groups of many members are fewer: they have so many members together,
# or Jacobians of so many entries, but there are at least so many groups.
_SIMULATED, _MEMBERS_OF_GROUPS, _ENTRIES_OF_GROUPS, _FEWEST_GROUPS = 2000, 10_000, 1_000_000, 200


def surprise_p_values(
    problem: Problem,
    p: np.ndarray,
    least_misfit: np.ndarray,
    simulated: int = _SIMULATED,
    laws: np.ndarray | None = None,
    errors: np.ndarray | None = None,
    searches: int = SEARCHES,
) -> np.ndarray:
    """Return the p-value of each observed system, shape (N,), with D at law and noise p.

    The least misfit (N,) is D. With M simulated systems no p-value is below 1 / (M + 1). Laws (B,
    n_p) and errors of the simulator (B, d_y), in turns, are those of the simulated systems; by
    default p alone. If the systems have the same conditions, and are drawn as these are, the
    p-values are uniform. D of all comes from the same number of ``searches``.
    """
    if problem.members > 1:
        most = _ENTRIES_OF_GROUPS // (problem.data.shape[1] * problem.law.d_omega)
        if problem.law.nested:
            most = _MEMBERS_OF_GROUPS // problem.members
        simulated = min(simulated, max(most, _FEWEST_GROUPS))
    other = _simulated(problem, p[None] if laws is None else laws, simulated, errors)
    null = np.sort(_tails(other, least_misfits(other, p, searches)))
    as_far = np.searchsorted(null, _tails(problem, least_misfit), side="right")
    return np.asarray((as_far + 1) / (simulated + 1))


def _simulated(
    problem: Problem, laws: np.ndarray, count: int, errors: np.ndarray | None
) -> Problem:
    """Return the problem with systems of the population in place of the observed ones."""
    rng = generator(problem.seed, f"{problem.stage}/simulated")
    omega = torch.from_numpy(rng.standard_normal((count, problem.law.d_omega)))
    e = torch.from_numpy(rng.standard_normal((count, problem.data.shape[1])))
    systems = rng.integers(len(problem.data), size=count)
    y = np.empty((count, problem.data.shape[1]))
    own = problem.of_systems(systems)
    for b, p in enumerate(laws[:count]):
        rows = np.arange(b, count, len(laws))
        alpha, gamma = problem.tensors(p)
        with torch.no_grad():
            signal = problem.signal(alpha, omega[rows], problem.known.of(systems[rows]))
            if errors is not None:
                signal = signal + torch.from_numpy(error_of(own.of_systems(rows), errors[b]))
            y[rows] = problem.observed(gamma, signal, e[rows], systems[rows]).numpy()
    return replace(own, data=y, stage=f"{problem.stage}/simulated")


def _tails(problem: Problem, statistic: np.ndarray) -> np.ndarray:
    """Return the logarithms of the chi-squared tail probabilities, shape (n,)."""
    seen = problem.conditions.present.sum(axis=1)
    return np.asarray(chi2.logsf(statistic, np.maximum(seen, 1)))
