"""The steadied information: no worse than either matrix where they agree, and A where not."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from linear_population import TRUTH, linear_problem
from scipy.special import expit

from popinv.inference.answer.result import estimate_dataset
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.closed_form import ClosedForm
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.marginal_estimate import (
    curvature_at,
    estimate_at,
    point_of,
    squares_of,
    steadied,
)
from popinv.inference.estimators.scoring import begin
from popinv.inference.integrate.marginal import Evaluation
from popinv.population.laws.gaussian import lognormal_law
from popinv.population.noise.time_series import AutoregressiveNoise

N, K = 1000, 4
# Parameters of very different units.
UNITS = np.diag([1.0, 1e3, 1e-4, 1.0])


def drawn(seed, n=N, used=400, wrong=1.0, error=0.0):
    """Return curvatures and errors of some systems, the squares of all scores, and the truth."""
    rng = np.random.default_rng(seed)
    root = np.array([[1, 0.6, 0, 0], [0, 1, 0, 0.3], [0, 0, 1, 0], [0, 0, 0, 1]]) @ UNITS
    scores = rng.standard_normal((n, K)) @ root
    truth = n * root.T @ root
    # Heavy tails, as where few systems tell nearly all.
    weights = rng.gamma(0.2, 5.0, used)
    each = wrong * weights[:, None, None] * (root.T @ root)
    symmetric = error * rng.standard_normal((2, used, K, K))
    symmetric = root.T @ (symmetric + symmetric.swapaxes(2, 3)) @ root
    return each + symmetric[0], symmetric[1], scores.T @ scores, truth


def off(matrix, truth):
    """Return the error of a matrix in coordinates in which the true one is the identity."""
    back = np.linalg.inv(np.linalg.cholesky(truth))
    return np.linalg.norm(back @ matrix @ back.T - np.eye(K))


@pytest.mark.parametrize(("error", "gain"), [(0.0, 0.95), (1.0, 0.5)])
def test_under_a_right_model_noise_is_left_out(error, gain):
    errors = []
    for seed in range(40):
        each, error_of_each, squares, truth = drawn(seed, error=error)
        plain = each.sum(axis=0) * N / len(each)
        shrunk = steadied(each, error_of_each, squares, N)
        errors.append([off(matrix, truth) for matrix in (shrunk, plain, squares)])
    steady, plain, squares = np.sqrt(np.mean(np.square(errors), axis=0))
    assert steady < gain * plain
    assert steady < 1.3 * squares


def test_what_a_wrong_model_adds_stays():
    for seed in range(10):
        each, error, squares, truth = drawn(seed, wrong=3.0)
        plain = each.sum(axis=0) * N / len(each)
        assert off(steadied(each, error, squares, N), truth) > 0.8 * off(plain, truth)


def test_without_noise_it_is_the_curvature():
    each, error, squares, _ = drawn(0, used=N, wrong=1.5)
    assert off(steadied(each, error, squares, N), each.sum(axis=0)) < 1e-9


def test_no_unit_matters():
    each, error, squares, _ = drawn(1, error=0.5)
    scale = np.diag([10.0, 1e-3, 1e5, 1.0])
    moved = steadied(scale @ each @ scale, scale @ error @ scale, scale @ squares @ scale, N)
    np.testing.assert_allclose(
        moved, scale @ steadied(each, error, squares, N) @ scale, rtol=1e-6, atol=1e-12
    )


def test_scores_that_say_nothing_leave_the_curvature():
    each, error, squares, _ = drawn(2)
    squares[1], squares[:, 1] = 0.0, 0.0
    np.testing.assert_allclose(
        steadied(each, error, squares, N), each.sum(axis=0) * N / len(each), rtol=1e-12
    )


def test_of_one_parameter_it_is_the_formula_of_james_and_stein():
    rng = np.random.default_rng(3)
    each, error = 1.3 + 2 * rng.standard_normal(400), rng.standard_normal(400)
    squares = 1100.0
    found = steadied(each[:, None, None], error[:, None, None], np.array([[squares]]), N)
    plain = each.mean() * N
    off_squares = plain / squares - 1
    scatter = (np.sum(error**2) + (1 - 0.4) * np.sum((each - each.mean()) ** 2)) / squares**2
    kept = 1 - scatter / 0.4**2 / off_squares**2
    assert 0.3 < kept < 0.9
    assert found.item() == pytest.approx(squares * (1 + kept * off_squares), rel=1e-12)


@pytest.mark.parametrize("systems", [5, 6])
def test_squares_of_as_few_systems_as_parameters_do_not_lengthen_the_steps(systems):
    """Logistic regressions, -log p = log(1 + exp(-a p - c)), which are flat at long steps.

    At a maximum the scores add up to zero, so that the squares of no more systems than parameters
    are singular.
    """
    problem, rng = linear_problem(systems, seed=1), np.random.default_rng(3)
    k = len(problem.free)
    problem = replace(problem, scale=np.full(k, 100.0))
    rows, offsets = rng.standard_normal((systems, k)), rng.standard_normal(systems)

    def evaluation(scores):
        arrays = {field.name: np.zeros(len(scores)) for field in fields(Evaluation)}
        none = np.zeros_like(scores)
        return Evaluation(**arrays | {"scores": scores, "score_error": none, "score_bias": none})

    def likelihood(p, memory=None, some=None):
        return evaluation((expit(-rows @ p - offsets)[:, None] * rows)[some])

    here = evaluation((rows - rows.mean(axis=0)) / 2)
    point = point_of(problem, np.zeros(k), here)
    found = curvature_at(problem, likelihood, point, here, squares_of(problem, here))
    exact = (rows * (expit(offsets) * expit(-offsets))[:, None]).T @ rows
    np.testing.assert_allclose(found, exact, atol=0.15 * np.abs(exact).max())


@pytest.mark.parametrize("entry", [2, 3])
def test_an_end_that_is_not_concave_has_a_doubt_that_names_the_parameter(entry):
    problem = linear_problem(12, seed=1)
    point = point_of(problem, TRUTH, ClosedForm(problem)(TRUTH))
    state = replace(begin(point), arrived=True)
    curvature = point.information.copy()
    concave = estimate_at(problem, 0, state, None, None, 0.0, curvature)
    assert concave.passes
    assert not concave.doubt
    curvature[entry], curvature[:, entry] = 0.0, 0.0
    curvature[entry, entry] = -2.0
    estimate = estimate_at(problem, 0, state, None, None, 0.0, curvature)
    assert estimate.passes
    name = problem.law.names[entry]
    assert f"not concave at its end, along {name} = {np.exp(TRUTH[entry]):.3g}:" in estimate.doubt
    assert estimate_dataset(problem, estimate).attrs["doubt"] == estimate.doubt


DOSES = 10.0 ** np.linspace(-1.0, 2.0, 7)


def hill(z: torch.Tensor) -> torch.Tensor:
    """Return E0 + Emax / (1 + (K / dose)^n) at seven doses, for (E0, Emax, K, n)."""
    low, height, half, steepness = (z[:, i : i + 1] for i in range(4))
    return low + height * torch.sigmoid(steepness * torch.log(torch.from_numpy(DOSES) / half))


@pytest.mark.full
@pytest.mark.parametrize("seed", [0, 2])
def test_eight_dose_response_curves_have_the_same_maximum_from_two_starts(seed):
    rng = np.random.default_rng([seed, 77])
    half = np.exp(np.log(5.0) + rng.standard_normal(8))
    steepness = np.exp(np.log(1.2) + 0.5 * rng.standard_normal(8))
    z = np.column_stack([np.full(8, 10.0), np.full(8, 100.0), half, steepness])
    law = lognormal_law(["E0", "Emax", "K", "n"], common=["E0", "Emax"])
    noise = AutoregressiveNoise(1, 7, order=1)
    truth = np.array([*np.log([10.0, 100.0, 5.0, 1.2]), 0.0, np.log(0.5), np.log(0.3), 0.55])
    xi = noise.sample(torch.from_numpy(truth[-2:]), torch.from_numpy(rng.standard_normal((8, 7))))
    data = (hill(torch.from_numpy(z)) + xi).numpy()
    problem = Problem(data, hill, law, noise, np.full(8, 0.5), seed=1)
    wrong = np.add(truth, [0.03, 0.01, 0.2, -0.2, -0.2, -0.2, 1.3, 1.5])
    ends = [fit_marginal_likelihood(problem, start) for start in (truth, wrong)]
    values = [end.diagnostics["value"] for end in ends]
    for end in ends:
        assert end.passes, end.reason
        assert not end.doubt
    assert values[0] == pytest.approx(values[1], abs=0.05)
