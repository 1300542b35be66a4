"""Draws about the estimate, two parameters at a time."""

from __future__ import annotations

import numpy as np
import pytest
from studies import Study, full_study, line_study, numbers_study

from popinv.figures.estimate_pairs import estimate_pairs


def with_draws(study: Study, alpha: np.ndarray, gamma: np.ndarray) -> Study:
    population = study.loaded["population"].drop_dims("draw")
    drawn = population.assign(
        alpha_draws=(("draw", "law_parameter"), alpha),
        gamma_draws=(("draw", "noise_parameter"), gamma),
    )
    return Study(study.problem, study.loaded | {"population": drawn})


def test_law_and_noise_are_in_natural_values_beside_answer_and_truth() -> None:
    study = line_study()
    pairs = estimate_pairs(study.problem, study.loaded)
    assert pairs is not None
    assert pairs.names == (
        "mean", "standard_deviation", "law length", "amplitude", "noise length",
    )  # fmt: skip
    population, truth = study.loaded["population"], study.loaded["truth"]
    law = study.problem.law.to_natural(population["alpha_draws"].values)
    noise = study.problem.noise.to_natural(population["gamma_draws"].values)
    np.testing.assert_array_equal(pairs.draws, np.hstack([law, noise]))
    for shown, dataset in ((pairs.estimate, population), (pairs.true, truth)):
        np.testing.assert_array_equal(shown, [*dataset["law"].values, *dataset["noise"].values])
    without = estimate_pairs(study.problem, study.without("truth").loaded)
    assert without is not None
    assert np.isnan(without.true).all()


def test_of_many_parameters_those_with_the_strongest_correlations_are_shown() -> None:
    study = numbers_study()
    rng = np.random.default_rng(0)
    alpha = rng.standard_normal((300, 40))
    # Rates 3 and 7 with each other, 11 with the deviation of rate 5, 2 and 9 with the noise.
    alpha[:, 7] = alpha[:, 3] + 0.1 * alpha[:, 7]
    alpha[:, 25] = 0.1 * (-alpha[:, 11] + 0.1 * alpha[:, 25])
    gamma = 0.1 * (alpha[:, [2]] + 0.2 * alpha[:, [9]])
    pairs = estimate_pairs(study.problem, with_draws(study, alpha, gamma).loaded)
    assert pairs is not None
    assert pairs.count == 41
    names = ("rate_2_mean", "rate_3_mean", "rate_7_mean", "rate_11_mean")
    assert pairs.names[:4] == names
    assert len(pairs.names) == 6
    strongest = np.abs(pairs.correlation - np.eye(6)).max(axis=0)
    assert (strongest[:4] > 0.9).all()


def test_what_does_not_move_is_not_shown() -> None:
    study = line_study()
    alpha = study.loaded["population"]["alpha_draws"].values.copy()
    gamma = study.loaded["population"]["gamma_draws"].values.copy()
    alpha[:, 1], gamma[:, 0] = 0.3, -1.0
    pairs = estimate_pairs(study.problem, with_draws(study, alpha, gamma).loaded)
    assert pairs is not None
    assert pairs.names == ("mean", "law length", "noise length")
    alpha[:], gamma[:, 1] = 0.0, -1.0
    assert estimate_pairs(study.problem, with_draws(study, alpha, gamma).loaded) is None


def test_entries_of_an_unrestricted_covariance_are_not_parameters() -> None:
    study = full_study(12)
    pairs = estimate_pairs(study.problem, study.loaded)
    assert pairs is not None
    assert pairs.names == ("a_mean", "b_mean", "a_standard_deviation", "b_standard_deviation")
    assert pairs.correlation == pytest.approx(np.corrcoef(pairs.draws.T))
