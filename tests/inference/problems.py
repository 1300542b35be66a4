"""Small problems with known answers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from popinv.inference.density.problem import Problem
from popinv.inference.integrate import pseudo
from popinv.inference.integrate.model_moments import moments_of_systems
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.kernel import KernelNoise
from popinv.population.noise.terms import composed
from popinv.population.noise.unstructured import IsotropicNoise

PLACES = np.linspace(0.05, 0.95, 8)[:, None]


def silent(d_y: int):
    """Return a simulator without signal: only the noise is seen."""
    return lambda z: torch.zeros((len(z), d_y), dtype=torch.float64) + 0 * z[:, :1]


def curve(z: torch.Tensor) -> torch.Tensor:
    """Map (decay, height) to a curve at PLACES, nonlinear in both."""
    x = torch.from_numpy(PLACES[:, 0])
    return torch.exp(-z[:, :1] * x) + 0.5 * z[:, 1:] * torch.sin(torch.pi * x)


COUNTED = composed(IsotropicNoise(4)).with_terms(intrinsic=True)


def counted(z: torch.Tensor, times: float = 1.0) -> torch.Tensor:
    """Map a logarithm to mean and factor of four Poisson counts of mean ``times exp(z)``."""
    mean = times * torch.exp(z).expand(-1, 4)
    return torch.cat([mean, torch.sqrt(mean), z.new_zeros(len(z), COUNTED.factor.size - 4)], dim=1)


TRUE_ALPHA = np.array([0.5, 1.0, np.log(0.3), np.log(0.25)])


def curve_problem(count: int = 1000, seed: int = 0, **noise_values: float) -> tuple:
    """Return (problem, alpha, gamma) of a population of curves with correlated noise."""
    noise = KernelNoise(PLACES, "exponential", nugget=False)
    gamma = noise.from_natural({"amplitude": 0.1, "length": 0.2, **noise_values})
    law = normal_law(["decay", "height"])
    rng = np.random.default_rng(seed)
    omega, e = rng.standard_normal((count, 2)), rng.standard_normal((count, 8))
    data = curve(law.sample(torch.from_numpy(TRUE_ALPHA), torch.from_numpy(omega)))
    data = data + noise.sample(torch.from_numpy(gamma), torch.from_numpy(e))
    problem = Problem(data.numpy(), curve, law, noise, np.full(6, 0.5), seed=seed)
    return problem, TRUE_ALPHA, gamma


def pseudo_likelihood(
    problem: Problem, omega: torch.Tensor
) -> Callable[[np.ndarray], pseudo.PseudoEvaluation]:
    """Return the pseudo-likelihood of a problem as a function of p."""

    def at(p: np.ndarray) -> pseudo.PseudoEvaluation:
        alpha, gamma = problem.tensors(p)
        return pseudo.evaluate(problem, moments_of_systems(problem, alpha, gamma, omega))

    return at


def noise_problem(count: int = 2000, deviation: float = 1.0, d_y: int = 4) -> Problem:
    """Return a problem of pure isotropic noise, the law held."""
    rng = np.random.default_rng(1)
    data = deviation * rng.standard_normal((count, d_y))
    law = normal_law(["a"])
    scale = np.full(3, 0.5)
    return Problem(data, silent(d_y), law, IsotropicNoise(d_y), scale, free_law=False)
