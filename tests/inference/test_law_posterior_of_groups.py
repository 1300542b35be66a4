"""The posterior of law and noise with nested and with crossed levels, against dense covariances."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from popinv.inference.density.problem import Problem
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.uncertainty import law_posterior
from popinv.inference.uncertainty.law_posterior import PosteriorDensity
from popinv.observation_files.trees import MemberTree
from popinv.population.constraints import POSITIVE, REAL
from popinv.population.laws.levels import LevelLaw
from popinv.population.members import member_simulator
from popinv.population.noise.terms import replicated_noise
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.population.priors.prior import EntryPriors, Prior, StatedPrior, half_student

NESTED = MemberTree(("batch", "specimen"), ((0, 0, 0), (0, 1, 2)))
ROWS, COLUMNS = np.divmod(np.arange(30), 5)
CROSSED = MemberTree(("rater", "specimen"), (tuple(ROWS.tolist()), tuple(COLUMNS.tolist())))
VALUES = np.array([1.0, *np.log([0.8, 0.6, 0.4])])
SCALES = 2.5 * np.exp(VALUES[1:])


def twice(z: torch.Tensor) -> torch.Tensor:
    """Return two observations of each member."""
    return z.repeat(1, 2)


def problem_of(tree: MemberTree, groups: int) -> tuple[Problem, Prior]:
    rng, members = np.random.default_rng(2), tree.members
    levels = {name: ["a"] for name in tree.levels}
    law = LevelLaw(("a",), [REAL], levels, tree=tree)
    omega = torch.from_numpy(rng.standard_normal((groups, law.d_omega)))
    simulate = member_simulator(twice, members, 1)
    y = simulate(law.sample(torch.from_numpy(VALUES[:3]), omega)).numpy()
    y = y + 0.4 * rng.standard_normal(y.shape)
    noise = replicated_noise(IsotropicNoise(2), members)
    problem = Problem(y, simulate, law, noise, np.full(4, 0.5))
    each = tuple(half_student(4.0, scale, POSITIVE.ends) for scale in SCALES.tolist())
    priors = EntryPriors(np.array([1, 2, 3]), (POSITIVE,) * 3, each)
    return problem, Prior.of(law, noise, StatedPrior((priors,)))


def exact(problem: Problem) -> Callable[[np.ndarray], float]:
    """Return the log posterior of the mean and three log deviations, by dense covariances."""
    outer, inner = (np.repeat(nodes, 2) for nodes in problem.law.tree.nodes)
    alike = [np.equal.outer(each, each).astype(float) for each in (outer, inner)]

    def log_density(p: np.ndarray) -> float:
        a, b, s = np.exp(2 * p[1:])
        covariance = a * alike[0] + b * alike[1] + s * np.eye(len(outer))
        value = multivariate_normal.logpdf(problem.data - p[0], None, covariance).sum()
        ratio = np.exp(p[1:]) / SCALES
        return float(value + (p[1:] - 2.5 * np.log1p(ratio**2 / 4)).sum())

    return log_density


CASES = {"nested": (NESTED, 8), "crossed": (CROSSED, 1)}


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_the_target_is_the_exact_posterior_of_groups(name, closed, monkeypatch):
    problem, prior = problem_of(*CASES[name])
    if not closed:
        monkeypatch.setattr(law_posterior, "is_linear", lambda *_: False)
    target = PosteriorDensity.about(problem, VALUES, prior, MarginalSettings())
    assert target.closed == closed
    log_density, rng = exact(problem), np.random.default_rng(1)
    places = 0.3 * rng.standard_normal((4, 4))
    apart = [log_density(target.parameters(q)) + target(q)[0] for q in places]
    np.testing.assert_allclose(apart, apart[0], atol=1e-6)
    for q in places[:2]:
        ends = [[log_density(target.parameters(q + t)) for t in (s, -s)] for s in 1e-4 * np.eye(4)]
        slope = [(low - high) / 2e-4 for high, low in ends]
        np.testing.assert_allclose(target(q)[1], slope, atol=1e-3)


@pytest.mark.parametrize("name", CASES)
def test_chains_start_about_the_mode_and_the_curvature_of_scipy(name):
    problem, prior = problem_of(*CASES[name])
    target = PosteriorDensity.about(problem, VALUES, prior, MarginalSettings()).preconditioned()
    log_density = exact(problem)
    mode = minimize(lambda p: -log_density(p), VALUES, method="BFGS").x
    steps = 0.02 * np.eye(4)

    def curvature(a: np.ndarray, b: np.ndarray) -> float:
        ends = [(i * j, log_density(mode + i * a + j * b)) for i in (1, -1) for j in (1, -1)]
        return -sum(sign * value for sign, value in ends) / (4 * 0.02**2)

    hessian = np.array([[curvature(a, b) for b in steps] for a in steps])
    deviations = np.sqrt(np.diag(np.linalg.inv(hessian)))
    assert np.abs((target.centre - mode) / deviations).max() < 0.01
    covariance = target.root @ target.root.T
    apart = (covariance - np.linalg.inv(hessian)) / np.outer(deviations, deviations)
    np.testing.assert_allclose(apart, 0.0, atol=0.02)
