"""Coverage of the intervals, with few systems and many, linear and nonlinear models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from popinv.errors import PopinvError
from popinv.inference.intervals import intervals
from popinv.inference.likelihood.fit_marginal import fit_marginal_likelihood
from popinv.inference.likelihood.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.problem import Problem
from popinv.inference.result import estimate_dataset
from popinv.population.constraints import POSITIVE, REAL
from popinv.population.laws.gaussian import GaussianLaw
from popinv.population.noise.unstructured import IsotropicNoise

__all__ = ["POPULATIONS", "covered"]

# The draws of the pseudo-likelihood, where the search of the likelihood begins, and how far from
# the truth a standard deviation may lie there (a factor of 20).
_DRAWS, _FAR = 16000, 3.0


@dataclass(frozen=True)
class Population:
    """A law, a simulator and the truth, unconstrained, with the noise at its end."""

    told: str
    law: GaussianLaw
    simulate: Callable[[torch.Tensor], torch.Tensor]
    observed: int
    truth: np.ndarray

    @property
    def names(self) -> list[str]:
        """Names of the entries of the truth."""
        return [*self.law.names, "noise_standard_deviation"]


def _lines() -> Population:
    times = torch.arange(5, dtype=torch.float64)
    truth = np.array([2.0, -0.5, 0.0, np.log(0.5), np.arctanh(0.3), np.log(0.5)])
    law = GaussianLaw(["a", "b"], [REAL, REAL], groups=[["a", "b"]])
    return Population(
        "y = a + b t, a and b correlated", law, lambda z: z[:, :1] + z[:, 1:] * times, 5, truth
    )


def _decay() -> Population:
    times = torch.tensor([0.3, 1, 2, 4, 8], dtype=torch.float64)
    truth = np.array([0.0, np.log(0.4), np.log(0.3), np.log(0.4), np.log(0.05)])
    law = GaussianLaw(["A", "k"], [POSITIVE, POSITIVE])
    return Population(
        "y = A exp(-k t)", law, lambda z: z[:, :1] * torch.exp(-z[:, 1:] * times), 5, truth
    )


def _trees() -> Population:
    times = torch.tensor([3, 5, 10, 15, 20, 25], dtype=torch.float64)
    truth = np.array([102.12, -8.549, -3.244, np.log(3.676), np.log(0.7184)])
    law = GaussianLaw(["Asym", "R0", "lrc"], [REAL] * 3, common=["R0", "lrc"])

    def height(z: torch.Tensor) -> torch.Tensor:
        return z[:, :1] + (z[:, 1:2] - z[:, :1]) * torch.exp(-torch.exp(z[:, 2:]) * times)

    return Population("Loblolly's curves, with Asym varying", law, height, 6, truth)


POPULATIONS = {"lines": _lines, "decay": _decay, "trees": _trees}
"""Populations by name."""


def covered(name: str, count: int, seed: int) -> dict[str, Any]:
    """Return whether each interval holds the truth, for one data set of ``count`` systems."""
    own = POPULATIONS[name]()
    rng = np.random.default_rng([seed, count])
    law, noise, truth = own.law, IsotropicNoise(own.observed), own.truth
    omega = torch.from_numpy(rng.standard_normal((count, law.d_omega)))
    with torch.no_grad():
        signal = own.simulate(law.sample(torch.from_numpy(truth[:-1]), omega)).numpy()
    y = signal + np.exp(truth[-1]) * rng.standard_normal(signal.shape)
    scale = np.where(
        [each.endswith("_mean") for each in own.names], np.maximum(0.5, 0.1 * abs(truth)), 0.5
    )
    problem = Problem(y, own.simulate, law, noise, scale, seed=seed)
    try:
        start = fit_pseudo_likelihood(problem, [truth], draws=_DRAWS).p.copy()
        log = problem.logarithmic
        start[log] = np.clip(start[log], truth[log] - _FAR, truth[log] + _FAR)
        estimate = fit_marginal_likelihood(problem, start)
        ends = intervals(problem, estimate_dataset(problem, estimate))
    except PopinvError as error:
        return {"ended": str(error)}
    low, high = (np.concatenate([ends[part][k] for part in ("law", "noise")]) for k in (0, 1))
    true = problem.natural(truth)
    held = dict(zip(own.names, ((low <= true) & (true <= high)).tolist(), strict=True))
    return {"holds": held, "passes": bool(estimate.passes)}
