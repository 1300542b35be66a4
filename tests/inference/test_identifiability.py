"""Predicted errors against closed forms; what cannot be told apart is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import curve_problem

from popinv.inference.identifiability import identifiability
from popinv.inference.problem import Problem
from popinv.population.laws import NormalLaw
from popinv.population.noise import IsotropicNoise


def test_a_normal_mean_and_deviation_seen_without_noise():
    # y = z with hardly any noise: se(mean) = s / sqrt(N), se(log s) = 1 / sqrt(2 N).
    problem = Problem(
        np.zeros((400, 1)), lambda z: z, NormalLaw(["a"]), IsotropicNoise(1), np.ones(3)
    )
    known = identifiability(
        replace(problem, free_noise=False),
        np.array([1.0, np.log(2.0)]),
        np.array([-12.0]),
        samples=20_000,
    )
    # The noise is not identifiable here, but it is uncorrelated with the mean; the deviation
    # and the noise are one number, so only the mean has a finite error.
    assert known.standard_errors[0] == pytest.approx(2 / np.sqrt(400), rel=0.05)


def test_errors_fall_with_the_root_of_the_number_of_systems():
    problem, alpha, gamma = curve_problem(count=100)
    more = replace(problem, data=np.zeros((400, 8)))
    one = identifiability(problem, alpha, gamma, samples=500)
    two = identifiability(more, alpha, gamma, samples=500)
    np.testing.assert_allclose(two.standard_errors, one.standard_errors / 2, rtol=1e-10)


def test_linear_gaussian_trade_between_law_and_noise_is_named():
    # y = (z, z) + noise of the same two-by-two form cannot happen with isotropic noise, but
    # y = z in as many dimensions as z has entries can: only s^2 + sigma^2 is seen.
    problem = Problem(
        np.zeros((1000, 1)), lambda z: z, NormalLaw(["a"]), IsotropicNoise(1), np.ones(3)
    )
    known = identifiability(problem, np.array([0.0, 0.0]), np.array([0.0]))
    names = problem.law.names + problem.noise.names
    assert known.weakest_error > 1e3
    assert set(known.describe_weakest(names, most=2).split()[1::2]) == {
        "a_standard_deviation",
        "standard_deviation",
    }


def test_an_identifiable_problem_has_small_errors():
    problem, alpha, gamma = curve_problem(count=1000)
    known = identifiability(problem, alpha, gamma)
    assert known.standard_errors.max() < 0.1
    assert known.weakest_error < 0.2
    assert np.linalg.norm(known.weakest) == pytest.approx(1.0)


def test_closed_form_information_of_a_scaled_noise():
    # Pure noise sigma in d dimensions: se(log sigma) = 1 / sqrt(2 N d).
    problem = Problem(
        np.zeros((50, 4)),
        lambda z: torch.zeros((len(z), 4), dtype=torch.float64) + 0 * z,
        NormalLaw(["a"]),
        IsotropicNoise(4),
        np.ones(3),
    )
    known = identifiability(problem, np.zeros(2), np.zeros(1))
    assert known.standard_errors[2] == pytest.approx(1 / np.sqrt(2 * 50 * 4), rel=1e-3)
