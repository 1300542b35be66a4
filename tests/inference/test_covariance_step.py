"""The step of unrestricted covariance: closed form, shrinkage, recovery and stability."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import curve_problem, silent
from scipy.linalg import eigvalsh
from tiers import parameters

from popinv.errors import ConfigError
from popinv.inference.answer.result import noise_covariance, relative_frobenius_error
from popinv.inference.density.problem import Problem, begin
from popinv.inference.estimators import covariance_step as module
from popinv.inference.estimators.descent import run
from popinv.inference.estimators.settings import DescentSettings
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.terms import replicated_noise
from popinv.population.noise.unstructured import DiagonalNoise, FullNoise


def problem_of(data, shrinkage: float, replicates: int = 1) -> Problem:
    one, law = FullNoise(data.shape[1] // replicates, shrinkage), normal_law(["a"])
    noise = replicated_noise(one, replicates)
    scale = np.concatenate([np.full(2, 0.5), noise.scale])
    return Problem(data, silent(data.shape[1]), law, noise, scale, free_law=False)


def with_full_noise(problem: Problem, shrinkage: float) -> Problem:
    noise = FullNoise(problem.data.shape[1], shrinkage)
    scale = np.concatenate([problem.scale[: problem.d_alpha], noise.scale])
    return replace(problem, noise=noise, scale=scale)


def covariance(d_y: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((d_y, d_y))
    deviations = np.geomspace(0.3, 3, d_y)
    return (root @ root.T / d_y + 0.1 * np.eye(d_y)) * np.outer(deviations, deviations)


def symmetric(d_y: int, seed: int) -> np.ndarray:
    change = np.random.default_rng(seed).standard_normal((d_y, d_y))
    return (change + change.T) / 2


def quadratic(factor: np.ndarray, change: np.ndarray) -> float:
    rows, columns, weights = module._entries(len(change))
    return float(np.sum((factor.T @ (change[rows, columns] * weights)) ** 2))


@pytest.mark.parametrize("replicates", [1, 3])
def test_curvature_without_signal_is_the_closed_form(replicates):
    d_y, width = 6, 6 * replicates
    problem = problem_of(np.zeros((10, width)), 0.0, replicates)
    settings = DescentSettings(directions=2000)
    gamma = problem.noise.from_natural({"standard_deviation": 0.7, "correlation": 0.4})
    p = torch.from_numpy(np.concatenate([np.zeros(2), gamma]))
    rng = np.random.default_rng(0)
    e = torch.from_numpy(rng.standard_normal((2000, width)))
    omega = torch.from_numpy(rng.standard_normal((2000, 1)))
    factor = module.curvature_factor(problem, settings, p, (omega, e, None), 0)
    seen = 2000 / (2000 + d_y * (d_y + 1) / 2)
    for seed in range(4):
        change = symmetric(d_y, seed)
        # Of all but the trace, K directions show a share; the rest is stiffened by its inverse.
        trace = np.trace(change) ** 2 / d_y
        across = 2 * (np.sum(change**2) - trace) / (width + 2) / seen
        expected = replicates * (trace + across)
        # Monte Carlo over 2000 rows and 2000 directions; bins of 20 rows lose a per cent or two.
        assert quadratic(factor, change) == pytest.approx(expected, rel=0.1)


def test_the_step_without_signal_is_newtons():
    d_y, rate = 6, 1e-3
    problem = problem_of(np.zeros((10, d_y)), 0.0)
    settings = DescentSettings(directions=2000)
    gamma = problem.noise.from_natural({"standard_deviation": 0.7, "correlation": 0.4})
    p = np.concatenate([np.zeros(2), gamma])
    rng = np.random.default_rng(0)
    draws = (rng.standard_normal((2000, 1)), rng.standard_normal((2000, d_y)))
    drawn = (*map(torch.from_numpy, draws), None)
    factor = module.curvature_factor(problem, settings, torch.from_numpy(p), drawn, 0)
    gradient = np.concatenate([np.zeros(2), rng.standard_normal(len(gamma))])
    moved = module.joint_step(problem, settings, p, gradient, factor, rate, (0.0, 1.0))
    slope = problem.noise.family.whitened_gradient(gamma, gradient[2:])
    step = -(d_y + 2) / 2 * (slope - np.trace(slope) / (d_y + 2) * np.eye(d_y))
    trace = np.trace(step) / d_y * np.eye(d_y)
    seen = 2000 / (2000 + d_y * (d_y + 1) / 2)
    expected = problem.noise.family.moved(gamma, rate * (seen * (step - trace) + trace))
    # As close as the curvature is to its closed form.
    error = np.linalg.norm(moved[2:] - expected) / np.linalg.norm(expected - gamma)
    assert error < 0.15
    np.testing.assert_array_equal(moved[:2], p[:2])


def test_the_step_solves_the_curvature_it_is_given():
    d_y, rate = 4, 1e-4
    problem = problem_of(np.zeros((10, d_y)), 0.0)
    gamma = problem.noise.from_natural({"standard_deviation": 0.7, "correlation": 0.4})
    p = np.concatenate([np.zeros(2), gamma])
    rows, columns, weights = module._entries(d_y)
    rng = np.random.default_rng(3)
    # Far from diagonal.
    factor = np.tril(rng.standard_normal((len(rows), len(rows)))) + 2 * np.eye(len(rows))
    gradient = np.concatenate([np.zeros(2), rng.standard_normal(len(gamma))])
    moved = module.joint_step(problem, DescentSettings(), p, gradient, factor, rate, (0.0, 1.0))
    slope = problem.noise.family.whitened_gradient(gamma, gradient[2:])[rows, columns] * weights
    step = np.zeros((d_y, d_y))
    step[rows, columns] = -rate * np.linalg.solve(factor @ factor.T, slope) / weights
    step[columns, rows] = step[rows, columns]
    expected = problem.noise.family.moved(gamma, step)
    np.testing.assert_allclose(moved[2:] - gamma, expected - gamma, rtol=1e-6, atol=1e-12)


def test_few_directions_determine_all_of_the_curvature():
    # Four directions alone would leave 17 of the 21 entries of E without curvature.
    d_y = 6
    problem = problem_of(np.zeros((10, d_y)), 0.0)
    gamma = problem.noise.from_natural({"standard_deviation": 0.7, "correlation": 0.4})
    p = torch.from_numpy(np.concatenate([np.zeros(2), gamma]))
    rng = np.random.default_rng(0)
    omega, e = (torch.from_numpy(rng.standard_normal((500, size))) for size in (1, d_y))
    settings = DescentSettings(directions=4)
    factor = module.curvature_factor(problem, settings, p, (omega, e, None), 0)
    assert np.linalg.eigvalsh(factor @ factor.T).min() > 0.02


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_step_is_bounded_along_and_across_the_identity(sign):
    d_y = 4
    problem = problem_of(np.zeros((10, d_y)), 0.0)
    settings = DescentSettings(max_step=0.3)
    gamma = problem.noise.from_natural({"standard_deviation": 0.7, "correlation": 0.4})
    p = np.concatenate([np.zeros(2), gamma])
    gradient = np.concatenate([np.zeros(2), 1e6 * sign * np.arange(1.0, len(gamma) + 1)])
    size = len(gamma)
    moved = module.joint_step(problem, settings, p, gradient, np.eye(size), 1.0, (0.0, 1.0))
    before, after = (
        problem.noise.covariance(torch.from_numpy(values)).numpy() for values in (p[2:], moved[2:])
    )
    # L' L'^T = L exp(2 E) L^T
    change = np.log(eigvalsh(after, before)) / 2
    # Half of max_step along the identity, and a fifth of it across, either way.
    across = np.abs(change) - 0.3 / 2
    np.testing.assert_allclose(np.abs(across), 0.3 / 5, rtol=1e-8)
    assert across.min() < 0 < across.max()


def test_regularisation_adds_the_curvature_of_its_prior_to_the_law():
    problem, alpha, _ = curve_problem(count=20)
    full = with_full_noise(problem, 0.1)
    gamma = full.noise.from_natural({"standard_deviation": 0.2, "correlation": 0.3})
    p = torch.from_numpy(np.concatenate([alpha, gamma]))
    rng = np.random.default_rng(0)
    omega, e = (torch.from_numpy(rng.standard_normal((200, size))) for size in (2, 8))
    settings = DescentSettings(directions=16)

    def matrix(regularisation: float) -> np.ndarray:
        changed = settings.replace(regularisation=regularisation)
        factor = module.curvature_factor(full, changed, p, (omega, e, None), 0)
        return factor @ factor.T

    added = matrix(0.25) - matrix(0.0)
    expected = np.zeros_like(added)
    expected[:4, :4] = np.eye(4) / 0.25**2 * (1 + module._DAMPING)
    np.testing.assert_allclose(added, expected, atol=1e-8)


@pytest.mark.parametrize("replicates", [1, 3])
def test_shrinkage_is_the_divergence_from_the_diagonal(replicates):
    problem = problem_of(np.zeros((10, 5 * replicates)), 0.7, replicates)
    noise, weight = problem.noise.of_one, module._weight(problem)
    assert weight == pytest.approx(0.7 * replicates / (5 * replicates + 2))
    gamma = 0.5 * np.random.default_rng(0).standard_normal(len(noise.names))
    factor = noise.cholesky(torch.from_numpy(gamma)).numpy()
    held = np.diag(np.diag(factor @ factor.T))

    def divergence(t: float, change: np.ndarray) -> float:
        moved = noise.covariance(torch.from_numpy(noise.family.moved(gamma, t * change))).numpy()
        ratio = np.linalg.solve(moved, held)
        value = (np.trace(ratio) - np.linalg.slogdet(ratio)[1] - 5) / 2
        return weight * float(value)

    gradient = weight * (np.eye(5) - module._diagonal_seen(factor))
    curvature = weight * module._shrinkage_curvature(noise, factor)
    rows, columns, weights = module._entries(5)
    h = 1e-4
    for seed in range(3):
        change = symmetric(5, seed)
        up, here, down = (divergence(t, change) for t in (h, 0.0, -h))
        assert np.sum(gradient * change) == pytest.approx((up - down) / (2 * h), rel=1e-5)
        vector = change[rows, columns] * weights
        second = (up - 2 * here + down) / h**2
        # A second difference carries rounding of about 1e-15 / h^2.
        assert vector @ curvature @ vector == pytest.approx(second, rel=1e-4)


@parameters("factor, replicates", [(3.0, 2)], full=[(0.3, 1), (3.0, 1)])
def test_without_signal_any_covariance_is_found(factor, replicates):
    truth = covariance(7)
    rng = np.random.default_rng(1)
    data = rng.standard_normal((2000, 7)) @ np.linalg.cholesky(truth).T
    # Replicates without a signal are as many systems.
    problem = problem_of(data.reshape(-1, 7 * replicates), 0.0, replicates)
    settings = DescentSettings(iterations=120, model_samples=1000, directions=84)
    deviations = factor * np.sqrt(np.diag(truth))
    start = problem.noise.from_natural({"standard_deviation": deviations, "correlation": 0.0})
    descent = run(begin(np.zeros(2), start, settings), problem, settings, progress=False)
    answer, moment = (
        noise_covariance(problem, np.zeros(problem.d_alpha), descent.gamma),
        data.T @ data / len(data),
    )
    # What is left to the second moments of the data is below their own error.
    own = relative_frobenius_error(moment, truth)
    assert relative_frobenius_error(answer, moment) < 0.8 * own
    assert relative_frobenius_error(answer, truth) < 1.3 * own


def test_small_correlations_shrink_as_said():
    truth = np.eye(6) + 0.1 * (np.ones((6, 6)) - np.eye(6))
    rng = np.random.default_rng(1)
    data = rng.standard_normal((3000, 6)) @ np.linalg.cholesky(truth).T
    problem = problem_of(data, 0.5)
    settings = DescentSettings(iterations=100, model_samples=1000, directions=64)
    start = problem.noise.from_natural({"standard_deviation": 1.0, "correlation": 0.0})
    descent = run(begin(np.zeros(2), start, settings), problem, settings, progress=False)
    shrunk = problem.noise.to_natural(descent.gamma)[6:]
    seen = np.corrcoef(data.T)[tuple(np.array(np.tril_indices(6, -1))[::-1])]
    # To first order in the correlations, which are about a tenth.
    assert shrunk.mean() == pytest.approx(seen.mean() / 1.5, rel=0.1)


@pytest.mark.full
def test_with_signal_starts_end_together_and_beat_independent_noise():
    problem, alpha, gamma = curve_problem(count=1000)
    truth = noise_covariance(problem, np.zeros(problem.d_alpha), gamma)
    settings = DescentSettings(iterations=300, model_samples=1000, directions=64)
    full = with_full_noise(problem, 0.1)
    answers = []
    for factor in (0.3, 3.0):
        start = full.noise.from_natural({"standard_deviation": 0.1 * factor, "correlation": 0.0})
        descent = run(begin(alpha + 0.5, start, settings), full, settings, progress=False)
        answers.append(noise_covariance(full, np.zeros(full.d_alpha), descent.gamma))
        # Standard errors are 2 to 4 %, more for the second deviation, which noise can stand for.
        np.testing.assert_allclose(descent.alpha, alpha, atol=0.12)
    assert relative_frobenius_error(*answers) < 0.15
    diagonal = DiagonalNoise(8)
    scale = np.concatenate([problem.scale[:4], diagonal.scale])
    other = replace(problem, noise=diagonal, scale=scale)
    descent = run(begin(alpha + 0.5, np.full(8, -2.3), settings), other, settings, progress=False)
    independent = relative_frobenius_error(
        noise_covariance(other, np.zeros(other.d_alpha), descent.gamma), truth
    )
    assert max(relative_frobenius_error(a, truth) for a in answers) < 0.9 * independent


@pytest.mark.full
@parameters("iterations, reached", [(25, 2.0)], full=[(400, 0.6)])
def test_fifty_observations_do_not_diverge(iterations, reached):
    truth = covariance(50)
    data = np.random.default_rng(1).standard_normal((1000, 50)) @ np.linalg.cholesky(truth).T
    problem = problem_of(data, 0.1)
    settings = DescentSettings(iterations=iterations, model_samples=400, directions=200)
    start = problem.noise.from_natural({"standard_deviation": 3.0, "correlation": 0.0})
    descent = run(begin(np.zeros(2), start, settings), problem, settings, progress=False)
    errors = [
        relative_frobenius_error(
            noise_covariance(problem, np.zeros(problem.d_alpha), gamma[2:]), truth
        )
        for gamma in [np.concatenate([np.zeros(2), start]), *descent.state.path]
    ]
    assert max(errors) == errors[0]
    # Independent noise of the true variances is the measure.
    diagonal = relative_frobenius_error(np.diag(np.diag(truth)), truth)
    assert errors[-1] < reached * diagonal


def test_held_noise_does_not_move_and_the_law_does():
    problem, alpha, gamma = curve_problem(count=100)
    full = replace(with_full_noise(problem, 0.1), free_noise=False)
    factor = torch.linalg.cholesky(
        torch.from_numpy(noise_covariance(problem, np.zeros(problem.d_alpha), gamma))
    )
    start = full.noise.family.from_cholesky(factor).numpy()
    settings = DescentSettings(iterations=30, model_samples=200, directions=16)
    descent = run(begin(alpha + 0.5, start, settings), full, settings, progress=False)
    np.testing.assert_allclose(descent.gamma, start, rtol=1e-14)
    assert np.abs(descent.alpha - alpha).max() < 0.4


def test_interrupted_and_resumed_is_the_same_bit_for_bit():
    problem, alpha, _ = curve_problem(count=60)
    full = with_full_noise(problem, 0.1)
    start = full.noise.from_natural({"standard_deviation": 0.2, "correlation": 0.0})
    settings = DescentSettings(iterations=8, model_samples=100, directions=16)
    states = []
    whole = run(begin(alpha, start, settings), full, settings, states.append, progress=False)
    resumed = run(states[2], full, settings, progress=False)
    np.testing.assert_array_equal(resumed.state.path, whole.state.path)


@pytest.mark.parametrize("changes", [{"optimiser": "adam"}, {"policy": "plain"}])
def test_other_optimisers_and_policies_are_refused(changes):
    problem = with_full_noise(curve_problem(count=20)[0], 0.1)
    settings = DescentSettings(iterations=2, model_samples=20, directions=4, **changes)
    start = problem.noise.from_natural({"standard_deviation": 0.2, "correlation": 0.0})
    with pytest.raises(ConfigError, match="needs optimiser 'gauss_newton' and policy 'cut'"):
        run(begin(np.zeros(4), start, settings), problem, settings, progress=False)
