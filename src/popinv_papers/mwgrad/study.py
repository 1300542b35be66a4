r"""A group of observed systems, and whether one set of parameters can serve all of them.

The posterior of each system of the group (:mod:`popinv.methods.posterior.density`) is one
target, in the standard normal coordinates omega of the recovered law. Tests say whether the systems
have the same parameters, and which of them stand apart
(:mod:`popinv.methods.groups.group_tests`). Where they do not, MWGraD shows the trade-offs: it
moves particles until no system can be served better without another being served worse. What a
system gives up is its regret,

.. math:: r_k = E_q[-\log p_k] - E_{q_k}[-\log p_k],

with q the particles of the group and q_k those moved for the system alone, by the same method; both
are normal laws in omega. The regret is a cost, not a test: its law depends on the weights, and for
the weights of least norm on the start. (Regret and tests are ours, not the paper's.)

A law of particles is on the Pareto front if no system can be served better without another being
served worse. Equal weights end at one point of it. The weights of least norm stop at the first
point of the front that a descent meets, so where they end depends on where they start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr

from popinv.errors import ConfigError
from popinv.forward.datasets import parameter_coordinate
from popinv.inference.density.densities import log_likelihood
from popinv.inference.density.problem import Problem
from popinv.methods.invariants import Invariant, held
from popinv.seeds import generator
from popinv.store.variables import variable
from popinv_papers.mwgrad.descent import Settings, begin, run
from popinv_papers.mwgrad.velocities import Differentiable

Estimate = tuple[np.ndarray, np.ndarray]

_RULES = ("minnorm", "fixed")
# The points of a front start near each other.
_SHARE_OF_STEPS = 3
# Steps with a group that is one system, and the difference that rounding may leave.
_FEW, _SAME = 20, 1e-6


def group_targets(
    problem: Problem, estimate: Estimate, systems: Sequence[int]
) -> list[Differentiable]:
    """Return each system's log posterior density in omega, up to a constant.

    Raises
    ------
    ConfigError
        If a system's number is not one of the observed systems'.
    """
    count = len(problem.data)
    wrong = [n for n in systems if not 0 <= n < count]
    if wrong or len(set(systems)) != len(systems) or not len(systems):
        raise ConfigError(
            f"downstream.mwgrad.systems is {list(systems)}: must be different numbers from 0 to "
            f"{count - 1}, of the {count} observed systems"
        )
    alpha, gamma = (torch.from_numpy(np.asarray(part, dtype=float)) for part in estimate)
    return [Differentiable(_log_posterior(problem, alpha, gamma, n)) for n in systems]


def _log_posterior(problem: Problem, alpha: torch.Tensor, gamma: torch.Tensor, n: int) -> Any:
    def log_posterior(omega: torch.Tensor) -> torch.Tensor:
        repeated = replace(problem.of_systems(np.full(len(omega), n)), free_noise=False)
        answer = problem.signal(alpha, omega, repeated.known)
        return log_likelihood(repeated, gamma, answer) - 0.5 * (omega**2).sum(dim=1)

    return log_posterior


def _population(problem: Problem, particles: int) -> np.ndarray:
    """Return particles of the population, shape (n, d)."""
    rng = generator(problem.seed, f"{problem.stage}/particles")
    return rng.standard_normal((particles, problem.law.d_omega))


def _settings(rate: float) -> Settings:
    return Settings("normal", "fixed", "common_adam", rate)


def same_system_twice(
    problem: Problem, estimate: Estimate, system: int, particles: int, rate: float
) -> Invariant:
    """Check that a system which is grouped with itself gives up nothing."""
    (one,) = group_targets(problem, estimate, [system])
    omega = _population(problem, particles)
    settings = _settings(rate)
    alone = costs([one], run(begin(omega, 1), [one], settings, _FEW)[0].particles)[0]
    regrets = []
    for rule in _RULES:
        chosen = replace(settings, weights=rule)
        state, _ = run(begin(omega, 2), [one, one], chosen, _FEW)
        regrets.append(costs([one], state.particles)[0] - alone)
    return held(
        "same_system_twice",
        f"system {system} grouped with itself: regret after {_FEW} steps, natural logarithm",
        float(np.abs(regrets).max()),
        _SAME * max(1.0, abs(float(alone))),
    )


def serve_group(
    problem: Problem,
    estimate: Estimate,
    systems: Sequence[int],
    particles: int,
    iterations: int,
    rate: float,
    names: Sequence[str],
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Move particles for the group, with weights of least norm and with equal ones.

    Parameters
    ----------
    problem : Problem
        Its stage addresses the random draws.
    estimate : (alpha, gamma)
        Law and noise, unconstrained.

    Returns
    -------
    Dataset
        ``z`` of the particles by rule of the weights, ``z_alone`` of those moved for each system
        alone, the last ``weights``, ``regret``, ``regret_from`` other starts, and the ``front`` of
        the two systems that are farthest apart.
    dict
        By rule ``regret_<rule>_system_<n>``, ``regret_<rule>_max`` and ``velocity_norm_<rule>``;
        ``weight_system_<n>`` of the weights of least norm, ``regret_minnorm_spread_system_<n>``,
        the range of the regret over the starts, and ``learnt_system_<n>``, the directions that the
        observation tells of.

    Raises
    ------
    ConfigError
        If there are fewer particles than twice the law's standard normal numbers.
    """
    dimension = problem.law.d_omega
    if particles < 2 * dimension:
        raise ConfigError(
            f"downstream.mwgrad.particles is {particles}: must be at least {2 * dimension}, twice "
            f"the {dimension} coordinates in which they move"
        )
    targets = group_targets(problem, estimate, systems)
    omega = _population(problem, particles)
    settings = _settings(rate)

    def parameters(omega: np.ndarray) -> np.ndarray:
        return problem.law.sample(torch.from_numpy(estimate[0]), torch.from_numpy(omega)).numpy()

    own = [run(begin(omega, 1), [one], settings, iterations)[0].particles for one in targets]
    best = np.array([costs([one], x)[0] for one, x in zip(targets, own, strict=True)])
    learnt = [max(dimension - float(x.var(axis=0).sum()), 0.0) for x in own]
    metrics: dict[str, Any] = {"particles": particles}
    metrics |= {f"learnt_system_{n}": one for n, one in zip(systems, learnt, strict=True)}
    answers, weights, lost = [], [], []
    for rule in _RULES:
        chosen = replace(settings, weights=rule)
        state, norm = run(begin(omega, len(targets)), targets, chosen, iterations)
        regrets = costs(targets, state.particles) - best
        for n, regret in zip(systems, regrets, strict=True):
            metrics[f"regret_{rule}_system_{n}"] = float(regret)
        metrics[f"regret_{rule}_max"] = float(regrets.max())
        metrics[f"velocity_norm_{rule}"] = norm
        answers.append(parameters(state.particles))
        weights.append(state.weights)
        lost.append(regrets)
    metrics |= {f"weight_system_{n}": float(w) for n, w in zip(systems, weights[0], strict=True)}
    starts = from_starts(targets, omega, own, settings, iterations) - best
    for n, spread in zip(systems, np.ptp(np.vstack([lost[0], starts]), axis=0), strict=True):
        metrics[f"regret_minnorm_spread_system_{n}"] = float(spread)
    two = _farthest(np.array([x.mean(axis=0) for x in own]), np.array([x.var(axis=0) for x in own]))
    steps = -(-iterations // _SHARE_OF_STEPS)
    front = two_sided_front([targets[k] for k in two], own[two[1]], settings, steps) - best[two]
    result = xr.Dataset(
        {
            "z": variable(
                ("rule", "particle", "parameter"), answers, "parameters that serve the group"
            ),
            "z_alone": variable(
                ("group", "particle", "parameter"),
                [parameters(x) for x in own],
                "parameters that serve the system",
            ),
            "weights": variable(("rule", "group"), weights, "last weights of the systems"),
            "regret": variable(
                ("rule", "group"), lost, "what a system gives up, natural logarithm"
            ),
            "regret_from": variable(
                ("start", "group"), starts, "the same with least norm, from other starts"
            ),
            "front": variable(
                ("point", "end"), front, "regrets of two systems along their Pareto front"
            ),
            "front_system": variable(
                "end", [systems[k] for k in two], "the two systems, which are farthest apart"
            ),
        },
        coords={
            "rule": variable("rule", np.array(_RULES, dtype=np.str_), "rule of the weights"),
            "group": variable("group", list(systems), "number of the system"),
            **parameter_coordinate(names, "parameter", "parameter of the forward model"),
        },
    )
    return result, metrics


def _farthest(means: np.ndarray, variances: np.ndarray) -> list[int]:
    """Return the places of the two systems whose means differ most in units of their spreads."""
    gaps = means[:, None] - means[None]
    distances = (gaps**2 / (variances[:, None] + variances[None])).sum(axis=2)
    return sorted(int(k) for k in np.unravel_index(np.argmax(distances), distances.shape))


_POINTS, _STARTS = 9, 4


def costs(targets: Sequence[Differentiable], particles: np.ndarray) -> np.ndarray:
    """Return the mean of -log p_k over the particles, (K,)."""
    return np.array([-target.log_density(particles).mean() for target in targets])


def two_sided_front(
    targets: Sequence[Differentiable],
    start: np.ndarray,
    settings: Settings,
    iterations: int,
) -> np.ndarray:
    """Return the costs of two systems along their front, from the second's end on, (9, 2).

    Each point is a descent with fixed weights (w, 1 - w) that starts where the last one ended, the
    first at particles (n, d) of the second system alone.
    """
    fixed, points, particles = replace(settings, weights="fixed"), [], start
    for w in np.linspace(0, 1, _POINTS):
        state, _ = run(begin(particles, 2, np.array([w, 1 - w])), targets, fixed, iterations)
        particles = state.particles
        points.append(costs(targets, particles))
    return np.array(points)


def from_starts(
    targets: Sequence[Differentiable],
    prior: np.ndarray,
    alone: Sequence[np.ndarray],
    settings: Settings,
    iterations: int,
) -> np.ndarray:
    """Return the costs (S, K) at the ends of descents with weights of least norm.

    The starts lie halfway between the population's particles and the particles of the first systems
    alone.
    """
    chosen = replace(settings, weights="minnorm")
    ends = []
    for own in alone[:_STARTS]:
        state, _ = run(begin((prior + own) / 2, len(targets)), targets, chosen, iterations)
        ends.append(costs(targets, state.particles))
    return np.array(ends)
