"""The information of one system: closed forms, published values, and the likelihood's scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from planned_experiments import (
    LINE_TRUTH,
    PLACES,
    WARFARIN,
    exact_information,
    experiment_of,
    lines,
    warfarin,
)

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.planning.check import simulated_information
from popinv.planning.information import (
    is_normal_law,
    local_moments,
    population_moments,
    systems_of_law,
)
from popinv.planning.search import Group
from popinv.population.constraints import REAL
from popinv.population.known import Known
from popinv.population.laws.gaussian import GaussianLaw
from popinv.population.laws.mixture import MixtureLaw
from popinv.population.noise.unstructured import DiagonalNoise, IsotropicNoise


def test_a_linear_simulator_has_the_exact_information():
    # The simulator is linear, so that every system gives the same moments.
    problem = lines()
    moments = local_moments(problem, LINE_TRUTH, systems_of_law(problem, 4))
    sets = np.array([[0, 3, 8], [1, 4, 7]])
    found = moments.information(sets)
    for own, places in zip(found, sets, strict=True):
        # Differences of the simulator and of the law leave relative errors of 1e-6.
        np.testing.assert_allclose(
            own, exact_information(LINE_TRUTH, PLACES[places]), rtol=1e-5, atol=1e-6
        )


def test_replicates_are_as_many_observations_side_by_side():
    problem = lines()
    moments = local_moments(problem, LINE_TRUTH, systems_of_law(problem, 4))
    (found,) = moments.information(np.array([[0, 5, 8]]), replicates=3)
    exact = exact_information(LINE_TRUTH, PLACES[[0, 5, 8]], replicates=3)
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-6)


def test_the_moments_of_the_population_agree_where_the_law_is_normal():
    problem = lines()
    about = local_moments(problem, LINE_TRUTH, systems_of_law(problem, 4))
    whole = population_moments(problem, LINE_TRUTH)
    sets = np.array([[0, 4, 8]])
    # The draws of the population are matched to its moments; differences of the law remain.
    np.testing.assert_allclose(
        whole.information(sets), about.information(sets), rtol=2e-3, atol=1e-3
    )


def test_the_first_order_information_is_that_of_poped():
    # "$rse" of evaluate_design in PopED's article "Comparing PopED and NONMEM"; also in its
    # example ex.2.a.warfarin.evaluate.R (32 patients, a dose of 70 mg, eight times).
    published = [4.738266, 2.756206, 13.925829, 25.627205, 30.344316, 25.777327, 11.170784]
    problem = warfarin()
    typical = local_moments(problem, WARFARIN, torch.zeros(1, 3, dtype=torch.float64))
    (information,) = typical.information(np.arange(8)[None])
    errors = np.sqrt(np.diag(np.linalg.inv(32 * information)))
    # The relative error of a mean is that of its logarithm; PopED states variances, whose relative
    # error is twice that of the standard deviation.
    relative = 100 * errors * [1, 1, 1, 2, 2, 2, 2]
    # The digits that PopED prints, but for differences of the simulator.
    np.testing.assert_allclose(relative, published, rtol=2e-6)


def test_what_a_system_keeps_of_its_variance():
    # With independent noise of equal size, a line has the posterior of a regression.
    noise = DiagonalNoise(len(PLACES))
    problem = lines(noise)
    p = np.concatenate([LINE_TRUTH[:4], np.full(len(PLACES), np.log(0.2))])
    moments = local_moments(problem, p, systems_of_law(problem, 2))
    chosen = [0, 2, 8]
    design = np.column_stack([np.ones(3), PLACES[chosen]])
    prior = np.exp(2 * p[2:4])
    posterior = np.linalg.inv(np.diag(1 / prior) + 5 * design.T @ design / 0.04)
    (found,) = moments.posterior_variances(np.array([chosen]), replicates=5)
    np.testing.assert_allclose(found, np.diag(posterior) / prior, rtol=1e-6)


@pytest.mark.full
def test_the_scores_of_the_likelihood_give_the_same_information():
    problem = lines()
    experiment = experiment_of(problem, LINE_TRUTH, ["intercept", "slope"])
    places = (0, 3, 8)
    (found,), (errors,) = simulated_information(
        experiment, [Group(0, places, 1)], replicates=2, systems=4000
    )
    exact = exact_information(LINE_TRUTH, PLACES[list(places)], replicates=2)
    # The diagonal is a mean of 4000 squares; each is within four of its stated errors.
    assert (np.abs(np.diag(found) / np.diag(exact) - 1) < 4 * errors).all()
    # A square of a normal number has a standard deviation of 1.4 times its mean; scores of
    # deviations have heavier tails.
    assert (errors[:2] < 0.03).all()
    assert (errors < 0.07).all()


def test_a_mixture_is_not_normal_and_takes_the_moments_of_the_population():
    problem = lines()
    assert is_normal_law(problem, LINE_TRUTH)
    mixture = MixtureLaw(["intercept", "slope"], problem.law.transforms, 2)
    mixed = replace(problem, law=mixture, scale=np.full(len(mixture.names) + 2, 0.5))
    p = np.concatenate([0.3 * np.arange(len(mixture.names)) / 10, LINE_TRUTH[4:]])
    assert not is_normal_law(mixed, p)
    with pytest.raises(TypeError, match="not normal"):
        local_moments(mixed, p, systems_of_law(mixed, 4))
    (information,) = population_moments(mixed, p).information(np.array([[0, 4, 8]]))
    assert np.linalg.eigvalsh(information)[0] > -1e-8


def test_a_repeated_observation_is_marked():
    places = np.array([0.0, 0.5, 0.5, 1.0])
    problem = lines(places=places)
    moments = local_moments(problem, LINE_TRUTH, systems_of_law(problem, 2))
    found = moments.information(np.array([[0, 1], [1, 2]]), replicates=2)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


def test_covariates_and_doses_count_system_by_system():
    # y = x dose + noise with x = m + b c + s omega: b has the information of a regression, whose
    # weights depend on the dose.
    law = GaussianLaw(["x"], [REAL], covariates=["c"], effects=[("x", "c")])
    rng = np.random.default_rng(0)
    c, dose = rng.standard_normal(40), np.resize([1.0, 3.0], 40)
    known = Known.of_arrays(dose[:, None], c[:, None])
    problem = Problem(
        np.zeros((40, 1)),
        lambda z: z[:, :1] * z[:, 1:2],
        law,
        IsotropicNoise(1),
        np.full(4, 0.5),
        conditions=Conditions.stated((40, 1), known=known),
    )
    p = np.array([1.0, np.log(0.5), 0.3, np.log(0.4)])
    (found,) = local_moments(problem, p, systems_of_law(problem, 40)).information(np.array([[0]]))
    variance = 0.25 * dose**2 + 0.16
    names = list(law.names)
    i = names.index("x_mean"), next(k for k, n in enumerate(names) if "c" in n and n != "x_mean")
    exact = [[np.mean(u * v * dose**2 / variance) for v in (1, c)] for u in (1, c)]
    np.testing.assert_allclose(found[np.ix_(i, i)], exact, rtol=1e-6)


def test_the_turns_of_known_quantities_do_not_follow_the_draws():
    problem = warfarin()
    omega = systems_of_law(problem, 64)
    even, odd = omega[::2], omega[1::2]
    # Halves of an even sequence would differ by 1.6 in some coordinate; independent ones by 0.25.
    assert ((even.mean(dim=0) - odd.mean(dim=0)).abs() < 0.75).all()
    # All together they are as even as the sequence.
    assert (omega.mean(dim=0).abs() < 0.05).all()
