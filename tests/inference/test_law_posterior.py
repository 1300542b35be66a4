"""The posterior of law and noise, against grids and quadrature."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from slopes import slopes
from tiers import parameters

from benchmarks.few_systems import Grid, LayoutLikelihood, layout
from popinv.errors import ConfigError
from popinv.inference.density.problem import Problem
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.uncertainty.law_posterior import (
    ChainSettings,
    LawPosterior,
    PosteriorDensity,
    _corrected,
    sample_law,
)
from popinv.population.constraints import POSITIVE
from popinv.population.laws.gaussian import lognormal_law
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.population.priors.prior import (
    EntryPriors,
    LogDensity,
    Prior,
    StatedPrior,
    half_student,
    lognormal,
)

# Looked for and not imported: JAX takes a second, also where its tests are not run.
pytestmark = pytest.mark.skipif(find_spec("numpyro") is None, reason="numpyro is not installed")

START = np.array([1.0, np.log(0.8), np.log(0.5)])
FEW, MANY = ChainSettings(chains=2, kept=60, warmup=60), ChainSettings(chains=4, kept=500)


def default_prior(
    problem: Problem, start: np.ndarray, deviation: LogDensity | None = None
) -> Prior:
    """Return half-Student-t priors of both positive parameters, or another one of the first."""
    of_deviation, of_noise = (
        half_student(4.0, 2.5 * x, POSITIVE.ends) for x in np.exp(start[1:]).tolist()
    )
    stated = EntryPriors(
        np.array([1, 2]), (POSITIVE, POSITIVE), (deviation or of_deviation, of_noise)
    )
    return Prior.of(problem.law, problem.noise, StatedPrior((stated,)))


def levels(ratio: float) -> np.ndarray:
    """Return six systems whose mean square between them is a multiple of the one within them."""
    rng = np.random.default_rng(3)
    within = 0.5 * rng.standard_normal((6, 3))
    within -= within.mean(axis=1, keepdims=True)
    square = (within**2).sum() / 12
    between = rng.standard_normal(6)
    between = (between - between.mean()) / between.std(ddof=1) * np.sqrt(ratio * square / 3)
    return 1 + between[:, None] + within


def log_density(y: np.ndarray, p: np.ndarray) -> float:
    """Return the log posterior of m, log s and log sigma, up to a constant, by dense matrices."""
    m, u, v = p
    width = y.shape[1]
    covariance = np.exp(2 * u) + np.exp(2 * v) * np.eye(width)
    residual = y - m
    squares = np.einsum("ni,ij,nj", residual, np.linalg.inv(covariance), residual)
    value = -0.5 * (squares + len(y) * np.linalg.slogdet(covariance)[1])
    for place, start in ((u, 0.8), (v, 0.5)):
        value += place - 2.5 * np.log1p((np.exp(place) / (2.5 * start)) ** 2 / 4)
    return float(value)


def test_the_target_is_the_density_in_closed_form():
    y = levels(3.0)
    problem = layout(y)
    target = PosteriorDensity.about(
        problem, START, default_prior(problem, START), MarginalSettings()
    )
    target = target.preconditioned()
    rng = np.random.default_rng(1)
    places = rng.standard_normal((6, 3))
    assert target.closed
    apart = [log_density(y, target.parameters(q)) + target(q)[0] for q in places]
    np.testing.assert_allclose(apart, apart[0], atol=1e-8)
    for q in places[:2]:
        slope = slopes(lambda at: target(at)[0], q, 1e-5)
        np.testing.assert_allclose(target(q)[1], slope, rtol=1e-5, atol=1e-6)
    by_hand = replace(target, likelihood=LayoutLikelihood(y))
    for q in places:
        assert by_hand(q)[0] == pytest.approx(target(q)[0], abs=1e-8)
        np.testing.assert_allclose(by_hand(q)[1], target(q)[1], atol=5e-6)
    # At the mode the gradient vanishes, and the curvature is the identity.
    np.testing.assert_allclose(target(np.zeros(3))[1], 0.0, atol=1e-2)
    curvature = slopes(lambda q: target(q)[1], np.zeros(3), 1e-3)
    np.testing.assert_allclose(curvature, np.eye(3), atol=0.02)


def test_a_stated_prior_counts_once_and_alone_for_its_parameter():
    y = levels(3.0)
    # A lognormal density of the standard deviation is a normal one of its logarithm.
    density = lognormal(-0.3, 0.4, POSITIVE.ends)
    stated = StatedPrior((EntryPriors(np.array([1]), (POSITIVE,), (density,)),))
    # The likelihood of an estimate has the stated priors.
    problem = replace(layout(y), stated_prior=stated)
    prior = default_prior(problem, START, density)
    target = PosteriorDensity.about(problem, START, prior, MarginalSettings())
    rng = np.random.default_rng(2)
    apart = []
    for q in 0.5 * rng.standard_normal((6, 3)):
        p = target.parameters(q)
        half_student = p[1] - 2.5 * np.log1p((np.exp(p[1]) / (2.5 * 0.8)) ** 2 / 4)
        normal = -0.5 * ((p[1] + 0.3) / 0.4) ** 2
        apart.append(log_density(y, p) - half_student + normal + target(q)[0])
        slope = [(target(q + s)[0] - target(q - s)[0]) / 2e-5 for s in 1e-5 * np.eye(3)]
        np.testing.assert_allclose(target(q)[1], slope, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(apart, apart[0], atol=1e-8)


@pytest.mark.full
def test_a_normal_density_is_sampled():
    from popinv.inference.uncertainty.numpyro_sampler import sample

    deviation = np.array([1.0, 0.1, 5.0])

    def energy(q):
        return float(np.sum((q / deviation) ** 2) / 2), q / deviation**2

    # The sampler of the test below, which is compiled once.
    chain = sample(energy, np.zeros(3), seed=1, warmup=FEW.warmup, samples=250, tree_depth=8)
    assert chain.positions.shape == (250, 3)
    assert chain.divergences == 0
    # With some 150 effective draws a deviation is good to 6 %, a mean to 8 % of it.
    np.testing.assert_allclose(chain.positions.std(axis=0), deviation, rtol=0.2)
    np.testing.assert_allclose(chain.positions.mean(axis=0) / deviation, 0.0, atol=0.3)
    assert np.all(np.abs(chain.split_r_hat - 1) < 0.05)


@pytest.mark.full
@parameters("ratio, settings", [(0.7, FEW)], full=[(0.7, MANY), (6.0, MANY)])
def test_draws_have_the_moments_and_the_interval_of_a_grid(ratio, settings):
    """With the ratio 0.7, the likelihood has its maximum at a deviation of zero."""
    y = levels(ratio)
    problem = layout(y)
    answer = START if ratio > 1 else np.array([1.0, -10.0, np.log(0.5)])
    prior = default_prior(problem, START)
    likelihood = LayoutLikelihood(y)
    found = sample_law(problem, answer, prior, settings, likelihood=likelihood)
    assert settings is FEW or found.reason(("mean", "deviation", "noise")) == ""
    assert np.all(found.r_hat < 1.05)
    draws, grid = found.p.reshape(-1, 3), Grid(y, np.exp(START[1:]))
    means, deviations = grid.moments()
    errors = deviations / np.sqrt(found.effective)
    assert np.all(np.abs(draws.mean(axis=0) - means) < 3.5 * errors)
    # log s has an exponential tail towards zero, whose weight many draws are needed for.
    apart = (draws.std(axis=0) / deviations - 1)[[0, 2]]
    # Given the deviations, the mean is normal: of few systems it has heavy tails.
    variance = grid.error**2
    kurtosis = 3 * (grid.weight * variance**2).sum() / (grid.weight * variance).sum() ** 2
    excess = np.array([kurtosis - 1, 2.0]) / 4
    assert np.all(np.abs(apart) < 4 * np.sqrt(excess / found.effective[[0, 2]]))
    # The shares of the draws below the quantiles of the grid.
    levels_of = (0.025, 0.25, 0.5, 0.75, 0.975)
    for level, ends in zip(levels_of, grid.quantiles(levels_of).T, strict=True):
        below = (draws < ends).mean(axis=0)
        # The tails mix more slowly than the bulk.
        errors = np.sqrt(level * (1 - level) / (found.effective / 2))
        assert np.all(np.abs(below - level) < 4 * errors)
    exact = [
        log_density(y, p)
        - log_density(y, START)
        - prior.value(p, jacobian=True)
        + prior.value(START, jacobian=True)
        for p in found.p[0, :5]
    ]
    at_start = likelihood(START)
    own = found.log_likelihood[0, :5].sum(axis=1) - at_start.log_likelihood.sum()
    np.testing.assert_allclose(own, exact, atol=1e-8)


def decays(z: torch.Tensor) -> torch.Tensor:
    """Return exp(-z t) at four times."""
    return torch.exp(-z * torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64))


@pytest.mark.full
def test_weights_correct_another_density_to_the_exact_one_with_few_draws():
    """The chains' density is a normal one, and each integral has 16 draws."""
    rng = np.random.default_rng(5)
    z = np.exp(-0.3 + 0.5 * rng.standard_normal((6, 1)))
    y = decays(torch.from_numpy(z)).numpy() + 0.1 * rng.standard_normal((6, 4))
    problem = Problem(
        y, decays, lognormal_law(["rate"]), IsotropicNoise(4), np.full(3, 0.5), seed=3
    )
    nodes = np.linspace(-6, 6, 121)
    weights = np.exp(-0.5 * nodes**2) / np.exp(-0.5 * nodes**2).sum()

    def log_likelihood(p: np.ndarray) -> np.ndarray:
        rates = np.exp(p[:, :1] + np.exp(p[:, 1:2]) * nodes)
        g = np.exp(-rates[..., None] * np.array([0.5, 1.0, 2.0, 3.0]))
        total = np.zeros(len(p))
        for row in y:
            misfit = ((row - g) ** 2).sum(axis=2) * np.exp(-2 * p[:, 2:])
            logs = np.log(weights) - 0.5 * misfit - 4 * p[:, 2:]
            total += np.logaddexp.reduce(logs, axis=1)
        return total

    centre, deviations = np.array([-0.3, -0.6, -2.1]), np.array([0.25, 0.4, 0.25])
    drawn = centre + deviations * rng.standard_normal((1, 150, 3))

    def normal(p: np.ndarray, *_: object) -> SimpleNamespace:
        squares = (((p - centre) / deviations) ** 2).sum()
        return SimpleNamespace(log_likelihood=np.array([-0.5 * squares]))

    target = PosteriorDensity.about(
        problem, centre, default_prior(problem, centre), MarginalSettings(draws=16)
    )
    assert not target.closed
    target = replace(target, likelihood=normal)
    p, each, share = _corrected(target, drawn, np.random.default_rng(2))
    assert each.shape == (1, 150, 6)
    other = centre + deviations * np.random.default_rng(9).standard_normal((4000, 3))
    log_weight = log_likelihood(other) + 0.5 * (((other - centre) / deviations) ** 2).sum(axis=1)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    mean = weight @ other
    deviation = np.sqrt(weight @ (other - mean) ** 2)
    errors = deviation * np.sqrt(1 / (150 * share) + (weight**2).sum())
    assert 0.2 < share < 0.98
    # The normal density's own mean is elsewhere.
    assert np.max(np.abs(centre - mean) / errors) > 6
    assert np.all(np.abs(p[0].mean(axis=0) - mean) < 3.5 * errors)
    np.testing.assert_allclose(p[0].std(axis=0), deviation, rtol=4 / np.sqrt(300 * share))


