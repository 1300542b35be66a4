"""The sums of the pseudo-likelihood over streamed systems are those over all of them at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from linear_population import TRUTH, linear_problem
from problems import curve_problem

from popinv.inference.estimators import fit_pseudo
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.integrate import eigenbasis, pseudo
from popinv.inference.integrate.eigenbasis import Square
from popinv.inference.integrate.model_moments import matched_draws, moments_of_systems
from popinv.inference.integrate.pseudo import evaluate, sufficient
from popinv.store import rows as stored_rows
from popinv.store import storage
from popinv.store.rows import StoredRows, rows_of
from popinv.store.variables import variable


def streamed(problem, folder):
    """Return a problem whose observations are in a store."""
    table = xr.Dataset({"y": variable(("system", "observation"), problem.data, "observations")})
    path = folder / "observations.zarr.zip"
    storage.save(table, path, config={}, seed=1, created_by="test")
    rows = rows_of(storage.load(path, stored=["y"], stays_from=1)["y"].variable)
    assert isinstance(rows, StoredRows)
    return replace(problem, data=rows)


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_sums_are_those_of_all_systems(tmp_path, monkeypatch, size):
    problem = linear_problem(100)
    problem = replace(problem, conditions=None)
    alpha, gamma = problem.tensors(TRUTH + 0.1)
    moments = moments_of_systems(problem, alpha, gamma, matched_draws(problem, 2000))
    whole = evaluate(problem, moments)
    monkeypatch.setattr(stored_rows, "_BLOCK_VALUES", size * problem.data.shape[1])
    stored = streamed(problem, tmp_path)
    few, times = sufficient(stored)
    assert times * len(few.data) == pytest.approx(100)
    sums = evaluate(few, moments)
    value = times * sums.log_likelihood.sum()
    assert value == pytest.approx(whole.log_likelihood.sum(), rel=1e-12)
    scale = np.sqrt(np.diag(whole.information))
    gradient = times * sums.scores.sum(axis=0)
    np.testing.assert_allclose(gradient / scale, whole.scores.sum(axis=0) / scale, atol=1e-10)
    np.testing.assert_allclose(times * sums.information, whole.information, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("scales", "gaps"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("size", [7, 33])
def test_blocks_of_systems_do_not_matter(tmp_path, monkeypatch, scales, gaps, size):
    problem = linear_problem(100, scales=scales, gaps=gaps)
    alpha, gamma = problem.tensors(TRUTH + 0.1)
    moments = moments_of_systems(problem, alpha, gamma, matched_draws(problem, 2000))
    whole = evaluate(problem, moments)
    monkeypatch.setattr(pseudo, "_BLOCK_VALUES", 4 * size * problem.data.shape[1])
    parts = evaluate(streamed(problem, tmp_path), moments)
    np.testing.assert_allclose(parts.log_likelihood, whole.log_likelihood, rtol=1e-13)
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(parts.information, whole.information, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize(("scales", "gaps"), [(False, False), (True, False), (True, True)])
def test_factored_forms_give_the_same_scores(monkeypatch, scales, gaps):
    problem = linear_problem(100, scales=scales, gaps=gaps)
    alpha, gamma = problem.tensors(TRUTH + 0.1)
    moments = moments_of_systems(problem, alpha, gamma, matched_draws(problem, 2000))
    whole = evaluate(problem, moments).scores
    monkeypatch.setattr(eigenbasis, "FACTORED_FROM", 2)
    monkeypatch.setattr(pseudo, "FACTORED_FROM", 2)
    monkeypatch.setattr(eigenbasis, "_ROWS_FOR_FACTORS", 0)
    np.testing.assert_allclose(evaluate(problem, moments).scores, whole, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(("rank", "shift"), [(0, 2.0), (3, 0.0), (3, -1.0), (150, 1.0)])
def test_a_quadratic_form_is_that_of_its_matrix(rank, shift):
    rng = np.random.default_rng(0)
    factor = torch.from_numpy(rng.standard_normal((200, rank)))
    signs = torch.from_numpy(rng.choice([-1.0, 1.0], rank))
    matrix = shift * torch.eye(200, dtype=torch.float64) + (factor * signs) @ factor.T
    rows = torch.from_numpy(rng.standard_normal((20, 200)))
    form = Square.of(matrix[None], 2000)
    # A low rank is used, and a high one leaves the matrix as it is.
    assert form.matrix.shape[-1] == (rank if rank < 100 else 200)
    assert Square.of(matrix[None], 20).weights is None
    expected = torch.einsum("ni,ij,nj->n", rows, matrix, rows)
    torch.testing.assert_close(form(rows[None])[0], expected, rtol=1e-10, atol=1e-9)


def test_the_estimate_of_streamed_systems_is_that_of_systems_in_memory(tmp_path, monkeypatch):
    problem, alpha, gamma = curve_problem(count=333, seed=2)
    start = np.concatenate([alpha, gamma])
    whole = fit_pseudo_likelihood(problem, [start])
    monkeypatch.setattr(stored_rows, "_BLOCK_VALUES", 50 * problem.data.shape[1])
    streams = fit_pseudo_likelihood(streamed(problem, tmp_path), [start])
    # As if the systems had to be visited at each step.
    monkeypatch.setattr(fit_pseudo, "sufficient", lambda problem: (problem, 1.0))
    visited = fit_pseudo_likelihood(problem, [start])
    for other in (streams, visited):
        np.testing.assert_allclose(other.p, whole.p, atol=1e-9)
        np.testing.assert_allclose(other.influence, whole.influence, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(other.covariance, whole.covariance, rtol=1e-6)


def test_conditions_of_systems_need_the_systems():
    assert len(sufficient(replace(linear_problem(100), conditions=None))[0].data) < 100
    for problem in (linear_problem(100, scales=True), linear_problem(100, gaps=True)):
        assert sufficient(problem) == (problem, 1.0)
