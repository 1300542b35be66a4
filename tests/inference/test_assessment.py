"""Errors, oracles and held-out tests."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from problems import curve_problem
from tiers import parameters

from popinv.inference.answer.assessment import answer_tests, assess
from popinv.inference.answer.result import law_errors, ratio, relative_frobenius_error
from popinv.inference.checks.fitted_samples import FittedModel, sample_model
from popinv.inference.checks.heldout_test import HeldOutTest, heldout_test
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.stages.consult_oracle import oracle
from popinv.judgement.measures import FeatureTest, PartTest
from popinv.store.checkpoints import Checkpoint
from popinv.surrogate.collect import Thresholds

sys.path.insert(0, str(Path(__file__).parents[1] / "figures"))
from studies import line_study

SMALL = DescentSettings(iterations=40, model_samples=400, directions=24)


def test_errors_are_relative_but_near_zero():
    errors = law_errors(np.array([1.1, 0.05, -2.2]), np.array([1.0, 0.0, -2.0]))
    np.testing.assert_allclose(errors, [0.1, 0.05, 0.1])


def test_relative_frobenius_error_and_ratio():
    assert relative_frobenius_error(2 * np.eye(3), np.eye(3)) == pytest.approx(1.0)
    assert ratio(0.2, 0.1) == pytest.approx(2.0)
    assert ratio(0.0, 0.0) == 1.0


def fitted(problem, draws=50):
    """Return a model fitted to a problem's data, with draws of its normal law."""
    alpha, gamma = curve_problem(count=2)[1:]
    estimate = fit_pseudo_likelihood(problem, [np.concatenate([alpha, gamma])])
    rng = np.random.default_rng(problem.seed)
    every = rng.multivariate_normal(estimate.p, estimate.total_covariance, size=draws)
    return FittedModel(problem, estimate.p, every)


@parameters("sets, most", [(12, 5)], full=[(60, 13)])
def test_the_size_of_the_heldout_test_is_right_though_the_model_was_estimated(
    sets, most, monkeypatch
):
    # Data and null meet the same reference, so that a smaller one changes no size.
    monkeypatch.setattr("popinv.inference.checks.heldout_test._REFERENCE_SAMPLES", 1000)
    monkeypatch.setattr("popinv.inference.checks.heldout_test._DIRECTIONS", 50)
    p_values = []
    for seed in range(sets):
        problem = curve_problem(count=150, seed=seed)[0]
        heldout = curve_problem(count=80, seed=1000 + seed)[0].data
        test = heldout_test(fitted(replace(problem, seed=seed)), heldout, 39)
        p_values.append(test.p_value)
    # Binomial(60, .1): 1 to 13 with probability .99; Binomial(12, .1): at most 5 with .9995.
    assert sets < 60 or (np.array(p_values) <= 0.1).any()
    assert (np.array(p_values) <= 0.1).sum() <= most


def test_the_heldout_test_rejects_a_wrong_model():
    model = fitted(curve_problem(count=300, seed=3)[0])
    shift = np.zeros(6)
    shift[4] = 0.7
    model = replace(model, p=model.p + shift, draws=model.draws + shift)
    assert heldout_test(model, curve_problem(count=300, seed=103)[0].data, 40).p_value < 0.03


def test_p_values_count_the_observed_statistic() -> None:
    null = np.arange(19.0)
    assert HeldOutTest(18.5, null).p_value == pytest.approx(1 / 20)
    assert HeldOutTest(-1.0, null).p_value == 1.0
    assert HeldOutTest(0.0, null).null_95 == pytest.approx(17.1)


def test_the_tests_are_among_the_metrics_unless_they_are_left_out(monkeypatch):
    monkeypatch.setattr("popinv.inference.checks.heldout_test._REFERENCE_SAMPLES", 500)
    monkeypatch.setattr("popinv.inference.checks.heldout_test._DIRECTIONS", 20)
    study, thresholds = line_study(), Thresholds(error=0.1, push=0.25)
    numbers, fewer = (
        assess(study.problem, study.loaded, 9, thresholds, tests).metrics()
        for tests in (answer_tests, None)
    )
    heldout = {"heldout_energy_distance", "heldout_energy_null_95", "heldout_p_value"}
    misfits = {f"{part}_misfit" for part in ("law", "noise", "simulator")}
    assert set(numbers) - set(fewer) == heldout | misfits
    assert {name: numbers[name] for name in fewer} == fewer
    # One of ten ranks.
    assert 10 * numbers["heldout_p_value"] == pytest.approx(round(10 * numbers["heldout_p_value"]))


