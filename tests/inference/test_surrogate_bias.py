"""The push of a surrogate's error, measured by fresh solves and taken off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from problems import COUNTED, TRUE_ALPHA, counted, curve, curve_problem
from tiers import parameters

from popinv.inference.answer.result import estimate_dataset
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_distance import fit_distance
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.uncertainty.scores import (
    distance_scores,
    marginal_scores,
    pseudo_scores,
    surrogate_push,
)
from popinv.inference.uncertainty.surrogate_bias import (
    FreshSolves,
    _held,
    corrected,
    observe_again,
)
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.terms import replicated_noise
from popinv.population.noise.unstructured import IsotropicNoise


def off(z: torch.Tensor) -> torch.Tensor:
    """Return a surrogate of the curve that errs by about half a deviation of the noise."""
    x = torch.linspace(0, 1, 8, dtype=torch.float64)
    return curve(z) + 0.05 * torch.sin(3 * z[:, :1]) * x + 0.03


def fresh(count: int = 400) -> FreshSolves:
    rng = np.random.default_rng(5)
    deviations = np.exp(TRUE_ALPHA[2:])
    z = TRUE_ALPHA[:2] + deviations * rng.standard_normal((count, 2))
    return FreshSolves(z, curve(torch.from_numpy(z)).numpy())


@pytest.mark.full
@pytest.mark.parametrize("estimator", ["pseudo_likelihood", "likelihood", "distance"])
def test_without_the_push_the_answer_is_the_solvers(estimator):
    problem, alpha, gamma = curve_problem(count=300)
    surrogate = replace(problem, simulate=off)
    start, settings = np.concatenate([alpha, gamma]), MarginalSettings(draws=32, new_value=False)
    if estimator == "pseudo_likelihood":
        wanted, estimate = (fit_pseudo_likelihood(p, [start]) for p in (problem, surrogate))
        scores = pseudo_scores(surrogate, estimate.p)
    elif estimator == "likelihood":
        wanted, estimate = (
            fit_marginal_likelihood(p, start, settings) for p in (problem, surrogate)
        )
        scores = marginal_scores(surrogate, estimate.p, settings)
    else:
        short = DescentSettings(iterations=60, model_samples=600, directions=64)
        wanted, other = (
            fit_distance(p, short, [start], progress=False) for p in (problem, surrogate)
        )
        wanted, estimate = wanted.estimate, other.estimate
        scores = distance_scores(other.influence)
    better = corrected(surrogate, estimate, scores, fresh(200), "fresh", pairs=2)
    before = np.abs(estimate.p - wanted.p) / wanted.standard_errors
    after = np.abs(better.p - wanted.p) / wanted.standard_errors
    assert before.max() > 1.5
    # What is left: the second order of a push of some standard errors, and the fresh solves' own.
    assert np.linalg.norm(after) < 0.5 * np.linalg.norm(before)
    np.testing.assert_allclose(better.p - estimate.p, better.correction)
    assert np.all(np.diag(better.correction_covariance) > 0)


@pytest.mark.parametrize("free_noise", [True, False])
def test_scores_of_the_same_observations_are_computed_once(free_noise):
    problem, alpha, gamma = curve_problem(count=200)
    surrogate = replace(problem, simulate=off, free_noise=free_noise)
    estimate = fit_pseudo_likelihood(surrogate, [np.concatenate([alpha, gamma])])
    inner, seen = pseudo_scores(surrogate, estimate.p), []

    def scores(observed):
        seen.append(observed.data.tobytes())
        return inner(observed)

    corrected(surrogate, estimate, scores, fresh(), "fresh", pairs=4)
    assert len(seen) == len(set(seen))
    # Several steps were made: with the same noise they see the same observations.
    assert len(seen) > 2 if free_noise else len(seen) == 2


def test_of_many_fresh_solves_some_tell_the_push(monkeypatch):
    problem, alpha, gamma = curve_problem(count=300)
    surrogate = replace(problem, simulate=off)
    estimate = fit_pseudo_likelihood(surrogate, [np.concatenate([alpha, gamma])])
    push = surrogate_push(surrogate, estimate_dataset(surrogate, estimate, {}))
    many = fresh(1200)
    solves = xr.Dataset({"z": (("sample", "input"), many.z), "y": (("sample", "output"), many.y)})
    whole, part = push(solves), push(solves.isel(sample=slice(400)))
    assert 1.5 < whole != part
    monkeypatch.setattr("popinv.inference.uncertainty.scores._MOST_SOLVES", 400)
    assert push(solves) == part == pytest.approx(whole, rel=0.2)


def test_a_perfect_surrogate_pushes_nothing():
    problem, alpha, gamma = curve_problem(count=200)
    estimate = fit_pseudo_likelihood(problem, [np.concatenate([alpha, gamma])])
    better = corrected(problem, estimate, pseudo_scores(problem, estimate.p), fresh(), "fresh")
    np.testing.assert_allclose(better.p, estimate.p, atol=1e-12)
    np.testing.assert_allclose(better.correction_covariance, 0.0, atol=1e-20)


def test_randomness_inside_the_solver_is_taken_out_of_the_noise():
    # The solver answers with an error of its own, as averages over a finite time have.
    problem, alpha, _ = curve_problem(count=1500)
    rng = np.random.default_rng(1)
    deviation, inside = 0.1, 0.08
    z = TRUE_ALPHA[:2] + np.exp(TRUE_ALPHA[2:]) * rng.standard_normal((1500, 2))
    clean = curve(torch.from_numpy(z)).numpy()
    total = np.hypot(deviation, inside)
    data = clean + total * rng.standard_normal(clean.shape)
    noisy = replace(problem, data=data, noise=IsotropicNoise(8), scale=np.full(5, 0.5))
    estimate = fit_pseudo_likelihood(noisy, [np.append(alpha, np.log(0.1))])
    solves = fresh(2000)
    solves = FreshSolves(solves.z, solves.y + inside * rng.standard_normal(solves.y.shape))
    better = corrected(noisy, estimate, pseudo_scores(noisy, estimate.p), solves, "fresh", pairs=4)
    # 1500 systems of 8 observations tell a deviation to one per cent.
    assert np.exp(estimate.p[4]) == pytest.approx(total, rel=0.03)
    assert np.exp(better.p[4]) == pytest.approx(deviation, rel=0.05)


@parameters("estimator", ["pseudo_likelihood"], full=["likelihood"])
def test_runs_of_a_random_simulator_correct_what_was_learned_wrongly(estimator):
    """The counts are two on average, and their learned mean and variance are 10 % too large."""
    rng, truth = np.random.default_rng(0), np.array([0.7, np.log(0.4), np.log(0.5)])

    def runs(count: int) -> FreshSolves:
        z = truth[0] + np.exp(truth[1]) * rng.standard_normal((count, 1))
        return FreshSolves(z, rng.poisson(np.exp(z), (count, 4)).astype(float))

    data = runs(300).y + 0.5 * rng.standard_normal((300, 4))
    right = Problem(data, counted, normal_law(["a"]), COUNTED, np.full(3, 0.5))
    wrong = replace(right, simulate=lambda z: counted(z, 1.1))
    wanted, estimate = (fit_pseudo_likelihood(problem, [truth]) for problem in (right, wrong))
    assert (wanted.p - estimate.p)[0] > 2.5 * wanted.standard_errors[0]
    scores = pseudo_scores(wrong, estimate.p)
    if estimator == "likelihood":
        settings = MarginalSettings(draws=64)
        estimate = fit_marginal_likelihood(wrong, estimate.p, settings)
        scores = marginal_scores(wrong, estimate.p, settings)
    better = corrected(wrong, estimate, scores, runs(600), "fresh", pairs=4)
    spread = np.sqrt(np.diag(better.correction_covariance))
    # The pseudo-likelihood needs no normal answer, the likelihood does: both are at the truth.
    errors = np.hypot(spread, wanted.standard_errors)
    assert abs(estimate.p - truth)[0] > 3 * errors[0]
    assert np.all(np.abs(better.p - truth)[:2] < 2 * errors[:2])
    # Of 600 runs, the randomness is about the root of 300 / 600 of that of the systems.
    assert np.all(spread[:2] / wanted.standard_errors[:2] < 0.8)


def test_single_runs_do_not_stand_for_replicates():
    """Replicates are runs of their own at the same parameters, which no single run shows."""
    problem = Problem(np.zeros((5, 4)), counted, normal_law(["a"]), COUNTED, np.full(3, 0.5))
    assert problem.correctable
    assert not replace(
        problem, data=np.zeros((5, 8)), noise=replicated_noise(COUNTED, 2)
    ).correctable


def test_the_same_stage_gives_the_same_noise():
    problem, _, gamma = curve_problem(count=50)
    clean = np.zeros((7, 8))
    one, same, other = (
        observe_again(problem, gamma, clean, stage, 2).data for stage in ("a", "a", "b")
    )
    np.testing.assert_array_equal(one, same)
    assert np.all(one != other)
    # Pairs (xi, -xi): of each solve the noise sums to zero.
    np.testing.assert_allclose(one.reshape(4, 7, 8).sum(axis=0), 0.0, atol=1e-14)


def test_a_correction_beyond_all_sizes_is_not_made():
    # The mean is exchanged with a deviation that nothing determines: its error is no measure.
    problem, alpha, gamma = curve_problem(count=200)
    surrogate = replace(problem, simulate=off)
    estimate = fit_pseudo_likelihood(surrogate, [np.concatenate([alpha, gamma])])
    flat = estimate.bread.copy()
    flat[0] *= 1e6
    flat[:, 0] *= 1e6
    loose = replace(estimate, bread=flat, covariance=flat)
    better = corrected(surrogate, loose, pseudo_scores(surrogate, estimate.p), fresh(), "fresh")
    np.testing.assert_array_equal(better.p, estimate.p)
    assert not better.passes
    assert "too much for a correction" in better.reason
    assert abs(better.correction[0]) > 20 * problem.scale[0]


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_the_inverse_of_what_is_free_follows_from_the_whole_inverse(size):
    root = np.random.default_rng(0).standard_normal((5, 5))
    matrix = size * (root @ root.T + np.eye(5))
    free = np.array([True, False, True, True, False])
    inverse = _held(np.linalg.inv(matrix), free)
    both = np.ix_(free, free)
    np.testing.assert_allclose(inverse[both], np.linalg.inv(matrix[both]), rtol=1e-9)
    assert not inverse[~free].any()
