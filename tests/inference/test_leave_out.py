"""The answer without some of its systems, against the closed form of a linear Gaussian problem."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from linear_population import PLACES, TRUTH, line, linear_problem
from problems import silent
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from popinv.inference.answer.result import estimate_dataset
from popinv.inference.checks.folds import first_order, folds_of
from popinv.inference.checks.predictive import predictive
from popinv.inference.density.problem import Problem, replicated_simulator
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.estimators.short_descents import ShortDescents
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.uncertainty.leave_out import refit_dataset, refits
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.terms import replicated_noise
from popinv.population.noise.unstructured import FullNoise

DRAWS = 64


def exact_log_densities(problem, p):
    """Return log p(y_n) of all systems by SciPy, (N,)."""
    design = np.column_stack([np.ones(6), PLACES])
    signal = design @ np.diag(np.exp(2 * p[2:4])) @ design.T
    noise = problem.noise.covariance(torch.from_numpy(p[4:])).numpy()
    return multivariate_normal.logpdf(problem.data, design @ p[:2], signal + noise)


def closed_form(problem):
    """Return the maximum of the exact likelihood of a problem's systems, (n_p,)."""
    found = minimize(lambda p: -exact_log_densities(problem, p).sum(), TRUTH, method="BFGS")
    return found.x


def answer_of(problem, estimate, estimator):
    return estimate_dataset(problem, estimate, {"estimator": estimator, "through": "surrogate"})


def observations(learned, tested, folds):
    """Return observations of this form, as far as the folds depend on it."""
    return xr.Dataset(
        {"y": (("system", "observation"), np.zeros((learned, 1)))},
        coords={"heldout_system": np.arange(tested)},
        attrs={"folds": folds},
    )


def test_folds_are_the_last_rows_or_take_turns():
    (held,) = folds_of(observations(10, 3, 1))
    np.testing.assert_array_equal(held, [7, 8, 9])
    of_few = folds_of(observations(7, 7, 3))
    assert [list(rows) for rows in of_few] == [[0, 3, 6], [1, 4], [2, 5]]
    assert folds_of(observations(10, 3, 0)) == []


@pytest.fixture(scope="module")
def many():
    problem = replace(linear_problem(count=300, seed=4), stage="polish")
    return problem, fit_marginal_likelihood(problem, TRUTH, MarginalSettings(draws=DRAWS))


def test_the_answer_and_its_refit_are_the_closed_forms_of_their_systems(many):
    problem, estimate = many
    held = [np.arange(240, 300)]
    errors = estimate.standard_errors
    assert np.all(np.abs(estimate.p - closed_form(problem)) < 0.05 * errors)
    found = refits(problem, answer_of(problem, estimate, "likelihood"), held, None, DRAWS)
    assert found.arrived.all()
    rest = problem.of_systems(np.arange(240))
    exact = closed_form(rest)
    assert np.all(np.abs(found.p[0] - exact) < 0.05 * errors)
    # The held-out systems matter, so this is not the answer itself.
    assert np.max(np.abs(exact - estimate.p) / errors) > 0.2


def test_what_is_subtracted_for_the_surrogate_stays_the_same(many):
    problem, estimate = many
    held, correction = [np.arange(240, 300)], 0.1 * estimate.standard_errors
    plain = refits(problem, answer_of(problem, estimate, "likelihood"), held, None, DRAWS)
    pushed = replace(
        estimate,
        p=estimate.p + correction,
        correction=correction,
        correction_covariance=np.zeros((6, 6)),
    )
    found = refits(problem, answer_of(problem, pushed, "likelihood"), held, None, DRAWS)
    np.testing.assert_allclose(found.p, plain.p + correction)


def test_intervals_of_all_systems_are_narrower_by_the_root_of_their_number(many):
    problem, estimate = many
    rest = problem.of_systems(np.arange(240))
    alone = fit_marginal_likelihood(rest, TRUTH, MarginalSettings(draws=DRAWS))
    ratio = estimate.standard_errors / alone.standard_errors
    # Both are estimated from the scores of their systems.
    assert np.mean(ratio) == pytest.approx(np.sqrt(240 / 300), rel=0.05)
    np.testing.assert_allclose(ratio, np.sqrt(240 / 300), rtol=0.15)


@pytest.fixture(scope="module")
def few():
    """Return thirty systems, their estimate, folds, refits and the closed forms of the refits."""
    problem = replace(linear_problem(count=30, seed=2), stage="polish")
    estimate = fit_marginal_likelihood(problem, TRUTH, MarginalSettings(draws=400))
    folds = [np.arange(k, 30, 5) for k in range(5)]
    found = refits(problem, answer_of(problem, estimate, "likelihood"), folds, None, 400)
    rest = [np.setdiff1d(np.arange(30), rows) for rows in folds]
    exact = np.array([closed_form(problem.of_systems(rows)) for rows in rest])
    return problem, estimate, folds, found, exact


def test_few_systems_are_refitted_without_each_fold(few):
    _, estimate, folds, found, exact = few
    assert found.arrived.all()
    away = np.abs(found.p - exact) / estimate.standard_errors
    assert np.max(away) < 0.1
    # To first order it is further off.
    near = first_order(estimate.p, estimate.influence, folds)
    assert np.max(np.abs(near - exact) / estimate.standard_errors) > 3 * np.max(away)


