"""Noise in proportion to a signal that is zero somewhere, against quadrature.

The density of an observation vanishes where its signal is zero, so that the posterior of a system
has parts that no search connects; and an observation near zero fixes its signal to its own size.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import logsumexp
from scipy.stats import norm
from tiers import parameters

from popinv.inference.density.problem import Problem
from popinv.inference.integrate.integrals import MarginalSettings
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.terms import Noise, Size
from popinv.population.noise.unstructured import IsotropicNoise

TIMES, SIGMA = np.linspace(0, 1, 5), 0.1
TRUTH = np.array([1.0, -1.0, np.log(0.5), np.log(0.6), np.log(SIGMA)])


def line(z: torch.Tensor) -> torch.Tensor:
    return z[:, :1] + z[:, 1:] * torch.as_tensor(TIMES)


def observed() -> np.ndarray:
    """Return 40 lines, of which many cross zero; two observations lie very near it."""
    rng = np.random.default_rng(0)
    g = rng.normal(1.0, 0.5, (40, 1)) + rng.normal(-1.0, 0.6, (40, 1)) * TIMES
    g[0] += 2e-4 - g[0, 3]
    g[1] += -1e-3 - g[1, 2]
    return g * (1 + SIGMA * rng.standard_normal(g.shape))


def exact(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return log p(y_n), by sums over the logarithms of the signals at two of the times.

    They are those of the smallest observation and of the end that is farther from it. A signal of
    the other sign than its observation has no probability: it is ten deviations off.
    """
    found, axis = [], np.linspace(-1, 1, 161)
    sigma = np.exp(p[4])
    for row in y:
        k = int(np.abs(row).argmin())
        end = 0 if k > 2 else 4
        centre, width = np.zeros(2), np.full(2, np.log(3.0))
        for _ in range(4):
            logs = centre[:, None] + width[:, None] * axis
            g_k, g_end = row[k] * np.exp(logs[0])[:, None], row[end] * np.exp(logs[1])[None]
            slope = (g_end - g_k) / (TIMES[end] - TIMES[k])
            level = g_k - slope * TIMES[k]
            log = norm.logpdf(level, p[0], np.exp(p[2])) + norm.logpdf(slope, p[1], np.exp(p[3]))
            for y_j, t in zip(row, TIMES, strict=True):
                g = level + slope * t
                log += norm.logpdf(y_j, g, sigma * np.abs(g))
            # The area of (level, slope) for that of the logarithms.
            log += np.log(np.abs(g_k * g_end)) - np.log(abs(TIMES[end] - TIMES[k]))
            value = logsumexp(log) + np.log(np.prod(width * (axis[1] - axis[0])))
            mass = np.exp(log - logsumexp(log))
            each = [mass.sum(axis=1), mass.sum(axis=0)]
            centre = np.array([w @ x for w, x in zip(each, logs, strict=True)])
            spread = [np.sqrt(w @ (x - c) ** 2) for w, x, c in zip(each, logs, centre, strict=True)]
            width = np.maximum(8 * np.array(spread), 3 * width * (axis[1] - axis[0]))
        found.append(value)
    return np.array(found)


@parameters("move", [0.02], full=[0.0])
def test_values_are_those_of_quadrature_also_from_modes_nearby(move):
    """A move of the law's mean takes signals across zero from where their modes were."""
    noise = Noise(IsotropicNoise(5), Size("proportional"))
    y = observed()
    problem = Problem(y, line, normal_law(["a", "b"]), noise, np.full(5, 0.5), seed=1)
    near = likelihood_near(problem, TRUTH, MarginalSettings(draws=1024))
    p = TRUTH + move * np.array([1.0, -1.0, 0.0, 0.0, 0.0])
    found = near(p, near.here.memory) if move else near.here
    error = np.sqrt(np.mean(found.value_error**2))
    np.testing.assert_allclose(found.log_likelihood, exact(y, p), atol=5 * error + 0.02)
