"""Whatever can be stated of systems and noise can be combined: against quadrature with SciPy.

The densities here are written again, from SciPy's, for one system after the other. The integrals
are sums over a grid of both standard normal numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from popinv.inference.conditions import Conditions
from popinv.inference.likelihood.integrals import MarginalSettings
from popinv.inference.likelihood.marginal_near import likelihood_near
from popinv.inference.problem import Problem
from popinv.inference.replicated import replicated_simulator
from popinv.methods.posterior.density import Densities
from popinv.population.known import Known
from popinv.population.laws.normal.law import NormalLaw
from popinv.population.limits import Limits
from popinv.population.noise.autoregressive.noise import AutoregressiveNoise
from popinv.population.noise.base import NoiseModel
from popinv.population.noise.blocks.noise import BlockNoise
from popinv.population.noise.channels.noise import ChannelNoise
from popinv.population.noise.diagonal.noise import DiagonalNoise
from popinv.population.noise.full.noise import FullNoise
from popinv.population.noise.isotropic.noise import IsotropicNoise
from popinv.population.noise.kernel.noise import KernelNoise
from popinv.population.noise.replicated import replicated_noise
from popinv.population.noise.varying import VaryingNoise

COUNT, ENTRIES, DRAWS = 5, 4, 2048
TIMES = np.array([0.0, 0.5, 1.0, 2.0])
NOISES: dict[str, NoiseModel] = {
    "isotropic": IsotropicNoise(ENTRIES),
    "diagonal": DiagonalNoise(ENTRIES),
    "kernel": KernelNoise(TIMES[:, None], "exponential", False),
    "autoregressive": AutoregressiveNoise(1, ENTRIES, 1),
    "blocks": BlockNoise(DiagonalNoise(2), 2, 1),
    "channels": ChannelNoise(1, 2, TIMES[:2], True),
    "full": FullNoise(ENTRIES, 0.0),
}
ERRORS = ("constant", "proportional", "combined", "student")
INDEPENDENT = ("isotropic", "diagonal")
CENSORED = ("below a limit", "above a limit", "between values", "some of all")
SEEN = ("complete", "gaps", *CENSORED)
# Nodes of an integral over one entry of the noise.
NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)
LAW = NormalLaw(
    ["level", "slope"], groups=[["level", "slope"]], covariates=["age"], effects=[("slope", "age")]
)
PLAIN_LAW = NormalLaw(["level", "slope"])
# The grid of each standard normal number. Two more are about the posterior and along its axes; the
# error of the last one is far below that of the draws.
GRID = np.linspace(-7.0, 7.0, 101)


@dataclass(frozen=True)
class Case:
    """What is stated of systems and noise."""

    noise: str
    errors: str
    known: bool
    seen: str
    replicates: int

    @property
    def allowed(self) -> bool:
        """Whether the combination has a meaning."""
        tails = self.noise not in INDEPENDENT and self.errors == "student"
        return not (self.censored and tails)

    @property
    def censored(self) -> bool:
        """Whether observations have limits."""
        return self.seen in CENSORED

    def __str__(self) -> str:
        known = "known" if self.known else "alike"
        return f"{self.noise}, {self.errors}, {known}, {self.seen}, {self.replicates}"


CASES = [
    case
    for parts in product(NOISES, ERRORS, (False, True), SEEN, (1, 2))
    if (case := Case(*parts)).allowed
]


def simulate(x: torch.Tensor) -> torch.Tensor:
    """Return level + slope x dose x time for the inputs (level, slope, dose); without it, 1."""
    dose = x[:, 2:] if x.shape[1] > 2 else torch.ones(len(x), 1, dtype=x.dtype)
    return 3 + x[:, :1] + x[:, 1:2] * dose * torch.from_numpy(TIMES)


def problem_of(case: Case) -> tuple[Problem, np.ndarray]:
    """Return the problem of some systems, and law and noise."""
    rng = np.random.default_rng(7)
    single = NOISES[case.noise]
    if case.errors == "student":
        single = VaryingNoise(single, "constant", heavy_tails=True)
    elif case.errors != "constant" or case.censored:
        single = VaryingNoise(single, case.errors)
    noise = replicated_noise(single, case.replicates)
    law, width = (LAW if case.known else PLAIN_LAW), case.replicates * ENTRIES
    known = None
    if case.known:
        doses = rng.choice([0.5, 1.0, 2.0], (COUNT, 1))
        known = Known.of_arrays(doses, np.round(rng.standard_normal((COUNT, 1)), 1))
    scale, present, fill, limits = None, None, None, None
    if case.seen in ("gaps", "some of all"):
        scale = rng.uniform(0.7, 1.5, COUNT)
        present, fill = rng.random((COUNT, width)) < 0.7, np.zeros(width)
        present[:, 0] = True
    elif case.censored and case.known:
        scale = rng.uniform(0.7, 1.5, COUNT)
    # Standard deviations of a fifth or so, correlations of .3, some seven degrees of freedom.
    gamma = np.where(noise.correlations, 0.3, -1.6)
    gamma[[name == "degrees_of_freedom" for name in noise.names]] = 1.6
    alpha = np.array([0.3, -0.5, -0.6, -0.9, 0.2, 0.4])[: len(law.names)]
    p = np.concatenate([alpha, gamma])
    simulator = replicated_simulator(simulate, case.replicates)
    omega, e = (torch.from_numpy(rng.standard_normal((COUNT, n))) for n in (2, width))
    some = Conditions.stated((COUNT, width), scale=scale, known=known)
    blank = Problem(
        np.zeros((COUNT, width)), simulator, law, noise, np.full(len(p), 0.5), seed=1,
        conditions=some,
        replicates=case.replicates,
    )  # fmt: skip
    y = blank.model(torch.from_numpy(p), omega, e, np.arange(COUNT)).numpy()
    if case.censored:
        limits = limits_of(case, y, rng)
        y = limits.held(torch.from_numpy(y)).numpy()
    conditions = Conditions.stated((COUNT, width), scale, present, fill, known, limits)
    return replace(blank, data=y, conditions=conditions), p


def limits_of(case: Case, y: np.ndarray, rng: np.random.Generator) -> Limits:
    """Return limits of observations (N, d_y), of correlated ones for two entries of a replicate."""
    middle, ends = np.full(y.shape, np.median(y)), {}
    if case.seen == "below a limit":
        ends = {"lower": middle}
    elif case.seen == "above a limit":
        ends = {"upper": middle + 0.2, "most": middle + 0.9}
    elif case.seen == "between values":
        width = rng.uniform(0.2, 0.6, y.shape)
        ends = {"least": y - 0.4 * width, "lower": y + 0.6 * width}
    else:
        lower = rng.uniform(-0.5, 0.3, y.shape) + middle
        ends = {"lower": lower, "upper": lower + rng.uniform(0.3, 1.0, y.shape)}
    limits = Limits.of_arrays(y.shape, **ends)
    if case.noise in INDEPENDENT:
        return limits
    chosen, none = np.isin(np.arange(y.shape[1]) % ENTRIES, (1, 2)), Limits.of_arrays(y.shape)
    pairs = zip(limits.arrays, none.arrays, strict=True)
    return Limits(*(np.where(chosen, own, other) for own, other in pairs))


def interval(law: stats.rv_continuous, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return log P(a < u < b) of a symmetric law, in the lower tail."""
    a, b = np.where(a > 0, -b, a), np.where(a > 0, -a, b)
    return np.log(np.maximum(law.cdf(b) - law.cdf(a), 1e-300))


