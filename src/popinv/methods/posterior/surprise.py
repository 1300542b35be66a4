r"""How unlike the population each system's observation is, as a calibrated p-value.

With the whitened residual r(omega) of a system, the statistic is

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

from dataclasses import replace

import numpy as np
import torch
from scipy.stats import chi2

from popinv.inference.problem import Problem
from popinv.methods.posterior.references import least_misfits
from popinv.seeds import generator

# Systems that are simulated.
_SIMULATED = 2000


def surprise_p_values(
    problem: Problem, p: np.ndarray, least_misfit: np.ndarray, simulated: int = _SIMULATED
) -> np.ndarray:
    """Return the p-value of each observed system, shape (N,), with law and noise p as known.

    The least misfit (N,) is D. With M simulated systems no p-value is below 1 / (M + 1).
    """
    other = _simulated(problem, p, simulated)
    null = np.sort(_tails(other, least_misfits(other, p)))
    as_far = np.searchsorted(null, _tails(problem, least_misfit), side="right")
    return np.asarray((as_far + 1) / (simulated + 1))


def _simulated(problem: Problem, p: np.ndarray, count: int) -> Problem:
    """Return the problem with systems of the population in place of the observed ones."""
    rng = generator(problem.seed, f"{problem.stage}/simulated")
    omega = torch.from_numpy(rng.standard_normal((count, problem.law.d_omega)))
    e = torch.from_numpy(rng.standard_normal((count, problem.data.shape[1])))
    systems = rng.integers(len(problem.data), size=count)
    with torch.no_grad():
        y = problem.model(torch.from_numpy(p), omega, e, systems)
    return replace(problem.of_systems(systems), data=y.numpy(), stage=f"{problem.stage}/simulated")


def _tails(problem: Problem, statistic: np.ndarray) -> np.ndarray:
    """Return the logarithms of the chi-squared tail probabilities, shape (n,)."""
    seen = np.full(len(problem.data), problem.data.shape[1])
    if problem.conditions is not None and problem.conditions.present is not None:
        seen = problem.conditions.present.sum(axis=1)
    return np.asarray(chi2.logsf(statistic, np.maximum(seen, 1)))