def test_the_cross_validated_score_is_that_of_brute_force_refits(few):
    problem, estimate, folds, found, refitted = few
    scores = predictive(problem, problem.data, problem.conditions, found.p, 400)
    exact = np.empty(30)
    for rows, p in zip(folds, refitted, strict=True):
        exact[rows] = exact_log_densities(problem.of_systems(rows), p)
    assert not scores.reason
    np.testing.assert_allclose(scores.log_score, exact, atol=0.05)
    assert scores.log_score.mean() == pytest.approx(exact.mean(), abs=0.005)
    # The score within the sample is too good.
    assert exact_log_densities(problem, estimate.p).mean() > exact.mean() + 0.1


def test_the_score_of_held_out_systems_is_that_of_a_fit_which_has_not_seen_them(many):
    problem, estimate = many
    held = np.arange(240, 300)
    found = refits(problem, answer_of(problem, estimate, "likelihood"), [held], None, DRAWS)
    tested = problem.of_systems(held)
    scores = predictive(problem, tested.data, tested.conditions, found.p, 400)
    exact = exact_log_densities(tested, closed_form(problem.of_systems(np.arange(240))))
    assert scores.log_score.mean() == pytest.approx(exact.mean(), abs=0.005)
    # The answer has seen them, and scores better.
    assert exact_log_densities(tested, estimate.p).mean() > exact.mean() + 0.01


@pytest.mark.parametrize("estimator", ["pseudo_likelihood", "distance"])
def test_other_estimators_are_refitted_too(estimator):
    # The observations are normal, so that the pseudo-likelihood is the likelihood.
    problem = replace(linear_problem(count=300, seed=5), stage="polish")
    estimate = fit_pseudo_likelihood(problem, [TRUTH])
    settings = DescentSettings(iterations=60, model_samples=1000, directions=60)
    folds = [np.arange(240, 300)]
    found = refits(problem, answer_of(problem, estimate, estimator), folds, settings, DRAWS)
    exact = closed_form(problem.of_systems(np.arange(240)))
    away = np.abs(found.p[0] - exact) / estimate.standard_errors
    # The distance has a sampling error of its own.
    assert np.max(away) < (0.05 if estimator == "pseudo_likelihood" else 1.0)
    stored = refit_dataset(problem, found, answer_of(problem, estimate, estimator))
    np.testing.assert_allclose(stored["law"].values[0], problem.law.to_natural(found.p[0][:4]))
    assert stored.attrs["estimator"] == estimator


def test_a_fold_that_cannot_be_refitted_is_left_out_to_first_order(many, capsys):
    problem, estimate = many
    answer = answer_of(problem, estimate, "likelihood")

    def broken(z):
        return problem.simulate(z) * float("nan")

    broken_problem = replace(problem, simulate=broken)
    found = refits(broken_problem, answer, [np.arange(240, 300)], None, DRAWS)
    assert not found.arrived.any()
    expected = first_order(estimate.p, estimate.influence, [np.arange(240, 300)])
    np.testing.assert_allclose(found.p, expected)
    assert "first order only" in capsys.readouterr().out


class _Line:
    """The forward model in place of a surrogate, which answers one replicate."""

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return line(z)

    def session(self):
        return nullcontext()


def test_a_refit_through_the_solver_answers_all_replicates():
    one, other = (linear_problem(count=220, seed=seed) for seed in (4, 5))
    clean = one.simulate(torch.from_numpy(np.random.default_rng(0).normal(size=(220, 2)))).numpy()
    noise = [each.data - each.data.mean(axis=0) for each in (one, other)]
    data = np.concatenate([clean + 0.3 * part for part in noise], axis=1)
    problem = replace(
        one,
        data=data,
        noise=replicated_noise(one.noise, 2),
        simulate=replicated_simulator(line, 2),
        stage="polish",
    )
    estimate = fit_marginal_likelihood(problem, TRUTH, MarginalSettings(draws=DRAWS))
    answer, held = answer_of(problem, estimate, "likelihood"), [np.arange(180, 220)]
    found = refits(problem, answer, held, None, DRAWS)
    through = refits(problem, answer, held, None, DRAWS, _Line())
    np.testing.assert_allclose(through.p, found.p, rtol=1e-9)


def test_short_descents_of_an_unrestricted_covariance_end_about_the_answer():
    rng = np.random.default_rng(2)
    data = rng.standard_normal((400, 3)) * np.array([0.5, 1.0, 2.0])
    noise, law = FullNoise(3, shrinkage=0.0), normal_law(["a"])
    scale = np.concatenate([np.full(2, 0.5), noise.scale])
    problem = Problem(data, silent(3), law, noise, scale, free_law=False)
    factor = torch.linalg.cholesky(torch.from_numpy(data.T @ data / 400))
    p = np.concatenate([np.array([0.3, -0.2]), noise.from_cholesky(factor).numpy()])
    descents = ShortDescents(problem, DescentSettings(model_samples=200, directions=9), p)
    drawn = [problem.of_systems(rng.integers(400, size=400)) for _ in range(2)]
    answers = np.array([descents(others, k) for k, others in enumerate(drawn)])
    np.testing.assert_allclose(answers[:, :2], np.tile(p[:2], (2, 1)), rtol=1e-12)
    # The standard error of the logarithm of a deviation is 1 / sqrt(2 N).
    away = np.abs(answers - p)[:, 2:5] * np.sqrt(2 * 400)
    assert 0.1 < away.mean() < 2
    assert away.max() < 4