def probability(low: np.ndarray, high: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return log P(low < v < high) (k,) of one or two normal numbers v of mean zero."""
    size = np.sqrt(np.diag(covariance))
    low, high = np.clip(low / size, -9, 9), np.clip(high / size, -9, 9)
    if len(size) == 1:
        return interval(stats.norm, low[:, 0], high[:, 0])
    rho = covariance[0, 1] / size.prod()
    half = (high[:, :1] - low[:, :1]) / 2
    x = low[:, :1] + half * (NODES + 1)
    ends = [(end[:, 1:] - rho * x) / np.sqrt(1 - rho**2) for end in (high, low)]
    inner = stats.norm.cdf(ends[0]) - stats.norm.cdf(ends[1])
    density = WEIGHTS * stats.norm.pdf(x) * inner
    return np.log(np.maximum((half * density).sum(axis=1), 1e-300))


def log_density(case: Case, problem: Problem, p: np.ndarray, n: int, g: np.ndarray) -> np.ndarray:
    """Return log p(y_n | g) for signals g (k, d_y) of one replicate, by SciPy."""
    single, gamma = NOISES[case.noise], p[len(problem.law.names) :]
    own = torch.from_numpy(gamma[: len(single.names)])
    covariance = single.covariance(own).numpy()
    sigma = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(sigma, sigma)
    extra = gamma[len(single.names) :]
    d = np.broadcast_to(sigma, g.shape)
    if case.errors == "proportional":
        d = sigma * np.abs(g)
    elif case.errors == "combined":
        d = np.sqrt(sigma**2 + np.exp(extra[0]) ** 2 * g**2)
    conditions, total = problem.conditions, np.zeros(len(g))
    d = conditions.scale[n] * d
    for replicate in range(case.replicates):
        columns = slice(replicate * ENTRIES, (replicate + 1) * ENTRIES)
        y, seen = problem.data[n, columns], conditions.present[n, columns]
        low, high = y, y
        if conditions.limited:
            low, high = (end[n, columns] for end in conditions.limits.ends(problem.data))
        censored, freedom = seen & (low < high), 2 + np.exp(extra[-1]) if len(extra) else 0.0
        a, b = ((end[censored] - g[:, censored]) / d[:, censored] for end in (low, high))
        if case.errors == "student":
            width = np.sqrt((freedom - 2) / freedom)
            total += interval(stats.t(freedom), a / width, b / width).sum(axis=1)
        elif case.noise in INDEPENDENT:
            total += interval(stats.norm, a, b).sum(axis=1)
        elif censored.any():
            among, cross = seen & ~censored, correlation[np.ix_(censored, seen & ~censored)]
            gain = cross @ np.linalg.inv(correlation[np.ix_(among, among)])
            mean = ((y - g) / d)[:, among] @ gain.T
            rest = correlation[np.ix_(censored, censored)] - gain @ cross.T
            total += probability(a - mean, b - mean, rest)
        seen = seen & ~censored
        factor = np.linalg.cholesky(correlation[np.ix_(seen, seen)])
        r = np.linalg.solve(factor, ((y - g) / d)[:, seen].T).T
        if case.errors == "student":
            each = stats.t.logpdf(r, freedom, scale=width)
        else:
            each = stats.norm.logpdf(r)
        total += each.sum(axis=1) - np.log(d[:, seen]).sum(axis=1)
        total -= np.log(np.diag(factor)).sum()
    return total


def by_quadrature(case: Case, problem: Problem, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log p(y_n) (N,), and the means of the posteriors (N, 2)."""
    logs, means = zip(*(of_system(case, problem, p, n) for n in range(COUNT)), strict=True)
    return np.array(logs), np.array(means)


def of_system(case: Case, problem: Problem, p: np.ndarray, n: int) -> tuple[float, np.ndarray]:
    """Return log p(y_n), and the mean of the posterior."""
    alpha = torch.from_numpy(p[: len(problem.law.names)])
    known = problem.known.of(np.full(len(GRID) ** 2, n))
    at = np.stack([each.ravel() for each in np.meshgrid(GRID, GRID, indexing="ij")], axis=1)
    centre, factor, step = np.zeros(2), np.eye(2), GRID[1] - GRID[0]
    for _ in range(3):
        omega = centre + at @ factor.T
        g = problem.signal(alpha, torch.from_numpy(omega), known).numpy()[:, :ENTRIES]
        joint = log_density(case, problem, p, n, g) + stats.norm.logpdf(omega).sum(axis=1)
        value = logsumexp(joint) + np.log(step**2 * np.linalg.det(factor))
        weights = np.exp(joint - logsumexp(joint))
        mean = weights @ omega
        spread = (weights[:, None] * (omega - mean)).T @ (omega - mean)
        # The grid may be too coarse to see the spread.
        spread += (0.6 * step) ** 2 * factor @ factor.T
        centre, factor = mean, np.linalg.cholesky(spread)
    return float(value), mean


def some_quick(cases: list[Case], each: int) -> list:
    """Return the cases, of which all but one of so many are slow."""
    slow = pytest.mark.slow
    return [
        pytest.param(case, id=str(case), marks=[slow] if place % each else [])
        for place, case in enumerate(cases)
    ]


@pytest.mark.parametrize("case", some_quick(CASES, 15))
def test_likelihood_and_posterior_are_those_of_quadrature(case):
    problem, p = problem_of(case)
    exact, means = by_quadrature(case, problem, p)
    here = likelihood_near(problem, p, MarginalSettings(draws=DRAWS)).here
    # The errors that are told are draws of the true ones.
    told, found = here.value_error, here.log_likelihood - exact
    assert np.sqrt(np.mean(found**2)) < 4 * np.sqrt(np.mean(told**2)) + 2e-3
    errors = np.sqrt(here.variance / (here.effective_share * DRAWS)[:, None])
    assert np.all(np.abs(here.mean - means) < 5 * errors)
    # The density that posteriors are sampled from, at two points.
    densities, systems = Densities.at(problem, p), torch.arange(COUNT)
    omega = torch.from_numpy(np.random.default_rng(1).standard_normal((2, COUNT, 2)))
    ours = densities.log(omega[0], systems) - densities.log(omega[1], systems)
    for n in range(COUNT):
        known = problem.known.of(np.full(2, n))
        alpha = torch.from_numpy(p[: len(problem.law.names)])
        g = problem.signal(alpha, omega[:, n], known).numpy()[:, :ENTRIES]
        first, second = (
            log_density(case, problem, p, n, g) - 0.5 * (omega[:, n] ** 2).sum(1).numpy()
        )
        # Two censored entries that are correlated have the error of the rule for their integral.
        rule = 0.01 if case.censored and case.noise not in INDEPENDENT else 1e-8
        assert float(ours[n]) == pytest.approx(first - second, abs=rule)
    for invariant in densities.invariants(problem, p):
        assert invariant.difference <= invariant.tolerance, invariant


@pytest.mark.parametrize("case", some_quick(CASES[::11], 9))
def test_scores_are_the_derivatives_of_quadrature(case):
    problem, p = problem_of(case)
    here = likelihood_near(problem, p, MarginalSettings(draws=DRAWS)).here
    step = 1e-4
    for i in range(len(p)):
        shift = step * np.eye(len(p))[i]
        ends = [by_quadrature(case, problem, p + sign * shift)[0] for sign in (1, -1)]
        np.testing.assert_allclose(
            here.scores[:, i], (ends[0] - ends[1]) / (2 * step), atol=0.02, rtol=0.02
        )
