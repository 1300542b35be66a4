"""A discrepancy of the simulator: its density, its moments, its size, and what it does to a fit.

Linear models of normal parameters have closed forms, to which everything is compared.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from linear_population import PLACES, line, normal_log_density
from scipy import stats
from slopes import slopes
from tiers import parameters

from popinv.inference.checks.model_comparison import counted_parameters
from popinv.inference.checks.noise_share import _beside_own
from popinv.inference.density.build import at_own_places
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.densities import density_of, log_likelihood
from popinv.inference.density.problem import Problem, replicated_simulator
from popinv.inference.estimators.closed_form import ClosedForm
from popinv.inference.estimators.discrepancy_size import settled, size_evidence, with_uncertain_size
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import evaluator, fit_pseudo_likelihood
from popinv.inference.estimators.marginal_estimate import estimate_at, point_of, squares_of
from popinv.inference.estimators.scoring import begin
from popinv.inference.integrate.integrals import MarginalSettings
from popinv.inference.integrate.marginal import evaluate
from popinv.inference.integrate.model_moments import matched_draws
from popinv.inference.integrate.penalty import penalty_at
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.discrepancy import PREFIX, OwnDiscrepancy, SharedDiscrepancy
from popinv.population.noise.kernel import KernelNoise
from popinv.population.noise.terms import Noise, Size, composed, replicated_noise
from popinv.population.noise.unstructured import IsotropicNoise

COUNT, D = 150, len(PLACES)
ALPHA = np.array([1.0, -0.5, np.log(0.8), np.log(0.5)])
BIAS = np.array([0.0, 0.3, -0.4, 0.5, -0.3, 0.1])

PROCESS = KernelNoise(PLACES[:, None], "squared_exponential", nugget=False)


def shared(kernel: str | None = None, noise=None) -> SharedDiscrepancy:
    """Return noise of one size with a discrepancy at the places of the lines."""
    shared = SharedDiscrepancy(PLACES[:, None], kernel)
    return composed(noise or IsotropicNoise(D)).with_terms(shared=shared)


def biased_problem(
    noise=None, bias=BIAS, seed: int = 0, count: int = COUNT, replicates: int = 1, own: float = 0.0
) -> Problem:
    """Return lines seen with an error b, which is the same in all systems, and noise of 0.2."""
    rng = np.random.default_rng(seed)
    law = normal_law(["intercept", "slope"])
    signal = line(
        law.sample(torch.from_numpy(ALPHA), torch.from_numpy(rng.normal(size=(count, 2))))
    )
    clean = signal.numpy() + bias
    if own:
        distance = np.abs(PLACES[:, None] - PLACES)
        root = np.linalg.cholesky(np.exp(-(distance**2) / (2 * 0.2**2)) + 1e-10 * np.eye(D))
        clean = clean + own * rng.normal(size=(count, D)) @ root.T
    data = np.tile(clean, replicates) + 0.2 * rng.normal(size=(count, D * replicates))
    noise = replicated_noise(shared() if noise is None else noise, replicates)
    first = len(law.names)
    return Problem(
        data,
        replicated_simulator(line, replicates),
        law,
        noise,
        np.full(first + len(noise.names), 0.5),
        seed=seed,
        fixed=tuple(first + i for i in noise.sizes_of_discrepancy),
    )


def at(problem: Problem, sizes, values=BIAS, deviation: float = 0.2) -> np.ndarray:
    """Return p with the true law, these sizes of the discrepancy and these values."""
    names = problem.noise.names
    own = problem.noise.names.index("discrepancy_amplitude")
    within = np.log([deviation, *np.full(own - 1, 0.3)])
    return np.concatenate(
        [ALPHA, within, problem.noise.shared.coordinates_of(np.log(sizes), values)]
    )[: len(ALPHA) + len(names)]


def exact(problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return log p(y_n) of each system in closed form."""
    design = np.column_stack([np.ones(D), PLACES])
    gamma = torch.from_numpy(p[4:])
    covariance = design @ np.diag(np.exp(2 * p[2:4])) @ design.T
    covariance = np.tile(covariance, (problem.replicates,) * 2)
    covariance = covariance + problem.noise.covariance(gamma).numpy()
    mean = np.tile(design @ p[:2], problem.replicates) + problem.noise.shift(gamma).numpy()
    rows = np.broadcast_to(covariance, (len(problem.data), *covariance.shape))
    return normal_log_density(problem.data - mean, rows, problem.conditions.present)


