"""Predicted errors against closed forms and Monte Carlo; what cannot be told apart is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_rank import linear_gaussian_rank
from problems import curve_problem
from slopes import slopes

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.integrate.moments import matched_normals, reference_moments
from popinv.inference.uncertainty.identifiability import Identifiability, _oriented, identifiability
from popinv.population.known import Known
from popinv.population.laws.gaussian import lognormal_law, normal_law
from popinv.population.noise.unstructured import DiagonalNoise, FullNoise, IsotropicNoise

TALL = np.array([[1.0, 0.3], [-0.5, 1.0], [0.8, 0.6], [0.2, -1.1], [1.2, 0.1]])


def linear_problem(matrix, noise, count=1000, law=normal_law) -> Problem:
    a = torch.from_numpy(np.asarray(matrix, dtype=float))
    laws = law([f"z{i}" for i in range(a.shape[1])])
    scale = np.full(len(laws.names) + len(noise.names), 0.5)
    return Problem(np.zeros((count, len(a))), lambda z: z @ a.T, laws, noise, scale)


def everything(problem: Problem):
    """Return identifiability at means 1, deviations e^-0.2 and gamma 0, and the names."""
    d_z = problem.law.d_z
    alpha = np.concatenate([np.ones(d_z), np.full(d_z, -0.2)])
    gamma = np.zeros(len(problem.noise.names))
    return identifiability(problem, alpha, gamma), problem.law.names + problem.noise.names


def test_a_normal_mean_and_deviation_seen_without_noise():
    # y = z with hardly any noise: se(mean) = s / sqrt(N), se(log s) = 1 / sqrt(2 N).
    problem = replace(linear_problem([[1.0]], IsotropicNoise(1), count=400), free_noise=False)
    known = identifiability(problem, np.array([1.0, np.log(2.0)]), np.array([-12.0]))
    # Draws whose first three moments are exact leave only the error of the differences.
    expected = [2 / np.sqrt(400), 1 / np.sqrt(800), 0.0]
    np.testing.assert_allclose(known.standard_errors, expected, rtol=1e-5)


def test_errors_of_a_linear_model_are_those_of_its_fisher_information():
    # Written out anew: y ~ N(A m, A S A^T + diag(v)), information by Slepian and Bangs.
    problem = linear_problem(TALL, DiagonalNoise(5), count=700)
    known, _ = everything(problem)
    s2 = np.exp(-0.4)
    c = s2 * TALL @ TALL.T + np.eye(5)
    inverse = np.linalg.inv(c)
    slopes = [(TALL[:, i], np.zeros((5, 5))) for i in range(2)]
    slopes += [(np.zeros(5), 2 * s2 * np.outer(TALL[:, i], TALL[:, i])) for i in range(2)]
    slopes += [(np.zeros(5), 2 * np.outer(np.eye(5)[i], np.eye(5)[i])) for i in range(5)]
    information = 700 * np.array(
        [
            [m @ inverse @ k + 0.5 * np.trace(inverse @ d @ inverse @ e) for k, e in slopes]
            for m, d in slopes
        ]
    )
    expected = np.sqrt(np.diag(np.linalg.inv(information)))
    # Third moments of normal data add nothing; central differences err by 1e-6.
    np.testing.assert_allclose(known.standard_errors, expected, rtol=1e-5)


def test_predicted_errors_are_the_scatter_of_the_maximum_likelihood_estimate():
    # y = a z + noise: along a the variance is |a|^2 s^2 + sigma^2, across it sigma^2, so that
    # the estimate is in closed form.
    a, s, sigma, n = np.array([1.0, -0.7, 0.4]), 0.8, 0.5, 500
    problem = linear_problem(a[:, None], IsotropicNoise(3), count=n)
    known = identifiability(problem, np.array([1.0, np.log(s)]), np.array([np.log(sigma)]))
    rng = np.random.default_rng(0)
    answers = []
    for _ in range(2000):
        y = (1 + s * rng.standard_normal((n, 1))) * a + sigma * rng.standard_normal((n, 3))
        along = y @ a / np.linalg.norm(a)
        across = ((y**2).sum(axis=1) - along**2).mean() / 2
        signal = (along.var() - across) / (a @ a)
        answers.append([along.mean() / np.linalg.norm(a), 0.5 * np.log(signal), np.log(across) / 2])
    # A deviation from 2000 draws is good to 1.6 %, and the estimate is efficient up to 1/N.
    np.testing.assert_allclose(known.standard_errors, np.std(answers, axis=0), rtol=0.06)


def test_each_moment_scatters_by_one_in_its_own_unit():
    problem = linear_problem(TALL, IsotropicNoise(5))
    alpha, gamma = torch.tensor([1.0, 1.0, -0.2, -0.2]), torch.zeros(1)
    alpha, gamma = alpha.double(), gamma.double()
    omega = matched_normals(np.random.default_rng(1), 4000, 2)
    moments = reference_moments(problem, alpha, gamma, omega)
    rng, n = np.random.default_rng(2), 400
    samples = []
    for _ in range(1500):
        draws = torch.from_numpy(rng.standard_normal((n, 2)))
        e = torch.from_numpy(rng.standard_normal((n, 5)))
        p = torch.cat([alpha, gamma])
        samples.append(np.sqrt(n) * moments.of(problem.model(p, draws, e)).numpy())
    scatter = np.cov(np.array(samples).T)
    # Mean and covariance: 1500 draws give a deviation to 1.8 %; four of them, and 1 % for 1/n.
    seconds = slice(None, 5 + 15)
    np.testing.assert_allclose(np.sqrt(np.diag(scatter))[seconds], 1.0, rtol=0.085)
    # The unit of a third moment comes from 8000 draws of heavy-tailed cubes: some 10 % more.
    np.testing.assert_allclose(np.sqrt(np.diag(scatter))[20:], 1.0, rtol=0.25)
    correlations = scatter - np.diag(np.diag(scatter))
    assert np.abs(correlations[seconds, seconds]).max() < 0.15
    assert np.abs(correlations).max() < 0.3


def test_matched_draws_have_exact_moments_and_are_pairs():
    omega = matched_normals(np.random.default_rng(0), 50, 7).numpy()
    np.testing.assert_allclose(omega.T @ omega / 100, np.eye(7), atol=1e-13)
    np.testing.assert_array_equal(omega[:50], -omega[50:])
    with pytest.raises(ValueError, match="5 pairs"):
        matched_normals(np.random.default_rng(0), 5, 7)


def test_errors_fall_with_the_root_of_the_number_of_systems():
    problem, alpha, gamma = curve_problem(count=100)
    more = replace(problem, data=np.zeros((400, 8)))
    one = identifiability(problem, alpha, gamma, samples=500)
    two = identifiability(more, alpha, gamma, samples=500)
    np.testing.assert_allclose(two.standard_errors, one.standard_errors / 2, rtol=1e-10)
    np.testing.assert_allclose(two.singular_values, 2 * one.singular_values, rtol=1e-10)


def test_linear_gaussian_trade_between_law_and_noise_is_named():
    # y = z in as many dimensions as z has entries: only s^2 + sigma^2 is seen.
    known, names = everything(linear_problem([[1.0]], IsotropicNoise(1)))
    assert known.weakest_error > 1e3
    both = {"z0_standard_deviation", "standard_deviation"}
    assert set(known.describe_weakest(names).split()[1::2]) == both
    warning = known.warning(names)
    assert "do not determine 1 combination of the parameters" in warning
    assert all(name in warning for name in both)
    assert "z0_mean" not in warning


def test_a_direction_is_named_by_its_three_largest_entries_in_their_order():
    entries = np.array([0.2, -0.7, 0.01, 0.5, -0.3])
    directions = np.stack([np.eye(5)[0], entries / np.linalg.norm(entries)])
    known = Identifiability(
        np.ones(5), np.array([9.0, 0.1]), directions, 10.0, np.ones(5), 7, 5, "moments"
    )
    assert known.describe_weakest(tuple("abcde")) == "-0.75 b +0.54 d -0.32 e"


def test_what_nothing_tells_of_has_an_error_that_is_large_and_finite():
    problem = linear_problem(TALL, IsotropicNoise(5))
    alpha, gamma = np.zeros(4), np.zeros(1)
    known = identifiability(problem, alpha, gamma, information=np.zeros((5, 5)))
    assert np.all(np.isfinite(known.standard_errors))
    assert known.weakest_error == pytest.approx(1e7)
    assert "do not determine 5 combinations" in known.warning((*problem.law.names, "noise"))


# The noise families that a linear model can, and cannot, be told from: the warning must agree
# with the rank, which is exact. N = 100,000 would turn errors of the draws into information.
@pytest.mark.parametrize(
    ("matrix", "noise", "identifiable"),
    [
        (TALL, IsotropicNoise(5), True),
        (TALL, DiagonalNoise(5), True),
        (TALL, FullNoise(5, shrinkage=0.0), False),
        (np.eye(3), DiagonalNoise(3), False),
        (np.eye(2), IsotropicNoise(2), False),
        (TALL[:2], IsotropicNoise(2), True),
        (TALL[:3, :1], DiagonalNoise(3), True),
        (TALL[:2, :1], DiagonalNoise(2), True),
        (TALL[:2], DiagonalNoise(2), False),
    ],
)
def test_the_warning_agrees_with_the_exact_rank(matrix, noise, identifiable):
    gamma = np.zeros(len(noise.names))
    assert linear_gaussian_rank(matrix, noise, gamma).identifiable == identifiable
    known, names = everything(linear_problem(matrix, noise, count=100_000))
    assert (known.warning(names) == "none") == identifiable
    if not identifiable:
        assert known.singular_values[-1] < 1e-2


@pytest.mark.parametrize(("d_y", "identifiable"), [(2, False), (3, True), (5, True)])
def test_isotropic_noise_beside_any_law_needs_more_observations_than_parameters(d_y, identifiable):
    rank = linear_gaussian_rank(TALL[:d_y], IsotropicNoise(d_y), np.zeros(1), law="full")
    assert rank.unknowns == 4
    assert rank.identifiable == identifiable


@pytest.mark.parametrize(("d_y", "identifiable"), [(3, False), (4, True), (5, True)])
def test_factor_analysis_with_known_loadings_needs_enough_covariances(d_y, identifiable):
    # d_z (d_z + 1) / 2 + d_y <= d_y (d_y + 1) / 2 is necessary, and for random loadings enough.
    matrix = np.random.default_rng(3).standard_normal((d_y, 3))
    rank = linear_gaussian_rank(matrix, DiagonalNoise(d_y), np.zeros(d_y), law="full")
    assert rank.unknowns == 6 + d_y
    assert rank.identifiable == identifiable


def test_a_deficient_rank_shows_the_trade():
    rank = linear_gaussian_rank(np.eye(2), IsotropicNoise(2), np.zeros(1))
    assert (rank.rank, rank.unknowns) == (2, 3)
    # dS = I against dGamma = 2 sigma^2 dgamma I; A (e e^T + e e^T) A^T counts S twice.
    np.testing.assert_allclose(rank.weakest / rank.weakest[0], [1, 1, -1], rtol=1e-6)


def test_third_moments_tell_a_skewed_signal_from_noise():
    # y = z + noise with one lognormal z: two moments for three unknowns, and the third decides.
    problem = linear_problem([[1.0]], IsotropicNoise(1), count=100_000, law=lognormal_law)
    known = identifiability(problem, np.array([0.0, np.log(0.6)]), np.array([np.log(0.5)]))
    names = problem.law.names + problem.noise.names
    assert known.warning(names) == "none"
    # The derivative of (m, C, kappa_3) in closed form, with v = e^{s^2}.
    v, k = np.exp(0.36), np.exp(0.18)

    def moments(p):
        mean, s2, sigma2 = p[0], np.exp(2 * p[1]), np.exp(2 * p[2])
        w = np.exp(s2)
        scale = np.exp(mean + s2 / 2)
        return np.array([scale, scale**2 * (w - 1) + sigma2, scale**3 * (w - 1) ** 2 * (w + 2)])

    p = np.array([0.0, np.log(0.6), np.log(0.5)])
    change = slopes(moments, p, 1e-5)
    rng = np.random.default_rng(0)
    y = np.exp(0.6 * rng.standard_normal(400_000)) + 0.5 * rng.standard_normal(400_000) - k
    c = k**2 * (v - 1) + 0.25
    unit = [np.sqrt(c), np.sqrt(2) * c, np.std(y**3 - 3 * c * y)]
    # A location's scale is what moves the mean by a standard deviation.
    scales = [unit[0] / change[0, 0], 0.5, 0.5]
    expected = np.linalg.svd(np.sqrt(100_000) * change / np.array(unit)[:, None] * scales)[1]
    # The unit of the third moment, from 4000 draws, is good to some 20 % with such tails.
    np.testing.assert_allclose(known.singular_values, expected, rtol=0.3)


def test_many_parameters_of_the_noise_cost_no_simulation():
    calls = []

    def simulate(z):
        calls.append(len(z))
        return z @ torch.ones((1, 12), dtype=torch.float64)

    noise = FullNoise(12, shrinkage=0.0)
    law = normal_law(["a"])
    problem = Problem(np.zeros((100, 12)), simulate, law, noise, np.full(2 + 78, 0.5))
    known = identifiability(problem, np.zeros(2), np.zeros(78))
    # Once for the units; then each of two parameters, up and down, in each half.
    assert len(calls) == 1 + 2 * 2 * 2
    assert known.singular_values.shape == (80,)
    assert "a_deviation" in known.warning(("a_mean", "a_deviation", *noise.names))


def test_an_identifiable_problem_has_small_errors():
    problem, alpha, gamma = curve_problem(count=1000)
    known = identifiability(problem, alpha, gamma)
    assert known.standard_errors.max() < 0.1
    assert known.weakest_error < 0.2
    assert np.linalg.norm(known.weakest) == pytest.approx(1.0)
    assert known.warning(problem.law.names + problem.noise.names) == "none"


def test_with_few_systems_the_same_problem_warns():
    problem, alpha, gamma = curve_problem(count=1000)
    few = replace(problem, data=problem.data[:4])
    assert "4 systems" in identifiability(few, alpha, gamma).warning(
        problem.law.names + problem.noise.names
    )


def test_closed_form_information_of_a_scaled_noise():
    # Pure noise sigma in d dimensions: se(log sigma) = 1 / sqrt(2 N d).
    problem = Problem(
        np.zeros((50, 4)),
        lambda z: torch.zeros((len(z), 4), dtype=torch.float64) + 0 * z,
        normal_law(["a"]),
        IsotropicNoise(4),
        np.ones(3),
    )
    known = identifiability(problem, np.zeros(2), np.zeros(1))
    assert known.standard_errors[2] == pytest.approx(1 / np.sqrt(2 * 50 * 4), rel=1e-3)


def test_known_quantities_have_the_information_of_each_system():
    # y_n = dose_n A z + xi, the sum over the systems of the information by Slepian and Bangs.
    dose = np.linspace(0.5, 2.0, 30)
    a = torch.from_numpy(TALL[:, :1])
    known = Known.of_arrays(dose[:, None], np.empty((30, 0)))
    problem = Problem(
        np.zeros((30, 5)),
        lambda x: x[:, 1:] * (x[:, :1] @ a.T),
        normal_law(["z"]),
        IsotropicNoise(5),
        np.full(3, 0.5),
        conditions=Conditions.stated((len(known), 5), known=known),
    )
    mean, s, sigma = 1.0, 0.7, 0.4
    found = identifiability(problem, np.array([mean, np.log(s)]), np.array([np.log(sigma)]))
    information, of_mean = np.zeros((3, 3)), 0.0
    for d in dose:
        column = d * TALL[:, 0]
        inverse = np.linalg.inv(s**2 * np.outer(column, column) + sigma**2 * np.eye(5))
        changes = [0 * np.eye(5), 2 * s**2 * np.outer(column, column), 2 * sigma**2 * np.eye(5)]
        for i in range(3):
            for j in range(3):
                half = inverse @ changes[i] @ inverse @ changes[j]
                information[i, j] += 0.5 * np.trace(half)
        information[0, 0] += column @ inverse @ column
        of_mean += column @ inverse @ column / 5
    expected = np.sqrt(np.diag(np.linalg.inv(information)))
    np.testing.assert_allclose(found.standard_errors, expected, rtol=1e-4)
    # The scale of a mean moves an observation by one of its standard deviations.
    scale = np.array([1 / np.sqrt(of_mean / 30), 0.5, 0.5])
    values = np.linalg.eigvalsh(information * np.outer(scale, scale))
    np.testing.assert_allclose(found.singular_values, np.sqrt(values[::-1]), rtol=1e-4)
    assert "given the known quantities of each system" in found.by


def test_a_direction_has_a_positive_largest_entry():
    vectors = np.array([[-0.8, 0.6], [0.6, 0.8]])
    np.testing.assert_array_equal(_oriented(vectors), [[0.8, 0.6], [-0.6, 0.8]])
    # Of two entries that are equal but for rounding, the first.
    for rounding in (-1e-12, 1e-12):
        equal = np.array([[-1.0], [1.0 + rounding]]) / np.sqrt(2)
        np.testing.assert_allclose(_oriented(equal), -equal)
