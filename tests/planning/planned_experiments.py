"""Experiments whose information is known in closed form, or published."""

from __future__ import annotations

import numpy as np
import torch
from linear_population import TRUTH

from popinv.inference.density.problem import Problem
from popinv.planning.experiment import Arm, Experiment
from popinv.population.known import Known
from popinv.population.laws.gaussian import lognormal_law, normal_law
from popinv.population.noise.kernel import KernelNoise
from popinv.population.noise.terms import Noise, Size
from popinv.population.noise.unstructured import IsotropicNoise

PLACES = np.linspace(0.0, 1.0, 9)


def experiment_of(problem, p, parameters, arms=None, before=None, draws=None) -> Experiment:
    n = len(p)
    return Experiment(
        problem,
        (Arm("", Known.nothing(1), {}),) if arms is None else arms,
        np.asarray(p, dtype=float),
        np.empty((0, n)) if draws is None else draws,
        np.zeros((n, n)) if before is None else before,
        0,
        tuple(parameters),
        tuple(f"place {i}" for i in range(problem.data.shape[1])),
    )


def lines(noise=None, places=PLACES) -> Problem:
    """Return lines with normal intercept and slope: y is normal, and its information exact."""
    law = normal_law(["intercept", "slope"])
    noise = noise or KernelNoise(places[:, None], "exponential", nugget=False)
    where = torch.from_numpy(places)
    n = len(law.names) + len(noise.names)
    return Problem(
        np.zeros((1, len(places))),
        lambda z: z[:, :1] + z[:, 1:2] * where,
        law,
        noise,
        np.full(n, 0.5),
        stage="design",
    )


def exact_information(p: np.ndarray, places: np.ndarray, replicates: int = 1) -> np.ndarray:
    """Return the Slepian-Bangs information of all replicates of a line, by differences."""
    n, m = len(p), len(places)
    design = np.column_stack([np.ones(m), places])

    def moments(q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        noise = np.exp(2 * q[4]) * np.exp(-np.abs(places[:, None] - places) / np.exp(q[5]))
        signal = design @ np.diag(np.exp(2 * q[2:4])) @ design.T
        one = np.ones((replicates, replicates))
        covariance = np.kron(one, signal) + np.kron(np.eye(replicates), noise)
        return np.tile(design @ q[:2], replicates), covariance

    steps = 1e-5 * np.eye(n)
    slopes = [
        tuple((a - b) / 2e-5 for a, b in zip(moments(p + s), moments(p - s), strict=True))
        for s in steps
    ]
    inverse = np.linalg.inv(moments(p)[1])
    return np.array(
        [
            [u @ inverse @ v + 0.5 * np.trace(inverse @ U @ inverse @ V) for v, V in slopes]
            for u, U in slopes
        ]
    )


# PopED's example of warfarin: CL = 0.15 L/h, V = 8 L, KA = 1 /h, variances of their logarithms
# 0.07, 0.02 and 0.6, a proportional error of variance 0.01.
WARFARIN = np.array(
    [np.log(0.15), np.log(8.0), 0.0, *(0.5 * np.log([0.07, 0.02, 0.6])), 0.5 * np.log(0.01)]
)
WARFARIN_TIMES = np.array([0.5, 1, 2, 6, 24, 36, 72, 120.0])


def warfarin(times=WARFARIN_TIMES, dose=70.0) -> Problem:
    t = torch.from_numpy(np.asarray(times, dtype=float))

    def concentration(z: torch.Tensor) -> torch.Tensor:
        CL, V, ka = z[:, 0:1], z[:, 1:2], z[:, 2:3]
        k = CL / V
        return dose * ka / (V * (ka - k)) * (torch.exp(-k * t) - torch.exp(-ka * t))

    return Problem(
        np.zeros((1, len(t))),
        concentration,
        lognormal_law(["CL", "V", "KA"]),
        Noise(IsotropicNoise(len(t)), Size("proportional")),
        np.full(7, 0.5),
        stage="design",
    )


LINE_TRUTH = TRUTH
