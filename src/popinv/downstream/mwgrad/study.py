r"""A group of observed systems: one set of particles that serves all of them.

The posterior of each system of the group (see :mod:`popinv.downstream.posterior`) is one target,
in the standard normal coordinates omega of the recovered law. MWGraD moves particles until no
system can be served better without another being served worse. What a system gives up is its
regret,

.. math:: E_q[-\log p_k] - E_{q_k}[-\log p_k],

with q the particles of the group and q_k those moved for the system alone, by the same method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr

from popinv.artefacts import parameter_coordinate, variable
from popinv.downstream.mwgrad.descent import Settings, begin, run
from popinv.downstream.mwgrad.targets import Differentiable
from popinv.errors import ConfigError
from popinv.inference.baselines.likelihood import Whitening
from popinv.inference.problem import Problem
from popinv.seeds import generator

__all__ = ["group_targets", "serve_group"]

Estimate = tuple[np.ndarray, np.ndarray]


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
        Of the descents, by Adam.
    names : sequence of str
        Of the forward model's parameters.

    Returns
    -------
    Dataset
        ``z`` of the particles by rule of the weights, and the last ``weights``.
    dict
        By rule ``regret_<rule>_system_<n>``, ``regret_<rule>_max`` and ``velocity_norm_<rule>``;
        ``weight_system_<n>`` of the weights of least norm.
    """
    targets = group_targets(problem, estimate, systems)
    omega = generator(problem.seed, f"{problem.stage}/particles").standard_normal(
        (particles, problem.law.d_omega)
    )
    settings = Settings("gfsd", "fixed", "adam", rate, seed=problem.seed, stage=problem.stage)
    alone = []
    for target in targets:
        state, _ = run(begin(omega, 1), [target], settings, iterations)
        alone.append(-target.log_density(state.particles).mean())
    metrics: dict[str, Any] = {"group_size": len(systems), "particles": particles}
    answers, weights = [], []
    rules = ("minnorm", "fixed")
    for rule in rules:
        chosen = replace(settings, weights=rule)
        state, record = run(begin(omega, len(targets)), targets, chosen, iterations)
        served = [-target.log_density(state.particles).mean() for target in targets]
        regrets = np.array(served) - np.array(alone)
        for n, regret in zip(systems, regrets, strict=True):
            metrics[f"regret_{rule}_system_{n}"] = float(regret)
        metrics[f"regret_{rule}_max"] = float(regrets.max())
        metrics[f"velocity_norm_{rule}"] = float(record["velocity_norm"][-1])
        alpha = torch.from_numpy(estimate[0])
        answers.append(problem.law.sample(alpha, torch.from_numpy(state.particles)).numpy())
        weights.append(state.weights)
    metrics |= {f"weight_system_{n}": float(w) for n, w in zip(systems, weights[0], strict=True)}
    result = xr.Dataset(
        {
            "z": variable(
                ("rule", "particle", "parameter"), answers, "parameters that serve the group"
            ),
            "weights": variable(("rule", "group"), weights, "last weights of the systems"),
            "regret": variable(
                ("rule", "group"),
                [[metrics[f"regret_{rule}_system_{n}"] for n in systems] for rule in rules],
                "what a system gives up, natural logarithm",
            ),
        },
        coords={
            "rule": variable("rule", np.array(rules, dtype=np.str_), "rule of the weights"),
            "group": variable("group", list(systems), "number of the system"),
            **parameter_coordinate(names, "parameter", "parameter of the forward model"),
        },
    )
    return result, metrics
