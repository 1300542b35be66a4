r"""A group of observed systems: one set of particles that serves all of them.

The posterior of each system of the group (:mod:`popinv.downstream.posterior.density`) is one
target, in the standard normal coordinates omega of the recovered law. MWGraD moves particles until
no system can be served better without another being served worse. What a system gives up is its
regret,

.. math:: r_k = E_q[-\log p_k] - E_{q_k}[-\log p_k],

with q the particles of the group and q_k those moved for the system alone, by the same method;
both are normal laws in omega. If the systems of the group had the same parameters, 2 r_k would be
about as large as a chi-squared number with as many degrees of freedom as the system's observation
tells of directions, d - tr C_k with the covariance C_k of q_k (the prior's is the identity). A
regret beyond that says that the system's parameters are others than the group's. (Regret and test
are ours, not the paper's.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from scipy.stats import chi2

from popinv.downstream.mwgrad.descent import Settings, begin, run
from popinv.downstream.mwgrad.targets import Differentiable
from popinv.errors import ConfigError
from popinv.forward.datasets import parameter_coordinate
from popinv.inference.baselines.likelihood import Whitening
from popinv.inference.problem import Problem
from popinv.seeds import generator
from popinv.store.variables import variable

__all__ = ["group_targets", "serve_group"]

Estimate = tuple[np.ndarray, np.ndarray]

# Below this probability a system is said not to share the group's parameters.
_DOUBT = 1e-3
_RULES = ("minnorm", "fixed")


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
    y = torch.from_numpy(problem.data[n])

    def log_posterior(omega: torch.Tensor) -> torch.Tensor:
        answer = problem.simulate(problem.law.sample(alpha, omega))
        repeated = problem.of_systems(np.full(len(omega), n))
        white = Whitening(repeated, gamma)(y - answer)
        return -0.5 * (white**2).sum(dim=1) - 0.5 * (omega**2).sum(dim=1)

    return log_posterior


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
    systems : sequence of int
        Numbers of the observed systems in the group.
    particles, iterations, rate : int, int, float
        Settings of the descents, by Adam.
    names : sequence of str
        Names of the forward model's parameters.

    Returns
    -------
    Dataset
        ``z`` of the particles by rule of the weights, ``z_alone`` of those moved for each system
        alone, the last ``weights``, ``regret``, and the regret that has probability 0.001,
        ``limit``.
    dict
        By rule ``regret_<rule>_system_<n>``, ``p_value_<rule>_system_<n>``, ``regret_<rule>_max``,
        ``velocity_norm_<rule>`` and ``statement_<rule>``; ``weight_system_<n>`` of the weights of
        least norm, and ``learnt_system_<n>``, the directions that the observation tells of.

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
    omega = generator(problem.seed, f"{problem.stage}/particles").standard_normal(
        (particles, dimension)
    )
    settings = Settings(
        "normal", "fixed", "common_adam", rate, seed=problem.seed, stage=problem.stage
    )

    def parameters(omega: np.ndarray) -> np.ndarray:
        return problem.law.sample(torch.from_numpy(estimate[0]), torch.from_numpy(omega)).numpy()

    alone, learnt, z_alone = [], [], []
    for target in targets:
        state, _ = run(begin(omega, 1), [target], settings, iterations)
        alone.append(-target.log_density(state.particles).mean())
        learnt.append(max(dimension - float(state.particles.var(axis=0).sum()), 0.0))
        z_alone.append(parameters(state.particles))
    # Posteriors that have learnt next to nothing do not differ either.
    freedom = np.maximum(learnt, 1.0)
    metrics: dict[str, Any] = {"group_size": len(systems), "particles": particles}
    metrics |= {f"learnt_system_{n}": one for n, one in zip(systems, learnt, strict=True)}
    answers, weights, lost = [], [], []
    for rule in _RULES:
        chosen = replace(settings, weights=rule)
        state, record = run(begin(omega, len(targets)), targets, chosen, iterations)
        served = [-target.log_density(state.particles).mean() for target in targets]
        regrets = np.array(served) - np.array(alone)
        p_values = chi2.sf(2 * regrets, freedom)
        for n, regret, p_value in zip(systems, regrets, p_values, strict=True):
            metrics[f"regret_{rule}_system_{n}"] = float(regret)
            metrics[f"p_value_{rule}_system_{n}"] = float(p_value)
        metrics[f"regret_{rule}_max"] = float(regrets.max())
        metrics[f"velocity_norm_{rule}"] = float(record["velocity_norm"][-1])
        metrics[f"statement_{rule}"] = _statement(systems, p_values)
        answers.append(parameters(state.particles))
        weights.append(state.weights)
        lost.append(regrets)
    metrics |= {f"weight_system_{n}": float(w) for n, w in zip(systems, weights[0], strict=True)}
    result = xr.Dataset(
        {
            "z": variable(
                ("rule", "particle", "parameter"), answers, "parameters that serve the group"
            ),
            "z_alone": variable(
                ("group", "particle", "parameter"), z_alone, "parameters that serve the system"
            ),
            "weights": variable(("rule", "group"), weights, "last weights of the systems"),
            "regret": variable(
                ("rule", "group"), lost, "what a system gives up, natural logarithm"
            ),
            "limit": variable(
                "group", chi2.isf(_DOUBT, freedom) / 2, "regret of probability 0.001"
            ),
        },
        coords={
            "rule": variable("rule", np.array(_RULES, dtype=np.str_), "rule of the weights"),
            "group": variable("group", list(systems), "number of the system"),
            **parameter_coordinate(names, "parameter", "parameter of the forward model"),
        },
    )
    return result, metrics


def _statement(systems: Sequence[int], p_values: np.ndarray) -> str:
    others = [str(n) for n, p in zip(systems, p_values, strict=True) if p < _DOUBT]
    if not others:
        return "one set of parameters may serve all systems of the group"
    return (
        f"{'systems' if len(others) > 1 else 'system'} {', '.join(others)} cannot have the "
        "parameters that serve the group"
    )