@pytest.mark.parametrize("reason", ["", "nothing is to be tested"])
def test_held_out_systems_are_tested_if_a_part_of_the_model_is_not_judged(reason, monkeypatch):
    monkeypatch.setattr("popinv.inference.checks.heldout_test._REFERENCE_SAMPLES", 500)
    study, noise = line_study(), PartTest("noise", "", "", 0.7, 1)
    found = (PartTest("law", reason), noise), (FeatureTest("curved", 0.1, 0.2, 0.5, 0.7),)
    monkeypatch.setattr("popinv.inference.answer.assessment.specification_tests", lambda *_: found)
    results = answer_tests(study.problem, study.loaded, 9)
    assert (results.tests, results.features) == found
    assert (results.heldout is None) == (not reason)


def test_the_metrics_are_those_that_have_always_been_written():
    study, thresholds = line_study(), Thresholds(error=0.1, push=0.25)
    numbers = assess(study.problem, study.loaded, 20, thresholds, answer_tests).metrics()
    kept = json.loads(Path(__file__).with_name("line_study_metrics.json").read_text())
    assert list(numbers) == list(kept)
    for name, value in kept.items():
        if isinstance(value, float):
            value = pytest.approx(value, rel=1e-6)
        assert numbers[name] == value, name


def test_samples_hold_the_solvers_residuals():
    problem, alpha, gamma = curve_problem(count=50)
    shift = np.full((3, 8), 5.0)
    plain = sample_model(problem, alpha, gamma, 2000, "stage")
    shifted = sample_model(problem, alpha, gamma, 2000, "stage", residuals=shift)
    np.testing.assert_allclose(shifted - plain, 5.0, atol=1e-12)


@pytest.mark.parametrize("estimator", ["likelihood", "pseudo_likelihood", "distance"])
def test_an_oracle_estimates_only_what_it_does_not_know(estimator):
    problem, alpha, gamma = curve_problem(count=120)
    truth = np.concatenate([alpha, gamma])
    start = truth + 0.4
    answer = oracle(problem, estimator, truth, start, "noise", 32, SMALL)
    np.testing.assert_allclose(answer.p[4:], gamma, rtol=1e-14)
    assert np.abs(answer.p[:4] - alpha).max() < 0.4
    answer = oracle(problem, estimator, truth, start, "law", 32, SMALL)
    np.testing.assert_allclose(answer.p[:4], alpha, rtol=1e-14)
    assert np.abs(answer.p[4:] - gamma).max() < 0.4


@pytest.mark.full
def test_no_oracle_is_worse_than_the_blind_answer_beyond_chance():
    blind, knowing = [], []
    for seed in range(100):
        problem, alpha, gamma = curve_problem(count=200, seed=seed)
        truth = np.concatenate([alpha, gamma])
        estimate = fit_pseudo_likelihood(problem, [truth]).p
        own = [
            oracle(problem, "pseudo_likelihood", truth, estimate, known, 32, SMALL).p
            for known in ("noise", "law")
        ]
        blind.append(estimate - truth)
        knowing.append(np.concatenate([own[0][:4], own[1][4:]]) - truth)
    one, two = (np.sqrt(np.mean(np.square(e), axis=0)) for e in (blind, knowing))
    # Errors of the two are correlated; a ratio of root mean squares of 100 is known to some 7 %.
    assert np.all(two <= 1.1 * one), two / one


def test_a_checkpoint_of_other_inputs_is_not_used(tmp_path, capsys):
    Checkpoint(tmp_path / "state.zarr", {"seed": 1}).write({"a": np.ones(2)})
    assert Checkpoint(tmp_path / "state.zarr", {"seed": 2}).read() is None
    assert "seed: stored 1, now 2" in capsys.readouterr().out
    assert not (tmp_path / "state.zarr").exists()


def test_model_samples_have_the_models_covariance():
    problem, alpha, gamma = curve_problem(count=10)
    still = np.concatenate([alpha[:2], [-20.0, -20.0]])
    sample = sample_model(problem, still, gamma, 20_000, "test")
    expected = problem.noise.covariance(torch.from_numpy(gamma)).numpy()
    np.testing.assert_allclose(np.cov(sample.T), expected, atol=0.04 * 0.01)


def test_a_checkpoint_is_written_when_it_is_due(tmp_path):
    never = Checkpoint(tmp_path / "never.zarr", {}, seconds=3600)
    always = Checkpoint(tmp_path / "always.zarr", {}, seconds=0)
    for step in range(2):
        never.write_when_due({"step": np.array(step)})
        always.write_when_due({"step": np.array(step)})
    assert never.read() is None
    assert always.read()["step"] == 1