def test_r_hat_and_effective_sizes_are_those_of_arviz(arviz):
    from popinv.inference.uncertainty.numpyro_sampler import convergence

    rng = np.random.default_rng(4)
    noise = rng.standard_normal((4, 200, 2))
    draws = np.empty_like(noise)
    draws[:, 0] = noise[:, 0]
    for t in range(1, 200):
        draws[:, t] = [0.7, -0.2] * draws[:, t - 1] + noise[:, t]
    draws[..., 0] = np.exp(draws[..., 0])
    r_hat, effective = convergence(draws)
    for k in range(2):
        assert effective[k] == pytest.approx(float(arviz.ess(draws[..., k])), rel=0.03)
    assert np.all((r_hat > 0.99) & (r_hat < 1.1))
    assert convergence(draws + np.arange(4)[:, None, None])[0].min() > 1.2


def test_poor_draws_are_told():
    poor = LawPosterior(
        np.zeros((2, 10, 2)),
        np.zeros((2, 10, 3)),
        np.array([1.3, 1.0]),
        np.array([40.0, 12.0]),
        0.3,
        0,
        0,
    )
    reason = poor.reason(("mean", "noise"))
    assert "split R-hat of mean is 1.3 (limit 1.02)" in reason
    assert "noise has an effective sample size of 12 (at least 200)" in reason
    assert "only 30% of the draws count after the correction" in reason
    good = replace(poor, r_hat=np.ones(2), effective=np.full(2, 900.0), effective_share=1.0)
    assert good.reason(("mean", "noise")) == ""


def test_without_numpyro_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "popinv.inference.uncertainty.numpyro_sampler", None)
    problem = layout(levels(3.0))
    with pytest.raises(ConfigError, match="the posterior of the law needs numpyro"):
        sample_law(problem, START, default_prior(problem, START))
