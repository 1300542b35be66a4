"""A whole run: what it leaves behind, and what a second one repeats."""

from __future__ import annotations

import copy
import json
import math
import re
from pathlib import Path

import numpy as np
import preloaded
import pytest
from measured_jobs import assert_fits
from tiny_study import Workflow

from popinv.config.loading import load
from popinv.figures.names import FIGURES
from popinv.store import storage
from popinv.workflow.benchmarks import asked_and_taken
from popinv.workflow.resources import memory_mb, runtime_minutes

pytestmark = pytest.mark.firedrake

# What a job imports: torch, xarray, zarr and numba.
IMPORTS_MB = 400
METRICS = {
    "alpha_true_mean",
    "alpha_mean",
    "alpha_true_standard_deviation",
    "alpha_standard_deviation",
    "alpha_true_length",
    "alpha_length",
    "alpha_relative_error_max",
    "noise_covariance_relative_frobenius_error",
    "law_misfit",
    "noise_misfit",
    "simulator_misfit",
    "alpha_error_to_oracle",
    "noise_error_to_oracle",
    "surrogate_whitened_rmse",
    "solver_calls",
    "solver_failures",
}


def result(workflow: Workflow, name: str):
    return storage.load(workflow.folder / "results" / "tiny" / name)


def test_metrics_are_flat_finite_and_complete(finished):
    metrics = json.loads((finished.folder / "results/tiny/metrics.json").read_text())
    assert set(metrics) >= METRICS
    for name, value in metrics.items():
        assert isinstance(value, str) or math.isfinite(value), name
    assert metrics["solver_calls"] == 160 + 40 + 40
    assert metrics["solver_failures"] == 0
    assert metrics["alpha_true_length"] == pytest.approx(0.3)


def test_metrics_agree_with_the_population_store(finished):
    metrics = json.loads((finished.folder / "results/tiny/metrics.json").read_text())
    population, truth = result(finished, "population.zarr.zip"), result(finished, "truth.zarr.zip")
    assert metrics["alpha_mean"] == float(population["law"].sel(law_parameter="mean"))
    gap = population["noise_covariance"].values - truth["noise_covariance"].values
    error = np.linalg.norm(gap) / np.linalg.norm(truth["noise_covariance"].values)
    assert metrics["noise_covariance_relative_frobenius_error"] == pytest.approx(error)
    low, high = population["law_lower"].values, population["law_upper"].values
    assert np.all((low < population["law"].values) & (population["law"].values < high))


def test_observations_are_solves_plus_noise(finished):
    observations = result(finished, "observations.zarr.zip")
    truth = result(finished, "truth.zarr.zip")
    y = np.concatenate([observations["y"].values, observations["y_heldout"].values])
    assert y.shape == (240, 5)
    noise = y - truth["y_clean"].values
    # 1200 entries of standard deviation .1, correlated: a generous factor around it.
    assert 0.08 < noise.std() < 0.12


def test_every_store_is_described(finished):
    stores = sorted((finished.folder / "results").rglob("*.zarr.zip"))
    assert len(stores) > 20
    for store in stores:
        dataset = storage.load(store)
        attributes = {"config", "seed", "package_version", "created_by", "content_sha256"}
        assert attributes <= set(dataset.attrs), store
        for name, variable in dataset.variables.items():
            assert {"units", "long_name"} <= set(variable.attrs), (store, name)


def test_figures_logs_and_benchmarks_are_there_and_checkpoints_are_gone(finished):
    study = finished.folder / "results" / "tiny"
    for figure in FIGURES:
        assert (study / "figures" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
    assert "done in" in (study / "logs" / "deconvolve.log").read_text()
    assert (study / "benchmarks" / "deconvolve.tsv").exists()
    assert not list((finished.folder / "results" / ".checkpoints").rglob("*.zarr.zip"))


def test_jobs_would_ask_a_cluster_for_what_they_took(finished, tiny, monkeypatch):
    monkeypatch.chdir(finished.folder)
    study = load(tiny).studies["tiny"]
    finished_jobs = list(asked_and_taken(Path("results", "tiny", "benchmarks"), study))
    assert len({job.rule for _, job in finished_jobs}) >= 10
    # Jobs of tests are forks that hold what any test imports, shared with all others.
    more = max(0, preloaded.megabytes() - IMPORTS_MB)
    for asked, job in finished_jobs:
        if job.megabytes is not None:
            minutes, megabytes = runtime_minutes(asked), max(IMPORTS_MB, job.megabytes - more)
            assert_fits(job.rule, memory_mb(asked), megabytes, minutes, job.seconds, asked)


def test_a_finished_run_has_nothing_to_do(finished, tiny):
    printed = finished.dry_run(tiny)
    assert "Nothing to be done" in printed
    # Pages are written on request.
    assert "writing its page" not in printed


def test_a_descent_setting_reruns_no_solve_and_no_training(finished, tiny):
    tiny["studies"]["tiny"]["descent"]["learning_rate"] = 0.25
    printed = finished.dry_run(tiny)
    assert "tiny: recovering the law and the noise" in printed
    assert "solving" not in printed
    assert "training" not in printed


def test_the_noise_truth_reruns_no_first_design(finished, tiny):
    tiny["studies"]["tiny"]["observations"]["truth"]["noise"]["amplitude"] = 0.12
    printed = finished.dry_run(tiny)
    assert "tiny: observing the population through noise" in printed
    assert "round 1: solving chunk 0" in printed
    for untouched in ("round truth: solving", "round 0: solving", "round 0: training"):
        assert untouched not in printed


def test_an_added_study_leaves_the_finished_one_alone(finished, tiny):
    tiny["studies"]["other"] = copy.deepcopy(tiny["studies"]["tiny"])
    printed = finished.dry_run(tiny)
    assert "other, round 0: solving chunk 0" in printed
    assert not re.findall(r"Job \d+: tiny", printed)


def test_an_assessment_setting_reruns_the_assessment_alone(finished, tiny):
    tiny["studies"]["tiny"]["assessment"]["null_resamples"] = 25
    printed = finished.dry_run(tiny)
    assert "tiny: assessing the answer" in printed
    for untouched in ("solving", "training", "recovering"):
        assert untouched not in printed


def test_baselines_are_added_beside_what_is_there(finished, tiny):
    tiny["studies"]["tiny"]["assessment"]["baselines"] = ["plain", "two_stage"]
    printed = finished.dry_run(tiny)
    for asked in ("descending with the policy plain", "fitting each system by itself", "comparing"):
        assert f"tiny: {asked}" in printed
    for untouched in ("solving", "training", "recovering", "assessing", "policy full"):
        assert untouched not in printed
