"""Directions that the data do not determine, and the combinations that they determine."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import restricted_inverse
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.uncertainty.identifiability import identifiability
from popinv.inference.uncertainty.undetermined import Undetermined
from popinv.population.constraints import POSITIVE, REAL
from popinv.population.laws.gaussian import GaussianLaw, lognormal_law, normal_law
from popinv.population.noise.unstructured import IsotropicNoise


def empty(law) -> Problem:
    entries = len(law.names) + 1
    data = np.zeros((20, 2))
    return Problem(data, lambda z: z[:, :2], law, IsotropicNoise(2), np.full(entries, 0.5))


def unit(*entries: float) -> np.ndarray:
    vector = np.array(entries)
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize(
    ("law", "direction", "name"),
    [
        (lognormal_law, (1, 1, 0), "F_median / V_median"),
        (lognormal_law, (1, -1, 0), "F_median * V_median"),
        (lognormal_law, (2, 1, 0), "F_median^0.5 / V_median"),
        (normal_law, (1, -1, 0), "F_mean + V_mean"),
        (normal_law, (1, 1, 0), "F_mean - V_mean"),
        (normal_law, (0, 1, -2), "V_mean + 0.5 k_mean"),
    ],
)
def test_a_combination_across_the_direction_is_named(law, direction, name):
    problem = empty(law(["F", "V", "k"]))
    vector = unit(*direction, 0, 0, 0, 0)
    unknown = Undetermined(vector[None], np.ones(7))
    np.testing.assert_array_equal(np.flatnonzero(unknown.entries), np.flatnonzero(vector))
    p = np.array([0.3, -0.2, 0.5, 0, 0, 0, 0])
    root = 0.1 * np.random.default_rng(0).standard_normal((7, 7))
    covariance = unknown.within(root @ root.T)
    (found,) = unknown.combinations(problem, p, covariance)
    assert found.name == name
    # The value and the interval of c^T p, with c across the direction.
    first, second = np.flatnonzero(vector)
    across = np.zeros(7)
    across[first], across[second] = vector[second], -vector[first]
    across /= across[first] if found.name.startswith(("F_m", "V_m")) else 1
    told = {"F_median^0.5": 0.5}.get(name.split(" ")[0], 1.0)
    across *= told
    value, error = across @ p, np.sqrt(across @ covariance @ across)
    half = student(19).ppf(0.975) * error
    exact = np.array([value, value - half, value + half])
    exact = np.exp(exact) if law is lognormal_law else exact
    np.testing.assert_allclose([found.value, found.lower, found.upper], exact)


def test_a_covariance_within_what_is_determined_leaves_combinations_alone():
    scales = np.array([2.0, 0.5, 1.0, 3.0])
    # In natural units, the first moves by two scales and the second by one.
    unknown = Undetermined(unit(2, 1, 0, 0)[None], scales)
    root = np.random.default_rng(1).standard_normal((4, 4))
    covariance = root @ root.T
    vast = covariance + 1e6 * np.outer(*2 * [scales * unknown.directions[0]])
    for within in (unknown.within(covariance), unknown.within(vast)):
        along = unknown.directions[0] / scales
        np.testing.assert_allclose(within @ along, 0.0, atol=1e-8)
        for across in (np.array([1.0, -2.0, 0, 0]), np.eye(4)[2], np.array([0, 0, 1.0, -1.0])):
            vector = across / scales
            assert vector @ within @ vector == pytest.approx(vector @ covariance @ vector, rel=1e-6)
    # A parameter that the simulator ignores has any variance; directions have rounding.
    ignored = Undetermined(np.array([[1.0, 0, 1e-16, -1e-16]]), scales)
    endless = covariance.copy()
    endless[0, 0] = 1e46
    rest = ignored.within(endless)
    np.testing.assert_array_equal(rest[0], 0.0)
    np.testing.assert_allclose(rest[1:, 1:], covariance[1:, 1:])
    nothing = Undetermined(np.zeros((0, 4)), scales)
    assert nothing.within(covariance) is covariance
    assert not nothing.entries.any()


def test_a_small_coefficient_of_a_parameter_that_moves_by_much_is_told():
    """The observations depend on F + 1e-4 V."""
    problem = empty(normal_law(["F", "V"]))
    scales = np.array([1.0, 1e4, 1, 1, 1])
    unknown = Undetermined(unit(1, -1, 0, 0, 0)[None], scales)
    (found,) = unknown.combinations(problem, np.array([2.0, 3.0, 0, 0, 0]), np.eye(5))
    assert found.name == "F_mean + 0.0001 V_mean"
    assert found.value == pytest.approx(2.0003)


TIMES = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)


def dose(z: torch.Tensor) -> torch.Tensor:
    return 10 * z[:, :1] / z[:, 1:2] * torch.exp(-0.3 * TIMES) + z[:, 2:]


@pytest.mark.parametrize("count", [30, 300])
def test_a_ratio_is_found_with_few_systems_and_with_many(count):
    law = GaussianLaw(["F", "V", "b"], [POSITIVE, POSITIVE, REAL], common=["F", "V"])
    rng = np.random.default_rng(count)
    data = dose(torch.tensor([[0.67, 2.0, 0.0]])).numpy() + rng.normal(1, 0.5, (count, 1))
    data = data + 0.1 * rng.standard_normal((count, 4))
    problem = Problem(data, dose, law, IsotropicNoise(4), np.full(5, 0.5))
    start = np.array([np.log(0.8), np.log(2.5), 1.0, np.log(0.5), np.log(0.1)])
    estimate = fit_marginal_likelihood(problem, start)
    assert estimate.passes, estimate.reason
    # It has not moved along what is not determined.
    assert estimate.p[:2].sum() == pytest.approx(start[:2].sum(), abs=0.1)
    information = restricted_inverse(estimate.bread, problem.free)
    alpha, gamma = problem.split(estimate.p)
    moments = identifiability(problem, alpha, gamma)
    likelihood = identifiability(problem, alpha, gamma, information=information)
    unknown = Undetermined.of(moments, likelihood, information)
    np.testing.assert_array_equal(unknown.entries, [True, True, False, False, False])
    # The moments alone say the same, whatever the estimator.
    np.testing.assert_array_equal(
        Undetermined.of(moments, None, np.zeros((5, 5))).entries, unknown.entries
    )
    within = unknown.within(estimate.covariance)
    (found,) = unknown.combinations(problem, estimate.p, within)
    assert found.name == "F_median / V_median"
    assert found.lower < 0.67 / 2.0 < found.upper
    assert found.upper - found.lower < 0.03


def test_a_parameter_that_only_the_likelihood_determines_is_determined():
    """A deviation that moves no mean and no covariance, but the shape of the law."""
    problem = empty(normal_law(["a", "b"]))
    p = np.zeros(5)
    moments = identifiability(problem, *problem.split(p))
    blind = type(moments)(**{**vars(moments), "singular_values": 0 * moments.singular_values})
    known = np.diag([20.0, 20.0, 10.0, 10.0, 10.0])
    likelihood = identifiability(problem, *problem.split(p), information=known)
    assert not Undetermined.of(blind, likelihood, known).entries.any()
    assert Undetermined.of(blind, None, known).entries.all()


def surrogate_like(count: int, error: float) -> tuple[Problem, np.ndarray]:
    """Return a problem whose simulator depends a little on what it should not depend on."""

    def erring(z: torch.Tensor) -> torch.Tensor:
        return dose(z) + error * torch.log(z[:, :1] * z[:, 1:2]) * TIMES

    law = GaussianLaw(["F", "V", "b"], [POSITIVE, POSITIVE, REAL], common=["F", "V"])
    p = np.array([np.log(0.67), np.log(2.0), 1.0, np.log(0.5), np.log(0.1)])
    return Problem(np.zeros((count, 4)), erring, law, IsotropicNoise(4), np.full(5, 0.5)), p


def test_what_a_surrogate_errs_by_determines_nothing():
    problem, p = surrogate_like(60, 0.02)
    moments = identifiability(problem, *problem.split(p))
    # Identifiability warns, but the direction holds something.
    assert 0.05 < moments.singular_values[-1] < 1
    exact = Undetermined.of(moments, None, np.zeros((5, 5)))
    unknown = Undetermined.of(moments, None, np.zeros((5, 5)), surrogate=True)
    assert not exact.entries.any()
    np.testing.assert_array_equal(unknown.entries, [True, True, False, False, False])
    # The other parameters, and the combination across, keep their errors.
    covariance = np.diag([0.01, 0.01, 0.02, 0.03, 0.04])
    assert unknown.within(covariance) is covariance
    (found,) = unknown.combinations(problem, p, covariance)
    assert found.name == "F_median / V_median"
    assert found.value == pytest.approx(0.335)
    assert found.standard_error == pytest.approx(0.335 * np.sqrt(0.02))


def test_more_of_the_same_error_is_determined():
    problem, p = surrogate_like(60, 0.5)
    moments = identifiability(problem, *problem.split(p))
    assert not moments.warned.any()
    assert not Undetermined.of(moments, None, np.zeros((5, 5)), surrogate=True).entries.any()