def exact_scores(problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return its derivatives by central differences, zero for what is held."""
    return slopes(lambda q: exact(problem, q), p, 1e-5) * problem.free


CASES = {
    "free": (lambda: biased_problem(), [0.3]),
    "smooth": (lambda: biased_problem(shared("matern52")), [0.3, 0.4]),
    "kernel noise": (
        lambda: biased_problem(shared(noise=KernelNoise(PLACES[:, None], "exponential", False))),
        [0.3],
    ),
    "replicates": (lambda: biased_problem(replicates=2), [0.3]),
    "own": (
        lambda: biased_problem(
            shared(noise=Noise(IsotropicNoise(D), own=OwnDiscrepancy(PROCESS))),
            replicates=2,
            own=0.3,
        ),
        [0.3],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_values_and_scores_of_both_likelihoods_are_those_of_the_closed_form(case):
    made, sizes = CASES[case]
    problem = made()
    p = at(problem, sizes)
    value, scores = exact(problem, p), exact_scores(problem, p)
    penalty = penalty_at(problem, p)
    point = evaluator(problem, matched_draws(problem, 64))(p, {})
    assert point.value == pytest.approx(value.sum() - penalty.value, rel=1e-9)
    expected = scores.sum(axis=0) - penalty.gradient
    # Differences with steps of 1e-5 have errors of about 1e-6 of the largest score.
    size = np.abs(expected).max()
    np.testing.assert_allclose(point.gradient, expected, atol=1e-6 * max(size, 1.0))
    found = evaluate(problem, p, MarginalSettings(draws=16))
    # Draws about the mode have equal weights, but for the distance to it at which searches end.
    np.testing.assert_allclose(found.log_likelihood, value, atol=1e-4)
    free = problem.free
    wrong = np.abs(found.scores - scores)[:, free].max()
    assert wrong < 1e-3 * np.abs(scores).max()


def test_the_prior_of_the_values_is_the_gaussian_process():
    problem = biased_problem(shared("matern52"))
    noise, values = problem.noise, np.sin(3 * PLACES)
    p, q = (at(problem, [0.7, 0.4], each) for each in (values, np.zeros(D)))
    distance = np.sqrt(5) * np.abs(PLACES[:, None] - PLACES) / 0.4
    covariance = 0.49 * (1 + distance + distance**2 / 3) * np.exp(-distance)
    covariance += 0.49 * KernelNoise.jitter * np.eye(D)
    law = stats.multivariate_normal(np.zeros(D), covariance)
    expected = law.logpdf(values) - law.logpdf(np.zeros(D))
    assert -(penalty_at(problem, p).value - penalty_at(problem, q).value) == pytest.approx(expected)
    np.testing.assert_allclose(noise.to_natural(p[4:])[-D:], values, atol=1e-10)
    np.testing.assert_allclose(noise.to_unconstrained(noise.to_natural(p[4:])), p[4:], atol=1e-7)


def test_the_evidence_of_the_size_is_the_integral_over_the_values():
    """The data of a linear model with a known law are normal in b, so that Laplace is exact."""
    problem = replace(biased_problem(shared("matern52"), count=20), free_law=False)
    problem = problem.held([4])
    # The pseudo-likelihood is quadratic in b, so that the point does not matter.
    evidence = size_evidence(problem, at(problem, [0.3, 0.3], 0.5 * np.sin(4 * PLACES)))
    design = np.column_stack([np.ones(D), PLACES])
    own = design @ np.diag(np.exp(2 * ALPHA[2:])) @ design.T + 0.04 * np.eye(D)

    def log_marginal(sizes: np.ndarray) -> float:
        root = evidence.root(np.log(sizes))
        covariance = np.kron(np.eye(20), own) + np.kron(np.ones((20, 20)), root @ root.T)
        residual = (problem.data - design @ ALPHA[:2]).ravel()
        prior = np.log(sizes[0]) - 0.5 * sizes[0] ** 2 / evidence.spread**2
        return stats.multivariate_normal(np.zeros(120), covariance).logpdf(residual) + prior

    one, two = np.array([0.3, 0.3]), np.array([0.1, 0.8])
    found = evidence.log_posterior(np.log(one)) - evidence.log_posterior(np.log(two))
    assert found == pytest.approx(log_marginal(one) - log_marginal(two), abs=1e-6)
    # The mode is a maximum inside the prior; no discrepancy has the evidence 1.
    best, ends = evidence.log_posterior(evidence.mode), evidence.lengths[[0, -1]]
    for step in 0.05 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]):
        near = evidence.mode + step
        assert evidence.log_posterior(near) < best or not ends[0] <= near[1] <= ends[1]
    nothing = log_marginal(np.array([1e-6, 0.3])) - np.log(1e-6)
    there = np.exp(evidence.mode)
    at_mode = log_marginal(there) - np.log(there[0]) + 0.5 * there[0] ** 2 / evidence.spread**2
    assert evidence.gain == pytest.approx(at_mode - nothing, abs=1e-3)


@pytest.mark.parametrize(
    ("kernel", "bias", "limit"),
    [
        # A parabola has the largest length, and independent values the smallest.
        ("matern52", 4 * (PLACES - PLACES.mean()) ** 2, 1),
        ("matern52", BIAS, -1),
        (None, BIAS, 0),
    ],
)
def test_a_length_at_a_limit_is_told(kernel, bias, limit):
    problem = biased_problem(shared(kernel), bias)
    p = at(problem, [0.3, 0.3][: 1 if kernel is None else 2], bias)
    assert size_evidence(problem, p).length_limit == limit


@pytest.mark.parametrize("about", ["nothing", "shared", "replicates"])
def test_the_measurement_is_judged_beside_the_error_of_each_system(about):
    process = KernelNoise(PLACES[:, None], "exponential", nugget=False)
    own = composed(IsotropicNoise(D)).with_terms(own=OwnDiscrepancy(process))
    problem = biased_problem(
        shared(noise=own) if about == "shared" else own,
        replicates=2 if about == "replicates" else 1,
    )
    # Noise of 0.03 beside an error of 0.4, of which the sum has 0.401.
    values = {"standard_deviation": 0.03, f"{PREFIX}_own_amplitude": 0.4, f"{PREFIX}_own_length": 1}
    gamma = problem.noise.from_natural(values)
    population = xr.Dataset({"alpha": ("law", ALPHA), "gamma": ("noise", gamma)})
    found = _beside_own(problem, population)
    wanted = None if about == "replicates" else 0.03 / np.hypot(0.03, 0.4)
    assert found == (wanted if wanted is None else pytest.approx(wanted))
    plain = replace(problem, noise=IsotropicNoise(problem.data.shape[1]))
    assert _beside_own(plain, population.isel(noise=[0])) is None


@pytest.mark.full
@parameters("kernel", ["matern52"], full=[None])
def test_a_fit_recovers_the_bias_and_keeps_the_law(kernel):
    problem = biased_problem(shared(kernel))
    start = at(problem, [0.2, 0.3][: 1 if kernel is None else 2], np.zeros(D), 0.4)
    first = fit_pseudo_likelihood(problem, [start], draws=64)
    estimate = settled(problem, first, lambda p: fit_pseudo_likelihood(problem, [p], draws=64))
    places = 4 + np.array(problem.noise.sizes_of_discrepancy)
    mode = size_evidence(problem, estimate.p).mode
    np.testing.assert_allclose(estimate.p[places], mode, atol=0.02)
    best = fit_marginal_likelihood(problem, estimate.p)
    # The pseudo-likelihood of a linear model is its likelihood.
    np.testing.assert_allclose(best.p, estimate.p, atol=2e-3)
    wide = with_uncertain_size(problem, best)
    assert (np.diag(wide.covariance) >= np.diag(best.covariance) - 1e-12).all()
    # What a line can express is told by the prior alone; the rest of b is told by 150 systems.
    design = np.column_stack([np.ones(D), PLACES])
    across = np.eye(D) - design @ np.linalg.pinv(design)
    b = problem.noise.shift(torch.from_numpy(wide.p[4:])).numpy()
    np.testing.assert_allclose(across @ b, across @ BIAS, atol=4 * 0.2 / np.sqrt(COUNT))
    plain = replace(problem, noise=IsotropicNoise(D), fixed=(), scale=np.full(5, 0.5))
    without = fit_pseudo_likelihood(plain, [start[:5]], draws=64)
    assert np.exp(without.p[4]) > 0.3
    assert np.exp(wide.p[4]) == pytest.approx(0.2, rel=0.05)
    # The errors of the mean hold the part of b that looks like a line.
    root = problem.noise.shared.root(
        problem.noise.part("shared", torch.from_numpy(wide.p[4:]))
    ).numpy()
    prior = np.linalg.pinv(design) @ root @ root.T @ np.linalg.pinv(design).T
    assert wide.covariance[0, 0] > 0.5 * prior[0, 0]


def test_a_right_simulator_counts_few_parameters():
    problem = biased_problem(bias=np.zeros(D))
    start = at(problem, [0.2], np.zeros(D))
    estimate = fit_pseudo_likelihood(problem, [start], draws=64)
    estimate = settled(problem, estimate, lambda p: fit_pseudo_likelihood(problem, [p], draws=64))
    counted = counted_parameters(problem, estimate.bread)
    # Five parameters and the size, and a part of the four directions that lines leave.
    assert 6 < counted < 10
    small = estimate.p.copy()
    small[5] = np.log(1e-4)
    again = fit_pseudo_likelihood(problem, [small], draws=64)
    assert counted_parameters(problem, again.bread) == pytest.approx(6, abs=0.01)


def test_gaps_leave_out_the_values_at_the_missing_places():
    problem = biased_problem()
    rng = np.random.default_rng(3)
    present = rng.random(problem.data.shape) > 0.3
    present[:, 0] = True
    conditions = Conditions.stated(
        problem.data.shape, present=present, fill=problem.data.mean(axis=0)
    )
    gapped = replace(problem, conditions=conditions)
    p = at(problem, [0.3])
    found = evaluate(gapped, p, MarginalSettings(draws=16))
    np.testing.assert_allclose(found.log_likelihood, exact(gapped, p), atol=1e-4)
    point = evaluator(gapped, matched_draws(gapped, 64))(p, {})
    expected = exact_scores(gapped, p).sum(axis=0) - penalty_at(gapped, p).gradient
    np.testing.assert_allclose(point.gradient, expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("replicates", [1, 2])
def test_systems_at_their_own_places_have_the_values_there(replicates):
    problem = biased_problem(count=40, replicates=replicates)
    rng = np.random.default_rng(4)
    one = np.zeros((40, D), dtype=bool)
    for row in one:
        row[rng.choice(D, 2, replace=False)] = True
    present = np.tile(one, replicates)
    conditions = Conditions.stated(present.shape, present=present, fill=problem.data.mean(axis=0))
    union = replace(problem, conditions=conditions)
    placed = at_own_places(union, line)
    assert placed.data.shape == (40, 2 * replicates)
    p = at(problem, [0.3])
    value = exact(union, p)
    found = evaluate(placed, p, MarginalSettings(draws=16))
    np.testing.assert_allclose(found.log_likelihood, value, atol=1e-4)
    point = evaluator(placed, matched_draws(placed, 64))(p, {})
    penalty = penalty_at(union, p)
    assert point.value == pytest.approx(value.sum() - penalty.value, rel=1e-9)
    expected = exact_scores(union, p).sum(axis=0) - penalty.gradient
    np.testing.assert_allclose(point.gradient, expected, atol=1e-6 * np.abs(expected).max())
    here, there = (size_evidence(each, p) for each in (placed, union))
    np.testing.assert_allclose(here.curvature, there.curvature, rtol=1e-6, atol=1e-6)


def test_noise_that_grows_grows_with_what_is_measured():
    noise = shared(noise=Noise(IsotropicNoise(D), Size("proportional", heavy_tails=False)))
    problem = biased_problem(noise, count=5)
    p = at(problem, [0.3])
    signal = torch.full((5, D), 2.0, dtype=torch.float64)
    found = log_likelihood(problem, torch.from_numpy(p[4:]), signal)
    expected = stats.norm(2.0 + BIAS, 0.2 * (2.0 + BIAS)).logpdf(problem.data).sum(axis=1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)
    gamma = torch.from_numpy(p[4:]).requires_grad_(True)
    (slope,) = torch.autograd.grad(log_likelihood(problem, gamma, signal).sum(), gamma)

    def value(q: np.ndarray) -> float:
        return float(density_of(problem, torch.from_numpy(q)).at(signal).log.sum())

    # The size of the discrepancy is held.
    exact = slopes(value, p[4:], 1e-5) * problem.free[4:]
    assert slope.numpy() == pytest.approx(exact, rel=1e-5, abs=1e-5)


def test_replicates_share_the_discrepancy_of_a_system():
    own = Noise(IsotropicNoise(D), own=OwnDiscrepancy(PROCESS))
    two = replicated_noise(own, 2)
    gamma = torch.log(torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64))
    rng = np.random.default_rng(0)
    distance = np.abs(PLACES[:, None] - PLACES)
    root = np.linalg.cholesky(0.25 * np.exp(-(distance**2) / (2 * 0.09)) + 1e-9 * np.eye(D))
    b = rng.normal(size=(400_000, D)) @ root.T
    drawn = np.tile(b, 2) + 0.2 * rng.normal(size=(400_000, 2 * D))
    # The largest entry of 0.29 has a standard error of 7e-4.
    np.testing.assert_allclose(two.covariance(gamma).numpy(), np.cov(drawn.T), atol=4e-3)
    assert two.of_one.covariance(gamma).shape == (D, D)


def test_errors_of_the_draws_do_not_cancel_the_prior():
    """The error of draws may leave a curvature of -1 along what only the prior tells."""
    problem = biased_problem()
    p = at(problem, [0.3])
    evaluation = ClosedForm(problem)(p)
    state = begin(point_of(problem, p, evaluation))
    curvature, last = squares_of(problem, evaluation), len(p) - 1
    curvature[last], curvature[:, last] = 0.0, 0.0
    curvature[last, last] = -1.0
    estimate = estimate_at(problem, 0, state, None, None, 0.0, curvature)
    assert np.sqrt(estimate.covariance[last, last]) == pytest.approx(1.0, rel=1e-6)
