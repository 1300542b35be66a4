"""A smooth discrepancy of systems whose sensors are at places of their own, beside closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_population import normal_log_density
from scipy.interpolate import CubicSpline
from slopes import slopes

from popinv.inference.density.build import at_own_places
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem, replicated_simulator
from popinv.inference.estimators.discrepancy_size import settled, size_evidence, with_uncertain_size
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import evaluator, fit_pseudo_likelihood
from popinv.inference.integrate.integrals import MarginalSettings
from popinv.inference.integrate.marginal import evaluate
from popinv.inference.integrate.model_moments import matched_draws
from popinv.inference.integrate.penalty import penalty_at
from popinv.population.known import Known
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.discrepancy import SharedDiscrepancy
from popinv.population.noise.knots import KNOTS, SensorKnots
from popinv.population.noise.terms import Noise
from popinv.population.noise.unstructured import IsotropicNoise

ALPHA = np.array([1.0, -0.5, np.log(0.8), np.log(0.5)])
NOISE, M = 0.2, 4


def bias(x: np.ndarray) -> np.ndarray:
    """Return the error of the simulator."""
    return 0.4 * np.sin(2 * np.pi * x)


def line(inputs: torch.Tensor) -> torch.Tensor:
    """Return lines at the places that follow intercept and slope."""
    return inputs[:, :1] + inputs[:, 1:2] * inputs[:, 2:]


def problem_of(count: int = 30, replicates: int = 1, seed: int = 0) -> Problem:
    """Return lines that are seen at random places of each system, with an error."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(count, M))
    z = ALPHA[:2] + np.exp(ALPHA[2:]) * rng.standard_normal((count, 2))
    clean = np.tile(z[:, :1] + z[:, 1:] * x + bias(x), replicates)
    data = clean + NOISE * rng.standard_normal(clean.shape)
    sensors = SensorKnots(0, M)
    shared = SharedDiscrepancy(sensors.knots[:, None], "matern52", sensors)
    noise = Noise(IsotropicNoise(M), shared=shared, replicates=replicates)
    law = normal_law(["intercept", "slope"])
    return Problem(
        data,
        replicated_simulator(line, replicates),
        law,
        noise,
        np.full(4 + len(noise.names), 0.5),
        seed=seed,
        fixed=tuple(4 + i for i in noise.sizes_of_discrepancy),
        conditions=Conditions.stated(data.shape, known=Known.of_arrays(x, x)),
    )


def at(problem: Problem) -> np.ndarray:
    """Return p with the true law and noise, and an error other than the true one."""
    values = 0.5 * bias(problem.noise.shared.sensors.knots) + 0.1
    own = problem.noise.shared.coordinates_of(np.log([0.3, 0.4]), values)
    return np.concatenate([ALPHA, [np.log(NOISE)], own])


