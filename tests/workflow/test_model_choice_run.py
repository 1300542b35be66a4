"""A comparison of two models of a file of observations, from the file to the table and the page."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from commands import ran
from tiny_study import Workflow

from popinv.cli.commands import popinv
from popinv.store import storage

pytestmark = pytest.mark.full

SIMULATOR = """\
import torch

def solve(z):
    return z[:, :1] + z[:, 1:] * torch.linspace(-1.0, 1.0, 5, dtype=z.dtype)
"""
SYSTEMS = 220


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Return the workflow after a comparison of correlated and independent lines."""
    workflow = Workflow(tmp_path_factory.mktemp("choice"))
    rng = np.random.default_rng(0)
    z = rng.multivariate_normal([1.0, 2.0], [[1.0, 0.8], [0.8, 1.0]], SYSTEMS)
    y = z[:, :1] + z[:, 1:] * np.linspace(-1, 1, 5) + 0.2 * rng.standard_normal((SYSTEMS, 5))
    (workflow.folder / "simulator.py").write_text(SIMULATOR)
    np.savetxt(workflow.folder / "y.csv", y, delimiter=",", header="a,b,c,d,e", comments="")
    start = {name: {"mean": 1.0, "standard_deviation": 1.0} for name in ("intercept", "slope")}
    study = {
        "forward": {
            "kind": "python",
            "function": "simulator:solve",
            "derivatives": "torch",
            "rows_per_call": 20000,
            "parameters": ["intercept", "slope"],
            "observations": {"name": "seen", "times": [-1, -0.5, 0, 0.5, 1]},
        },
        "law": {"kind": "normal", "start": start},
        "noise": {"kind": "isotropic", "start": {"standard_deviation": 0.3}},
        "observations": {"file": "y.csv"},
        "active_learning": {"rounds": 1, "first_design": 300, "chunk_size": 300},
        "surrogate": {"width": 32, "depth": 2, "max_epochs": 100},
        "descent": {"iterations": 40, "model_samples": 200, "directions": 16},
        "polish": {"seconds_per_solve": 1.0e-5},
        "assessment": {"null_resamples": 20, "surrogate_check": 40},
    }
    law = {"kind": "normal", "correlations": True, "start": start}
    config = {
        "comparisons": {"lines": ["independent", "correlated"]},
        "studies": {"independent": study, "correlated": {**study, "law": law}},
    }
    workflow.configure(config)
    workflow.printed("results/comparisons/lines/comparison.json", "results/report/index.html")
    return workflow


def test_the_correlated_law_wins_and_the_table_says_so(compared, monkeypatch):
    folder = compared.folder
    table = json.loads((folder / "results/comparisons/lines/comparison.json").read_text())
    models = table["models"]
    assert list(models) == ["correlated", "independent"]
    assert models["independent"]["verdict"] == "worse"
    assert models["independent"]["aic_difference"] > 20
    assert [models[name]["parameters"] for name in models] == [6, 5]
    assert (table["systems"], table["tested_systems"], table["tested_folds"]) == (SYSTEMS, 44, 1)
    monkeypatch.chdir(folder)
    assert "lines: 2 models of the same 220 systems" in ran("compare", "config.yaml")
    assert "lines: 2 models" in CliRunner().invoke(popinv, ["show", "results"]).output
    page = (folder / "results/report/comparisons/lines.html").read_text()
    assert "independent" in page


def test_the_answer_is_that_of_all_systems_and_its_refit_is_kept(compared):
    study = compared.folder / "results/correlated"
    population = storage.load(study / "population.zarr.zip")
    without = storage.load(study / "without_tested.zarr.zip")
    assert len(population["influence"]) == SYSTEMS
    assert without["p"].shape == (1, 6)
    assert int(without["arrived"].sum()) == 1
    errors = np.sqrt(np.diag(population["covariance"].values))
    p = np.concatenate([population["alpha"].values, population["gamma"].values])
    away = np.abs(without["p"].values[0] - p) / errors
    # One fifth of the systems moves the answer by half a standard error, about.
    assert 0.05 < np.max(away) < 2.5
    metrics = json.loads((study / "metrics.json").read_text())
    assert metrics["systems"] == SYSTEMS
