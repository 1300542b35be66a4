"""Estimates from a store, and of many systems, are those of systems in memory."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import xarray as xr
from linear_population import TRUTH, linear_problem
from problems import curve_problem
from tiers import parameters

from popinv.inference.density.conditions import fitted_observations, heldout_observations
from popinv.inference.estimators import settings as inference_settings
from popinv.inference.estimators.fit_distance import fit_distance
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.integrate import marginal
from popinv.inference.integrate.marginal import Evaluation, MarginalSettings, evaluate
from popinv.store import rows as stored_rows
from popinv.store import storage
from popinv.store.rows import StoredRows
from popinv.store.variables import variable

SHORT = DescentSettings(iterations=6, legs=1, model_samples=60, directions=8)


def stored(y: np.ndarray, folder) -> xr.Dataset:
    """Return observations, half as many held out, whose table stays in its store."""
    held = y[: len(y) // 2]
    dataset = xr.Dataset(
        {
            "y": variable(("system", "observation"), y, "observations"),
            "y_heldout": variable(("heldout_system", "observation"), held, "observations"),
        }
    )
    path = folder / "observations.zarr.zip"
    storage.save(dataset, path, config={}, seed=1, created_by="test")
    return storage.load(path, stored=["y"], stays_from=1)


@pytest.mark.parametrize("gaps", [False, True])
def test_stored_observations_are_those_in_memory(tmp_path, monkeypatch, gaps):
    y = np.random.default_rng(0).standard_normal((101, 4)) + 3
    if gaps:
        y[np.random.default_rng(1).random(y.shape) < 0.2] = np.nan
        y[:, 2] = np.nan
    dataset = stored(y, tmp_path)
    monkeypatch.setattr(stored_rows, "_BLOCK_VALUES", 4 * 17)
    data, conditions = fitted_observations(dataset)
    assert isinstance(data, StoredRows)
    whole, same = fitted_observations(dataset.load())
    np.testing.assert_allclose(np.asarray(data), whole, rtol=1e-14)
    assert not np.isnan(whole).any()
    assert conditions.plain == same.plain == (not gaps)
    np.testing.assert_array_equal(conditions.present, same.present)
    np.testing.assert_array_equal(conditions.present, ~np.isnan(y))
    heldout, _ = heldout_observations(dataset, conditions)
    np.testing.assert_allclose(heldout, whole[:50], rtol=1e-14)


@parameters(
    "scales, gaps, size",
    [(True, False, 7), (True, True, 1)],
    full=[(False, False, 1), (False, False, 7), (True, False, 1), (True, True, 7)],
)
def test_the_likelihood_does_not_depend_on_blocks(tmp_path, monkeypatch, scales, gaps, size):
    problem = linear_problem(30, scales=scales, gaps=gaps)
    streams = replace(problem, data=fitted_observations(stored(problem.data, tmp_path))[0])
    settings, p = MarginalSettings(draws=16), TRUTH + 0.1
    whole = evaluate(problem, p, settings)
    # A system takes 16 draws of 48 entries, and twice as many as its Jacobian.
    monkeypatch.setattr(marginal, "_BLOCK_VALUES", size * (16 * 48 + 24))
    monkeypatch.setattr(marginal, "_FEW_IN_A_BLOCK", 1)
    parts = evaluate(streams, p, settings)
    for field in fields(Evaluation):
        one, other = getattr(parts, field.name), getattr(whole, field.name)
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9, err_msg=field.name)


def test_the_likelihood_of_stored_systems_is_that_of_systems_in_memory(tmp_path):
    problem = replace(linear_problem(220, seed=4), stage="stored")
    streams = replace(problem, data=fitted_observations(stored(problem.data, tmp_path))[0])
    settings = MarginalSettings(draws=16)
    whole, parts = (fit_marginal_likelihood(each, TRUTH, settings) for each in (problem, streams))
    np.testing.assert_allclose(parts.p, whole.p, atol=1e-9)
    np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-6)
    np.testing.assert_allclose(parts.influence, whole.influence, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("some_have_one", [False, True])
def test_further_modes_of_many_systems_are_first_searched_in_some(monkeypatch, some_have_one):
    problem, everyone = linear_problem(40), np.arange(40)
    settings = MarginalSettings(draws=16)
    evaluation = evaluate(problem, TRUTH, settings)
    asked = []
    of_run = marginal._Evaluator.further_modes
    monkeypatch.setattr(marginal, "_SEARCHED_SYSTEMS", 10)

    def seen(run, systems, given):
        asked.append((systems, given.modes))
        return np.array([0]) if some_have_one else of_run(run, systems, given)

    monkeypatch.setattr(marginal._Evaluator, "further_modes", seen)
    known = everyone[:4]
    found, share = marginal.further_modes(problem, TRUTH, settings, evaluation, known, everyone)
    for numbers, modes in asked:
        np.testing.assert_array_equal(modes, evaluation.modes[numbers])
    assert len(set(asked[0][0])) == 10
    # The others are searched only if one of these has a further mode.
    searched = np.sort(np.concatenate([numbers for numbers, _ in asked]))
    if some_have_one:
        np.testing.assert_array_equal(searched, everyone[4:])
        np.testing.assert_array_equal(found, np.sort([numbers[0] for numbers, _ in asked]))
        assert share == 0.1
    else:
        assert len(searched) == 10
        assert not len(found)
        assert share == 0.0


@parameters("batch", [20], full=[None])
def test_the_descent_on_stored_systems_is_that_on_systems_in_memory(tmp_path, monkeypatch, batch):
    problem, alpha, gamma = curve_problem(count=75)
    streams = replace(problem, data=fitted_observations(stored(problem.data, tmp_path))[0])
    monkeypatch.setattr(stored_rows, "_BLOCK_VALUES", 10 * problem.data.shape[1])
    settings = SHORT.replace(batch_size=batch)
    start = [np.concatenate([alpha, gamma])]
    whole, parts = (
        fit_distance(each, settings, start, progress=False) for each in (problem, streams)
    )
    np.testing.assert_array_equal(parts.estimate.path, whole.estimate.path)
    np.testing.assert_allclose(parts.fixed_loss, whole.fixed_loss, rtol=1e-10)
    np.testing.assert_allclose(parts.estimate.influence, whole.estimate.influence, rtol=1e-12)


def test_the_descent_on_many_systems_sees_some_of_them_at_each_step(monkeypatch):
    monkeypatch.setattr(inference_settings, "_MOST_WHOLE", 74)
    monkeypatch.setattr(inference_settings, "_BATCH", 40)
    problem, alpha, gamma = curve_problem(count=75)
    start = [np.concatenate([alpha, gamma])]
    asked = SHORT.replace(batch_size=40, model_samples=80)
    many, expected = (fit_distance(problem, each, start, progress=False) for each in (SHORT, asked))
    np.testing.assert_array_equal(many.estimate.path, expected.estimate.path)
    # What the study asks for is done.
    given = SHORT.replace(batch_size=10)
    assert given.for_systems(10**6) == given
    assert SHORT.for_systems(74) == SHORT