def exact(problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return log p(y_n) of each system; b is the spline through the knots."""
    root = problem.noise.shared.correlation_root(np.exp(p[6])).numpy()
    spline = CubicSpline(np.linspace(0, 1, KNOTS), np.exp(p[5]) * root @ p[7:])
    found = []
    for y, seen, own in zip(
        problem.data, problem.conditions.present, problem.known.design.numpy(), strict=True
    ):
        x = np.tile(own[:M], problem.replicates)
        design = np.column_stack([np.ones_like(x), x])
        covariance = design @ np.diag(np.exp(2 * p[2:4])) @ design.T
        covariance = covariance + np.exp(2 * p[4]) * np.eye(len(x))
        residual = y - design @ p[:2] - spline(x)
        found.append(normal_log_density(residual[None], covariance[None], seen[None])[0])
    return np.array(found)


def exact_scores(problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return its derivatives by central differences, zero for what is held."""
    return slopes(lambda q: exact(problem, q), p, 1e-5) * problem.free


@pytest.mark.parametrize("replicates", [1, 2])
def test_values_and_scores_of_both_likelihoods_are_those_of_the_closed_form(replicates):
    problem = problem_of(replicates=replicates)
    p = at(problem)
    value, scores = exact(problem, p), exact_scores(problem, p)
    penalty = penalty_at(problem, p)
    point = evaluator(problem, matched_draws(problem, 64))(p, {})
    assert point.value == pytest.approx(value.sum() - penalty.value, rel=1e-9)
    expected = scores.sum(axis=0) - penalty.gradient
    # Differences with steps of 1e-5 have errors of about 1e-6 of the largest score.
    np.testing.assert_allclose(point.gradient, expected, atol=1e-6 * np.abs(expected).max())
    found = evaluate(problem, p, MarginalSettings(draws=16))
    # Draws about the mode have equal weights, but for the distance to it at which searches end.
    np.testing.assert_allclose(found.log_likelihood, value, atol=1e-4)
    free = problem.free
    assert np.abs(found.scores - scores)[:, free].max() < 1e-3 * np.abs(scores).max()


def test_systems_that_use_few_of_their_sensors_have_the_values_there():
    problem = problem_of()
    rng = np.random.default_rng(4)
    present = np.zeros(problem.data.shape, dtype=bool)
    present[np.arange(len(present)), rng.integers(M, size=len(present))] = True
    conditions = Conditions.stated(
        present.shape, present=present, fill=problem.data.mean(axis=0), known=problem.known
    )
    union = replace(problem, conditions=conditions)
    placed, p = at_own_places(union, line), at(problem)
    assert placed.data.shape == (30, 1)
    value = exact(union, p)
    for each in (union, placed):
        found = evaluate(each, p, MarginalSettings(draws=16))
        np.testing.assert_allclose(found.log_likelihood, value, atol=1e-4)


def test_the_spline_through_the_knots_is_close_to_the_process():
    knots = SensorKnots(0, 1)
    x = np.linspace(0.01, 0.99, 199)
    weights = knots.weights(torch.from_numpy(x[:, None]))[:, 0].numpy()

    def kernel(distance: np.ndarray, length: float) -> np.ndarray:
        s = np.sqrt(5) * np.abs(distance) / length
        return (1 + s + s**2 / 3) * np.exp(-s)

    # The figures of the module: the largest standard deviation of what the spline misses.
    for length, missed in ((knots.shortest, 0.05), (0.25, 0.0062), (0.5, 0.0012)):
        inner = kernel(knots.knots[:, None] - knots.knots, length)
        across = kernel(x[:, None] - knots.knots, length)
        variance = 1 - 2 * (weights * across).sum(1) + ((weights @ inner) * weights).sum(1)
        assert 0.8 * missed < np.sqrt(variance.max()) < missed


def test_sensors_outside_the_knots_are_refused():
    with pytest.raises(ValueError, match="outside the interval"):
        SensorKnots(0, 1).weights(torch.tensor([[1.2]], dtype=torch.float64))


@pytest.mark.full
def test_a_fit_recovers_the_error_between_all_sensors():
    problem = problem_of(count=150)
    start = at(problem)
    start[7:] = 0.0
    first = fit_pseudo_likelihood(problem, [start], draws=64)
    estimate = settled(problem, first, lambda p: fit_pseudo_likelihood(problem, [p], draws=64))
    best = with_uncertain_size(problem, fit_marginal_likelihood(problem, estimate.p))
    assert size_evidence(problem, best.p).gain > 10
    knots = problem.noise.shared.sensors.knots
    # What a line can express is told by the prior alone.
    design = np.column_stack([np.ones(KNOTS), knots])
    across = np.eye(KNOTS) - design @ np.linalg.pinv(design)
    b = problem.noise.shared.values(
        problem.noise.part("shared", torch.from_numpy(best.p[4:]))
    ).numpy()
    root = problem.noise.shared.root(
        problem.noise.part("shared", torch.from_numpy(best.p[4:]))
    ).numpy() @ np.eye(KNOTS)
    covariance = across @ root @ best.covariance[7:, 7:] @ root.T @ across.T
    errors = np.sqrt(np.diag(covariance))
    assert (np.abs(across @ (b - bias(knots))) < 4 * errors).all()
    assert errors.max() < 0.1
    assert np.exp(best.p[4]) == pytest.approx(NOISE, rel=0.1)
