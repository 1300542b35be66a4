"""Calibration of tested systems: uniform if the model is right, whatever is known of each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest, multivariate_normal
from studies import line_study

from popinv.figures import calibration as module
from popinv.figures.calibration import GRID, Calibration, Uniformity, calibration, counted
from popinv.inference.answer.result import parameters_of
from popinv.inference.checks.fitted_samples import FittedModel, sample_model
from popinv.inference.density.conditions import Conditions

SYSTEMS = 60
PLAIN = Conditions.stated((SYSTEMS, 6))
# Standard errors of the estimate, as large as those of about so many systems.
ERROR = 0.12


@pytest.fixture(autouse=True)
def _few_data_sets(monkeypatch) -> None:
    monkeypatch.setattr(module, "_SETS", (199,))
    monkeypatch.setattr(module, "_DRAWS", 1000)


STUDY = line_study()
TRUE = np.concatenate(parameters_of(STUDY.loaded["population"]))


def estimated(index: int, error: float = ERROR, spread: float = ERROR) -> FittedModel:
    """Return a model at an estimate about the truth, with draws about the estimate."""
    rng = np.random.default_rng(index)
    p = TRUE + error * rng.standard_normal(len(TRUE))
    draws = p + spread * rng.standard_normal((199, len(TRUE)))
    return FittedModel(replace(STUDY.problem, seed=index), p, draws)


def drawn_systems(
    index: int, conditions: Conditions | None = None, p: np.ndarray = TRUE
) -> np.ndarray:
    alpha, gamma = STUDY.problem.split(p)
    problem = replace(STUDY.problem, seed=index)
    return sample_model(problem, alpha, gamma, SYSTEMS, "tested", 0, conditions)


def outside(found: list[Calibration]) -> tuple[int, int]:
    pairs = [(c.observations.inside, c.systems.inside) for c in found]
    observations, systems = (~np.array(pairs)).sum(axis=0)
    return int(observations), int(systems)


@pytest.mark.full
def test_an_estimated_right_model_leaves_the_band_in_one_of_twenty_cases() -> None:
    found = [calibration(estimated(i), drawn_systems(i), PLAIN) for i in range(80)]
    # Binomial(80, .05): at most 10 with a probability of .998.
    assert max(outside(found)) <= 10
    without_error = [
        calibration(estimated(i, spread=0.0), drawn_systems(i), PLAIN) for i in range(80)
    ]
    # The band of data sets at the estimate itself does not know of the estimate's error.
    assert min(outside(without_error)) >= 13


@pytest.mark.parametrize(("entry", "by"), [(0, 0.6), (3, 0.5)], ids=["mean", "noise"])
def test_a_wrong_model_leaves_the_band(entry: int, by: float) -> None:
    wrong = TRUE.copy()
    wrong[entry] += by
    found = [
        calibration(estimated(i, error=0.05, spread=0.05), drawn_systems(i, p=wrong), PLAIN)
        for i in range(3)
    ]
    assert outside(found)[entry > 0] == 3


@pytest.mark.full
def test_transforms_are_those_of_each_systems_own_conditions() -> None:
    # Half of the systems have much less noise, of which a common distribution knows nothing.
    scale = np.where(np.arange(SYSTEMS) % 2, 1.0, 8.0)
    present = np.random.default_rng(0).uniform(size=(SYSTEMS, 6)) < 0.7
    conditions = Conditions.stated(
        present.shape, scale=scale, present=present, fill=np.full(6, 50.0)
    )
    exact = FittedModel(STUDY.problem, TRUE, np.tile(TRUE, (199, 1)))
    found = [calibration(exact, drawn_systems(i, conditions), conditions) for i in range(8)]
    # Binomial(8, .05): at most 3 with a probability of .9996.
    assert max(outside(found)) <= 3
    assert found[0].observations.count == present.sum()
    assert found[0].systems.count == SYSTEMS
    # As if all had the same noise, the systems with less are known to be different.
    alike = replace(conditions, scale=np.full(SYSTEMS, 5.0))
    of_others = [calibration(exact, drawn_systems(i, conditions), alike) for i in range(2)]
    assert outside(of_others)[1] == 2


def test_ranks_are_uniform_also_below_a_limit_of_quantification() -> None:
    rng = np.random.default_rng(3)
    drawn = np.maximum(rng.standard_normal((3000, 50)), 0.5)
    ranks = [module._ranks(rng, row[1:], row[:1])[0] for row in drawn]
    assert (drawn[:, 0] == 0.5).mean() > 0.6
    assert kstest(ranks, "uniform").pvalue > 0.01


def test_the_difference_is_that_of_the_distribution_functions() -> None:
    transforms = np.random.default_rng(4).uniform(size=(200, 30))
    transforms[0, :5] = [GRID[4], GRID[4], 1.0, 0.0, GRID[7] + 1e-9]
    found = Uniformity.of(counted(transforms))
    expected = [(transforms[0] <= u + 1e-12).mean() - u for u in GRID]
    np.testing.assert_allclose(found.difference, expected, atol=1e-12)
    assert found.count == 30
    np.testing.assert_array_equal(counted(transforms).sum(axis=1), 30)


def test_normal_log_scores_are_those_of_scipy():
    rng = np.random.default_rng(0)
    reference = rng.standard_normal((50_000, 3)) @ np.array([[1, 0.3, 0], [0, 1, 0], [0, 0.2, 2.0]])
    moments = module._Moments.of(reference)
    y = rng.standard_normal((5, 3))
    mean, covariance = reference.mean(axis=0), np.cov(reference, rowvar=False)
    exact = multivariate_normal.logpdf(y, mean, covariance)
    np.testing.assert_allclose(moments.log_scores(y), exact, rtol=1e-10)
