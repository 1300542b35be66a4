"""The posterior of law and noise as a use of a study."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import popinv
from benchmarks.few_systems import Grid
from popinv.charts.csv_writer import numbers_of_sheet
from popinv.inference.answer.result import estimate_dataset, estimate_of
from popinv.inference.density.build import descent_problem
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.methods.law_posterior.draws import SurrogateStep, surrogate_step
from popinv.methods.law_posterior.method import PosteriorOfLaw
from popinv.methods.law_posterior.use import use
from popinv.methods.outcome import StudyInput
from popinv.store import storage

EACH, COUNT = 3, 8
START = {"mean": 1.0, "standard_deviation": 0.8}


def simulate(z):
    return z.expand(-1, EACH) * torch.ones(EACH, dtype=z.dtype)


def observations():
    rng = np.random.default_rng(4)
    return rng.normal(1.0, 0.7, (COUNT, 1)) + 0.4 * rng.standard_normal((COUNT, EACH))


@cache
def fitted():
    law = {"kind": "normal", "start": {"a": START}}
    noise = {"kind": "isotropic", "start": {"standard_deviation": 0.5}}
    return popinv.fit(observations(), simulate, law=law, noise=noise, tests=False, progress=False)


def study_input(asked):
    result, names = fitted(), ("observations", "population", "likelihood")
    stores = {name: result.artefacts[name] for name in names}
    stores |= {"surrogate": result.simulator, "fresh_solves": result.artefacts["check"]}
    model = result.model
    return StudyInput(asked, 1, stores, model.forward, model.law, model.noise)


@pytest.mark.full
def test_a_use_has_the_posterior_of_a_grid_and_writes_its_groups(tmp_path):
    pytest.importorskip("numpyro")
    draws, warmup = 250, 200
    outcome = use(study_input(PosteriorOfLaw(draws=draws, warmup=warmup, predicted=40)))
    assert outcome.metrics["reliable"] == 1
    assert outcome.metrics["surrogate_error"] == "there is no surrogate"
    # Exactly the same density at the mode, before and after the chains.
    assert outcome.invariants[0].difference == 0.0
    file = tmp_path / "parameters.csv"
    outcome.files["parameters.csv"](file)
    table = pd.read_csv(file).set_index("parameter")
    exact = Grid(observations(), (0.8, 0.5)).quantiles([0.025, 0.5, 0.975])
    exact[1:] = np.exp(exact[1:])
    width = exact[:, 2] - exact[:, 0]
    found = table[["2.5 %", "median", "97.5 %"]].to_numpy()
    # With 500 effective draws an end is good to about a fourteenth of the width.
    assert np.all(np.abs(found - exact) < 0.2 * width[:, None])
    assert np.all(np.abs(found[:, 1] - exact[:, 1]) < 0.06 * width)
    assert np.isnan(table.loc["a_mean", "prior 2.5 %"])
    # A half-Student-t of 4 degrees of freedom with the scale 2.5 times 0.8.
    assert table.loc["a_standard_deviation", "prior 97.5 %"] == pytest.approx(2 * 3.495, rel=0.15)
    np.testing.assert_allclose(
        table["answer"], fitted().summary()["estimate"].to_numpy(), rtol=1e-5
    )
    assert "effective draws" in outcome.metrics["statement"]

    folder = fitted().save(tmp_path / "result")
    path = folder / "law_posterior.zarr.zip"
    storage.save(outcome.result, path, config={}, seed=1, created_by="use_law_posterior")
    loaded = popinv.load(folder, simulator=simulate).posterior_of_law()
    groups = {"posterior", "prior", "log_likelihood", "posterior_predictive", "sample_stats"}
    assert groups <= set(loaded.children)
    assert dict(loaded["posterior"].sizes) == {"chain": 4, "draw": draws}
    assert dict(loaded["posterior_predictive"].sizes)["draw"] == 10
    for name in groups:
        xr.testing.assert_identical(loaded[name].to_dataset(), outcome.result[name].to_dataset())
    told = numbers_of_sheet(outcome.figures["marginals"])
    assert {"posterior", "prior"} <= {line.split(",")[1] for line in told.splitlines()}


def biased(by):
    """Return a surrogate whose observations are too large."""
    return lambda z: simulate(z) + by


def test_an_answer_through_the_solver_moves_the_draws_by_the_surrogates_bias():
    result = fitted()
    exact = descent_problem(result.model, result.observations, result.simulator, 1, "x")
    p = estimate_of(result.population)
    solved = fit_marginal_likelihood(exact, p)
    likelihood = estimate_dataset(exact, solved, {"through": "solver"})
    problem = descent_problem(result.model, result.observations, biased(0.2), 1, "x")
    step = surrogate_step(problem, likelihood, MarginalSettings())
    # Observations that are too large by 0.2 lower the mean of the law by 0.2, and nothing else.
    # A search ends within some hundredths of a standard error, here 0.3.
    np.testing.assert_allclose(step.shift, [0.2, 0.0, 0.0], atol=0.01)
    assert not step.covariance.any()
    assert surrogate_step(exact, likelihood, MarginalSettings()).shift.tolist() == [0.0] * 3


def test_a_corrected_answer_moves_and_widens_the_draws():
    result = fitted()
    problem = descent_problem(result.model, result.observations, biased(0.2), 1, "x")
    likelihood = result.artefacts["likelihood"].assign_attrs(through="surrogate")
    covariance = np.array([[0.04, 0.01, 0.0], [0.01, 0.09, 0.0], [0.0, 0.0, 0.0]])
    dims = ("estimated", "estimated_other")
    likelihood = likelihood.assign(
        correction=("estimated", [0.2, -0.1, 0.0]), correction_covariance=(dims, covariance)
    )
    step = surrogate_step(problem, likelihood, MarginalSettings())
    moved = step.applied(np.zeros((4, 10_000, 3)), np.random.default_rng(1)).reshape(-1, 3)
    np.testing.assert_allclose(moved.mean(axis=0), [0.2, -0.1, 0.0], atol=0.006)
    np.testing.assert_allclose(np.cov(moved.T), covariance, atol=0.002)
    assert "moved by the correction" in step.words


@pytest.mark.parametrize("likelihood", [None, xr.Dataset(attrs={"passes": 0})])
def test_without_a_likelihoods_estimate_the_surrogates_error_is_told_to_be_left(likelihood):
    result = fitted()
    problem = descent_problem(result.model, result.observations, biased(0.2), 1, "x")
    step = surrogate_step(problem, likelihood, MarginalSettings())
    assert isinstance(step, SurrogateStep)
    assert not step.shift.any()
    assert "error is not included" in step.words
