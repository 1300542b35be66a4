"""What is asked of systems with all that can be stated of them, against SciPy's densities.

The quick cases hold each use, and each pair of levels. All cases hold each pair of levels with each
use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from stated_systems import (
    ENTRIES,
    INDEPENDENT,
    by_quadrature,
    deviations,
    held,
    law_of,
    log_density,
    normal_log_densities,
    observed,
    problem_of,
    signals,
    simulate,
    use_cases,
)
from tables.combinations import INTERVAL, LIMITS, Cell, start_of_noise, study_of
from tiers import parameters

from popinv.baselines.hierarchical import Energy
from popinv.baselines.two_stage import first_design_prior, fit_systems
from popinv.config.loading import load
from popinv.evidence.stages.replicate_study import _Truth
from popinv.inference.answer.result import estimate_dataset, noise_covariance
from popinv.inference.checks.predictive import predictive
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.estimators.fit_pseudo import normal_log_densities as logs_of_draws
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.model_moments import matched_draws
from popinv.inference.integrate.penalty import penalty_at
from popinv.inference.uncertainty.law_posterior import PosteriorDensity
from popinv.methods.certificate.answer import contributions_of
from popinv.methods.federated.site import sites_of
from popinv.methods.groups.group_tests import pooled_optima
from popinv.methods.posterior.sampling import sample_posteriors
from popinv.methods.restarts.descents import fixed_losses
from popinv.methods.withdrawal.influence import influence_of
from popinv.methods.withdrawal.refit import Refitter
from popinv.population.constraints import REAL
from popinv.population.known import inputs
from popinv.population.priors.prior import EntryPriors, Prior, StatedPrior, normal
from popinv.seeds import standard_normal_rows
from popinv.threads import fixed_threads

GRID = np.linspace(-5.5, 5.5, 45)
# The moments of the quasi-likelihood are smooth in both normal numbers.
COARSE, FINE = np.linspace(-5, 5, 21), np.linspace(-5, 5, 31)
# Scores of single systems need a finer one where there is a limit.
FINEST = np.linspace(-5, 5, 61)
STEP = 1e-4

Check = Callable[[Cell], None]


def quiet(cell: Cell, count: int) -> tuple[Problem, np.ndarray]:
    """Return a problem whose noise is about as large under all errors, and law and noise."""
    return problem_of(cell, count, share=0.03, few=True)


def steady(cell: Cell, count: int, narrow: bool = False) -> tuple[Problem, np.ndarray]:
    """Return a problem that few systems determine, and law and noise.

    The share of the signal is held: moments do not tell it from the constant part.
    """
    problem, p = problem_of(cell, count, share=0.015, few=True, steady=True, narrow=narrow)
    fixed = [problem.d_alpha + i for i, n in enumerate(problem.noise.names) if n == "proportional"]
    return replace(problem, fixed=tuple(fixed)), p


def grid_of(cell: Cell) -> np.ndarray:
    """Return the grid of exact moments, which are less smooth where there is a limit."""
    return FINE if cell.seen in LIMITS else COARSE


def posterior(cell: Cell) -> None:
    problem, p = quiet(cell, 3)
    found = sample_posteriors(problem, p, chains=2, effective=50, most_moves=6000)
    _, means, spreads = by_quadrature(cell, problem, p)
    alpha = torch.from_numpy(p[: problem.d_alpha])
    for n in range(3):
        known = problem.known.of([n, n, n])
        # The law is linear in omega: at zero and along both axes.
        at = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
        z = inputs(problem.law, alpha, at, known)[:, :2].numpy()
        expected = z[0] + means[n] @ (z[1:] - z[0])
        draws = found.draws[n].reshape(-1, 2)
        errors = draws.std(axis=0) / np.sqrt(found.effective[n])
        assert np.all(np.abs(draws.mean(axis=0) - expected) < 5 * errors)
    assert spreads.max() < 1.1


def exact_scores(cell: Cell, problem: Problem, p: np.ndarray, finest: bool = False) -> np.ndarray:
    """Return the scores (N, n_p) of the quasi-likelihood with exact moments."""
    grid = FINEST if finest and problem.conditions.limited else grid_of(cell)

    def logs(at: np.ndarray) -> np.ndarray:
        return normal_log_densities(cell, problem, at, grid)

    here = logs(p)
    return np.stack([(logs(p + shift) - here) / STEP for shift in STEP * np.eye(len(p))], axis=1)


def of_other_draws(problem: Problem, p: np.ndarray, *count: int) -> np.ndarray:
    """Return the log densities (16, N) of the quasi-likelihood for other draws of the moments."""
    problem = problem.of_moments
    with fixed_threads():
        several = [replace(problem, seed=seed) for seed in range(100, 116)]
        return np.array([logs_of_draws(one, p, matched_draws(one, *count)) for one in several])


def agrees_but_for_draws(found: np.ndarray, others: np.ndarray, exact: np.ndarray) -> None:
    """Compare quasi-likelihoods (...,) with exact ones, with the scatter (16, ...) of draws."""
    scatter = others.std(axis=0, ddof=1)
    assert np.all(np.abs(found - exact) < 5 * scatter + 0.02)
    assert np.all(np.abs(others.mean(axis=0) - exact) < 5 * scatter / 4 + 0.02)


def withdrawal(cell: Cell) -> None:
    # Of 50 systems without two, some have no deviation or correlation of the noise that is likely.
    count = 150
    # Where all systems are alike, a wide law hides in which of the entries the noise is.
    problem, p = steady(cell, count, narrow=cell.known == "alike")
    fixed = problem.fixed
    if cell.known == "alike":
        # Only doses and scales of the noise tell its correlations from the spread of the law.
        fixed += tuple(problem.d_alpha + np.flatnonzero(~problem.noise.sizes))
    problem = replace(problem, fixed=fixed, stage="polish")
    estimate = fit_pseudo_likelihood(problem, [p])
    assert estimate.arrived
    attrs = {"estimator": "pseudo_likelihood", "through": "surrogate"}
    answer = estimate_dataset(problem, estimate, attrs)
    influence = influence_of(answer)
    gone = np.array([0, int(np.argmax(influence.sizes))])
    refitter = Refitter(problem, answer, influence, DescentSettings(), 32)
    found = refitter.without(gone)
    assert found.arrived
    assert influence.size(found.shift) > 0.3

    def gradient(of: Problem, at: np.ndarray) -> np.ndarray:
        return exact_scores(cell, of, at).sum(axis=0) - penalty_at(of, at).gradient

    # Between both answers, which have the errors of the same draws, the gradient with the exact
    # moments rises by so little that a Newton step is a small part of an error.
    rest = problem.of_systems(np.setdiff1d(np.arange(count), gone))
    left = gradient(rest, refitter.start + found.shift) - gradient(problem, refitter.start)
    moves = influence.standard_error > 0
    step = (estimate.bread @ left)[moves] / influence.standard_error[moves]
    assert np.abs(step).max() < 0.3


def groups(cell: Cell) -> None:
    problem, p = quiet(cell, 3)
    found = pooled_optima(problem, problem.split(p), [[0, 1, 2]])

    def log(omega: np.ndarray) -> np.ndarray:
        one = omega[None]
        each = [log_density(cell, problem, p, n, signals(problem, p, n, one))[0] for n in range(3)]
        return np.array(each)

    at = found.omega[0]
    slopes = [(log(at + s) - log(at - s)) / (2 * STEP) for s in STEP * np.eye(2)]
    # The optimum is found to a part of the deviation of the scores, whose variance is this.
    own = np.sqrt(np.diagonal(found.information[0], axis1=1, axis2=2))
    assert np.all(np.abs(found.scores[0] - np.transpose(slopes)) < 0.05 * own + 1e-3)
    # The pulls of the systems and of the population balance.
    assert np.all(np.abs(np.sum(slopes, axis=1) - at) < 0.05 * np.sqrt((own**2).sum(axis=0)))
    if cell.errors == "constant" and cell.seen not in LIMITS:
        information = expected_information(cell, problem, p)
        np.testing.assert_allclose(found.information[0], information, rtol=1e-6)


def expected_information(cell: Cell, problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return the information J^T C^-1 J (3, 2, 2) of systems under constant noise."""
    found = []
    for n in range(3):
        g = signals(problem, p, n, np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        slope, (d, correlation) = g[1:] - g[0], deviations(cell, p, g[:1])
        conditions, total = problem.conditions, np.zeros((2, 2))
        scale = conditions.scale[n]
        for copy in range(problem.replicates):
            seen = conditions.present[n, copy * ENTRIES : (copy + 1) * ENTRIES]
            covariance = scale**2 * (correlation * np.outer(d, d))[np.ix_(seen, seen)]
            total += slope[:, seen] @ np.linalg.solve(covariance, slope[:, seen].T)
        found.append(total)
    return np.array(found)


def federated(cell: Cell) -> None:
    problem, p = steady(cell, 12)
    parts = {str(i): problem.of_systems(rows) for i, rows in enumerate(np.split(np.arange(12), 3))}
    with fixed_threads():
        sites = sites_of(parts, 512)
        (whole,) = sites_of({"all": problem}, 512, sites[0].moments.groups)
        told = [site.told_likelihood(p, None, 0) for site in sites]
        quasi = [site.told_pseudo(p, None) for site in sites]
        pooled = whole.told_pseudo(p, None)
    value, error = (sum(float(each[key]) for each in told) for key in ("value", "square_error"))
    exact = by_quadrature(cell, problem, p)[0].sum()
    assert abs(value - exact) < 4 * np.sqrt(error) + 0.05
    for key in ("value", "score", "information"):
        size = np.abs(pooled[key]).max()
        total = sum(each[key] for each in quasi)
        np.testing.assert_allclose(total, pooled[key], rtol=1e-6, atol=1e-6 * size)
    exact = normal_log_densities(cell, problem, p, grid_of(cell)).sum()
    others = of_other_draws(problem, p, whole.moments.most, whole.moments.groups).sum(axis=1)
    agrees_but_for_draws(pooled["value"], others, exact)


def certificate(cell: Cell) -> None:
    problem, p = steady(cell, 40)
    reference, records = (problem.of_systems(np.arange(*ends)) for ends in ((0, 30), (30, 40)))
    with pytest.MonkeyPatch.context() as patch:
        # With many draws, the moments of groups with limits are nearly exact.
        patch.setattr("popinv.inference.integrate.model_moments._FEWEST_PAIRS", (100, 3000))
        found = contributions_of(p, replace(reference, stage="reference"), records, "distance", 32)
    public = penalty_at(records, found.reference).gradient / 10
    expected = (exact_scores(cell, records, found.reference, finest=True) - public) @ found.root
    assert np.linalg.norm(found.each - expected) < 0.1 * np.linalg.norm(expected)


def two_stage(cell: Cell) -> None:
    problem, p = quiet(cell, 4)
    alpha, gamma = problem.split(p)
    prior = first_design_prior(problem, alpha)
    fits = fit_systems(problem, gamma, prior, prior.mean.expand(4, -1).clone()).numpy()
    mean, deviation = prior.mean.numpy(), prior.deviation.numpy()
    for n in range(4):
        dose = problem.known.design[n].tolist()

        def loss(z: np.ndarray, n: int = n, dose: list = dose) -> float:
            g = simulate(torch.tensor([[*z, *dose]], dtype=torch.float64)).numpy()
            weak = (((z - mean) / deviation) ** 2).sum()
            return float(weak - 2 * log_density(cell, problem, p, n, g)[0])

        best = optimize.minimize(loss, fits[n], method="Nelder-Mead", options={"maxfev": 200})
        assert loss(fits[n]) < best.fun + 0.02


def nuts(cell: Cell) -> None:
    problem, p = quiet(cell, 3)
    energy = Energy(problem, p)
    q = 0.1 * np.random.default_rng(4).standard_normal(energy.dimension)
    at = energy.parameters(q)
    omega = q[len(p) :].reshape(3, 2)
    each = [
        log_density(cell, problem, at, n, signals(problem, at, n, omega[n : n + 1]))[0]
        for n in range(3)
    ]
    # Two censored entries that are correlated have the error of the rule for their integral.
    rule = 4 * 4e-4 * np.sqrt(3 * problem.replicates)
    joint = cell.seen in LIMITS and cell.noise not in INDEPENDENT
    assert energy(q)[0] == pytest.approx(q @ q / 2 - sum(each), abs=rule if joint else 1e-7)


def law_posterior(cell: Cell) -> None:
    problem, p = quiet(cell, 5)
    exact = by_quadrature(cell, problem, p)[0]
    prior = EntryPriors(np.array([0]), (REAL,), (normal(0.0, 2.0, REAL.ends),))
    flat = Prior.of(problem.law, problem.noise, StatedPrior((prior,)))
    density = PosteriorDensity.about(problem, p, flat, MarginalSettings(draws=1024))
    # Noise of kind full is shrunk towards its diagonal.
    shrunk = penalty_at(problem, p).value
    expected = exact.sum() - shrunk + flat.value(p, jacobian=True)
    assert -density(np.zeros(density.root.shape[1]))[0] == pytest.approx(expected, abs=0.03)


def clean_of(problem: Problem, p: np.ndarray, omega: np.ndarray) -> np.ndarray:
    """Return the signals (N, d_y) of one replicate of each system at its own omega."""
    return np.vstack([signals(problem, p, n, one[None]) for n, one in enumerate(omega)])


def calibration(cell: Cell) -> None:
    problem, p = quiet(cell, 6)
    clean = clean_of(problem, p, np.random.default_rng(0).standard_normal((6, 2)))
    found = _Truth(p, np.eye(ENTRIES)).observed(problem, clean, "again").data
    e = standard_normal_rows(problem.seed, "again/noise", 0, *problem.data.shape)
    # Quantiles of the heavy tails have six digits.
    np.testing.assert_allclose(found, observed(cell, problem, p, clean, e), rtol=1e-6)


def system_counts(cell: Cell) -> None:
    from popinv.population.model import Model
    from popinv.population.synthetic_observed import known_of_systems, observed_systems, true_noise

    mapping = study_of(cell)
    truth = {"law": dict(mapping["law"]["start"]), "noise": start_of_noise(*cell[:2])}
    if "covariates" in cell.known:
        truth["law"]["slope_age_coefficient"] = 0.1
    mapping["observations"]["truth"] = truth
    if cell.errors != "proportional":
        mapping["observations"]["noise_scale"] = {"low": 0.5, "high": 2.0}
    made = load({"studies": {"s": mapping}}).studies["s"]
    model = Model(made.forward, made.law, made.noise)
    # Values are below, between and above all limits.
    clean = np.random.default_rng(0).uniform(-1.0, 2.0, (9, ENTRIES))
    found = observed_systems(model, made.observations, clean, seed=3, stage="systems_9")
    one, gamma = true_noise(model, made.observations, 3)
    family = one.family
    own = torch.from_numpy(gamma[: len(family.names)])
    covariance = family.covariance(own).numpy()
    sigma = np.sqrt(np.diag(covariance))
    factor = np.linalg.cholesky(covariance / np.outer(sigma, sigma))
    size = {"proportional": sigma * np.abs(clean), "combined": np.hypot(sigma, 0.1 * clean)}
    e = standard_normal_rows(3, "systems_9/noise", 0, 9, ENTRIES * made.observations.replicates)
    u = e.reshape(9, -1, ENTRIES)
    if cell.errors == "student":
        u = np.sqrt(4 / 6) * stats.t.ppf(stats.norm.cdf(u), 6.0)
    xi = size.get(cell.errors, np.broadcast_to(sigma, clean.shape))[:, None] * (u @ factor.T)
    if "noise_scale" in found:
        xi = found["noise_scale"].values[:, None, None] * xi
    y = (clean[:, None] + xi).reshape(9, -1)
    least = 0.0 if cell.seen == INTERVAL else -np.inf
    if cell.seen == "censored_above":
        y = held(y, (-np.inf, 1.0, -np.inf, np.inf))
    elif cell.seen in LIMITS:
        y = held(y, (1.0, np.inf, least, np.inf))
    np.testing.assert_allclose(found["y"].values, y, rtol=1e-6)
    columns = known_of_systems(model, made.observations, 3, 9)
    assert ("design" in found) == ("design" in cell.known)
    if "covariates" in cell.known:
        np.testing.assert_array_equal(found["covariate"].values, columns.covariates)


def design_counts(cell: Cell) -> None:
    problem, p = quiet(cell, 6)
    found = noise_covariance(problem, *problem.split(p))
    omega = np.stack([each.ravel() for each in np.meshgrid(GRID, GRID)], axis=1)
    weights = np.exp(stats.norm.logpdf(omega).sum(axis=1))
    weights, total = weights / weights.sum(), 0.0
    for n in range(6):
        d, correlation = deviations(cell, p, signals(problem, p, n, omega))
        total = total + correlation * ((weights[:, None] * d).T @ d) / 6
    np.testing.assert_allclose(found, total, rtol=0.05)


def comparison(cell: Cell) -> None:
    problem, p = quiet(cell, 5)
    found = predictive(problem, problem.data, problem.conditions, p[None], 1024)
    exact = by_quadrature(cell, problem, p)[0]
    assert found.reason == ""
    errors = 4 * np.sqrt(np.mean(found.error**2)) + 5e-3
    np.testing.assert_allclose(found.log_score, exact, atol=errors)
    exact = normal_log_densities(cell, problem, p, grid_of(cell))
    agrees_but_for_draws(found.normal_score, of_other_draws(problem, p), exact)


def descent(cell: Cell, policy: str = "cut") -> None:
    problem, p = quiet(cell, 100)
    rng = np.random.default_rng(1)
    omega, e = rng.standard_normal((100, 2)), rng.standard_normal(problem.data.shape)
    drawn = problem.model(*map(torch.from_numpy, (p, omega, e)), np.arange(100)).numpy()
    clean = clean_of(problem, p, omega)
    np.testing.assert_allclose(drawn, observed(cell, problem, p, clean, e), rtol=1e-6)
    settings = DescentSettings(model_samples=100, directions=32, policy=policy)
    far = p.copy()
    far[: len(law_of(cell).names)] += 0.7
    losses = fixed_losses(problem, settings, np.array([p, far]), 3)
    assert np.all(losses[0] < losses[1])


CHECKS: dict[str, Check] = {
    "withdrawal": withdrawal,
    "posterior": posterior,
    "law_posterior": law_posterior,
    "groups": groups,
    "restarts": descent,
    "federated": federated,
    "certificate": certificate,
    "full": lambda cell: descent(cell, "full"),
    "plain": lambda cell: descent(cell, "plain"),
    "two_stage": two_stage,
    "nuts": nuts,
    "system_counts": system_counts,
    "design_counts": design_counts,
    "calibration": calibration,
    "comparison of models": comparison,
}


def cases(quick: bool) -> list[object]:
    """Return the parameters of the tests."""
    return [
        pytest.param(use, cell, id=f"{use}: {cell}")
        for use, cell, is_quick in use_cases()
        if is_quick == quick
    ]


@parameters("use, cell", cases(quick=True), full=cases(quick=False))
def test_a_use_is_right_for_what_is_stated(use, cell, passes):
    CHECKS[use](cell)
    passes(use, cell)
