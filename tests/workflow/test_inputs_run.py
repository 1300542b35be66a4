"""A study with doses over time and a function of NumPy, to the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from linear_doses import LAW, exact, table
from tiny_study import Workflow

pytestmark = pytest.mark.full

SIMULATOR = """
def solve(z, times, inputs):
    return [z[0] * sum(d["amount"] for d in inputs if d["time"] <= t) for t in times]
"""
COLUMNS = {"system_column": "ID", "time_column": "TIME"}
STUDY = {
    "forward": {
        "kind": "python",
        "function": "doses:solve",
        "vectorised": False,
        "parameters": ["z"],
        "inputs": {**COLUMNS, "file": "doses.csv", "amount_column": "AMT"},
        "observations": {"times": [1.0, 2.0, 4.0, 6.0]},
    },
    "law": LAW,
    "noise": {"kind": "isotropic"},
    "observations": {**COLUMNS, "file": "y.csv", "layout": "long", "value_column": "DV"},
    "surrogate": {"kind": "none"},
    "estimator": "likelihood",
    "descent": {"iterations": 20, "model_samples": 200, "directions": 16},
    "assessment": {"null_resamples": 20},
    "downstream": {"posterior": {}},
}


def test_a_study_of_doses_finds_the_maximum_of_the_exact_likelihood(tmp_path: Path):
    made, both = Workflow(tmp_path), table()
    (tmp_path / "doses.py").write_text(SIMULATOR)
    both[both.EVID == 1].to_csv(tmp_path / "doses.csv", index=False)
    both[both.EVID == 0][["ID", "TIME", "DV"]].to_csv(tmp_path / "y.csv", index=False)
    made.configure({"seed": 1, "studies": {"doses": STUDY}})
    made.printed("all", "results/report/index.html")
    metrics = json.loads((tmp_path / "results/doses/metrics.json").read_text())
    largest, at = exact()
    assert metrics["log_likelihood"] == pytest.approx(largest, abs=1e-3)
    names = ("alpha_z_mean", "alpha_z_standard_deviation", "noise_standard_deviation")
    np.testing.assert_allclose([metrics[name] for name in names], at, rtol=5e-3)
    # Times and amounts of single doses are not tested as if they explained a parameter.
    assert not [name for name in metrics if "effect" in name]
    # Other doses are other observations; the function is as it was.
    text = (tmp_path / "doses.csv").read_text()
    (tmp_path / "doses.csv").write_text(text.replace("5.0,1,1.0", "5.0,1,1.5"))
    told = made.run("--dry-run").stdout
    assert "import_observations" in told
