"""The likelihood of a population beside sampling and beside quadrature, for the same accuracy.

The problem is the template which ``popinv new-study --forward python`` writes: curves ``size
exp(-rate t)`` at ten times, lognormal size and rate, noise of one deviation, all five parameters
unknown.

NUTS and the importance sampling of the package both leave an error of chance. Let v be its variance
over the variance of the estimate, for the worst parameter. A call is worth 1 / v independent draws
of the posterior, and the row compares the times of one draw. Quadrature converges geometrically: it
gets as many nodes as the same answer needs, and the row compares the times of whole fits.

Many observations of each system are computed in the span of their signals
(:mod:`popinv.inference.density.reduced`). The peer is the same likelihood of the whole signals.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks.peers.marginal_likelihood import PLACES, by_nuts, by_quadrature, decay
from benchmarks.rows import Contest, Row
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import Estimate
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.integrate.marginal import MarginalSettings, evaluate
from popinv.population.laws.gaussian import lognormal_law, normal_law
from popinv.population.noise.kernel import KernelNoise
from popinv.population.noise.terms import Noise
from popinv.population.noise.unstructured import IsotropicNoise

__all__ = ["problem", "rows"]

TRUTH = np.array([0.5, -0.5, np.log(0.3), np.log(0.4), np.log(0.1)])
START = np.array([0.0, 0.0, 0.0, 0.0, np.log(0.3)])
# Points in each direction: the answer is within 0.1 standard errors of that with 200, as ours is to
# 0.13; with 60 it is off by 0.45.
_NODES = 80
_WARMUP, _SAMPLES = 500, 500


def rows() -> list[Row]:
    """Return the rows of both peers."""
    return [
        Row(
            name="marginal_likelihood/quadrature",
            work="law and noise of 1000 systems, from the study's start",
            peer=f"{_NODES} x {_NODES} nodes of the law, torch autograd, L-BFGS",
            packages=("torch", "scipy"),
            target=1.0,
            prepare=functools.partial(_beside_quadrature, 1000),
        ),
        Row(
            name="marginal_likelihood/nuts",
            work="law and noise of 60 systems, per independent draw of the posterior",
            peer="NumPyro's NUTS on the joint posterior of law, noise and systems",
            packages=("numpyro",),
            target=10.0,
            prepare=functools.partial(_beside_nuts, 60),
        ),
        Row(
            name="marginal_likelihood/whole_signals",
            work="likelihood and scores of 300 systems with 1000 observations each",
            peer="the same integrals over whole signals, without the span",
            packages=("torch",),
            target=2.0,
            prepare=functools.partial(_beside_whole_signals, 300, 1000),
        ),
    ]


def problem(count: int) -> Problem:
    """Return the template's problem for ``count`` systems."""
    rng = np.random.default_rng(1)
    law, noise = lognormal_law(["size", "rate"]), Noise(IsotropicNoise(len(PLACES)))
    omega = torch.from_numpy(rng.standard_normal((count, 2)))
    data = decay(law.sample(torch.from_numpy(TRUTH[:4]), omega)).numpy()
    data = data + np.exp(TRUTH[4]) * rng.standard_normal(data.shape)
    return Problem(data, decay, law, noise, np.full(5, 0.5), seed=1, stage="benchmarks")


def estimate(given: Problem) -> Estimate:
    """Return the estimate of largest marginal likelihood."""
    first = fit_pseudo_likelihood(given, [START])
    return fit_marginal_likelihood(given, first.p)


def in_standard_errors(errors: np.ndarray, ours: np.ndarray, peer: np.ndarray) -> float:
    """Return the largest difference of two answers, in standard errors."""
    return float(np.max(np.abs(ours - peer) / errors))


def _beside_quadrature(count: int) -> Contest:
    given = problem(count)
    errors = estimate(given).standard_errors
    return Contest(
        ours=lambda: estimate(given).p,
        peer=lambda: by_quadrature(np.asarray(given.data), START, _NODES),
        tolerance=0.3,
        repeats=3,
        difference=functools.partial(in_standard_errors, errors),
    )


@dataclass(frozen=True)
class _Curves:
    """Sums of modes (64, d_y) whose coefficients a network predicts."""

    first: torch.Tensor
    second: torch.Tensor
    modes: torch.Tensor

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(torch.tanh(z @ self.first) @ self.second) @ self.modes

    def of_outputs(self, entries: np.ndarray) -> _Curves:
        return replace(self, modes=self.modes[:, entries])


def _beside_whole_signals(count: int, observations: int) -> Contest:
    places = np.linspace(0.0, 1.0, observations)
    law = normal_law(["a", "b", "c", "d"])
    noise = Noise(KernelNoise(places[:, None], "exponential", nugget=False))
    gamma = noise.from_natural({"amplitude": 0.1, "length": 0.2})
    p, rng = np.array([*[0.0] * 4, *[-1.0] * 4, *gamma]), np.random.default_rng(0)
    first, second = (torch.from_numpy(rng.standard_normal((k, 64)) / k**0.5) for k in (4, 64))
    modes = torch.cos(np.pi * torch.arange(64)[:, None] * torch.from_numpy(places))
    modes = modes / (1 + torch.arange(64.0)[:, None])

    simulate = _Curves(first, second, modes)
    omega, e = (torch.from_numpy(rng.standard_normal((count, k))) for k in (4, observations))
    data = simulate(law.sample(torch.from_numpy(p[:8]), omega))
    data = data + noise.sample(torch.from_numpy(gamma), e)
    spanned = Problem(data.numpy(), simulate, law, noise, np.full(10, 0.5))
    # A simulator that cannot answer some of the observations alone has no span.
    whole = replace(spanned, simulate=simulate.__call__)
    memory = evaluate(whole, p, MarginalSettings(draws=64)).memory

    def scores(problem: Problem) -> np.ndarray:
        return evaluate(problem, p + 0.02, MarginalSettings(draws=64), memory).scores

    # The error of a system is .03 deviations of its noise.
    return Contest(lambda: scores(spanned), lambda: scores(whole), tolerance=0.03, repeats=3)


def _beside_nuts(count: int) -> Contest:
    given = problem(count)
    answer = estimate(given)
    _, effective = by_nuts(np.asarray(given.data), START, _WARMUP, _SAMPLES)
    return Contest(
        ours=lambda: estimate(given).p,
        peer=lambda: by_nuts(np.asarray(given.data), START, _WARMUP, _SAMPLES)[0].mean(axis=0),
        ours_units=max(1, round(1 / answer.diagnostics["draws_error"] ** 2)),
        peer_units=max(1, round(effective.min())),
        # With few systems, the posterior mean is not quite the maximum.
        tolerance=0.7,
        repeats=3,
        difference=functools.partial(in_standard_errors, answer.standard_errors),
    )
