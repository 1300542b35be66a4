"""A study that the workflow has finished, opened in Python, and the same study by `popinv.fit`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from study_sections import moments
from tiny_study import Workflow

import popinv
from popinv.judgement.files import read_answer

SIMULATOR = """
import numpy as np

TIMES = np.array([0.5, 1.0, 2.0, 4.0])

def solve(z):
    rate, height = z.T
    return height[:, None] * np.exp(-rate[:, None] * TIMES)
"""
FORWARD = {
    "kind": "python",
    "function": "simulator:solve",
    "parameters": ["rate", {"name": "height", "units": "mg"}],
    "observations": {"name": "mass", "units": "mg", "times": [0.5, 1, 2, 4]},
}
LAW = {
    "kind": "lognormal",
    "start": moments(rate=(0.0, 0.5), height=(1.0, 0.5)),
}
SECTIONS: dict[str, Any] = {
    "noise": {"kind": "isotropic"},
    "active_learning": {"rounds": 2, "first_design": 80, "solves_per_round": 40, "chunk_size": 50},
    "surrogate": {"width": 16, "depth": 2, "max_epochs": 60},
    "descent": {"iterations": 20, "legs": 1, "model_samples": 50, "directions": 8},
    "polish": {"draws": 16},
    "assessment": {"null_resamples": 20, "surrogate_check": 40},
}


@pytest.mark.firedrake
def test_the_tiny_study_opens_with_the_numbers_of_its_metrics(finished):
    folder = finished.folder / "results" / "tiny"
    result, recovered = popinv.load(folder), read_answer(folder).parameters
    assert result.metrics == json.loads((folder / "metrics.json").read_text())
    table = result.summary()
    assert len(table) == len(recovered) == 5
    for row, wanted in zip(table.itertuples(), recovered, strict=True):
        assert (row.kind, row.estimate, row.true) == (wanted.kind, wanted.value, wanted.true)
        assert (row.lower, row.upper) == (wanted.lower, wanted.upper)
    assert list(table.index[-2:]) == ["noise_amplitude", "noise_length"]
    assert set(result.check()["verdict"]) <= {"good", "doubt", "neutral"}
    assert "Against the truth" in result.check().index
    assert set(result.plot("law", "solver_calls")) == {"law", "solver_calls"}
    tree = result.to_datatree()
    assert dict(tree["posterior"].sizes) == {"chain": 1, "draw": 200}
    assert tree["observed_data"].to_dataset()["u"].shape == (200, 5)


@pytest.mark.firedrake
def test_a_study_is_read_without_torch(untouched):
    code = "import sys, popinv; found = popinv.load('results/tiny'); found.check(); repr(found); "
    code += "print(len(found.summary()), 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=untouched.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "5 False\n"


@pytest.mark.full
def test_fit_gives_the_numbers_of_the_workflow(in_folder):
    rng = np.random.default_rng(2)
    rate, height = np.exp(rng.normal([0.2, 1.2], 0.3, size=(60, 2))).T
    clean = height[:, None] * np.exp(-rate[:, None] * [0.5, 1, 2, 4])
    data = pd.DataFrame(clean + 0.1 * rng.normal(size=clean.shape), columns=list("abcd"))
    data.to_csv("data.csv", index=False)
    Path("simulator.py").write_text(SIMULATOR)
    observations = {"file": "data.csv"}
    study = {"forward": FORWARD, "law": LAW, "observations": observations, **SECTIONS}
    workflow = Workflow(in_folder)
    workflow.configure({"seed": 4, "studies": {"own": study}})
    workflow.printed("results/own/metrics.json")
    opened = popinv.load("results/own")
    sections = {name: section for name, section in SECTIONS.items() if name != "noise"}
    fitted = popinv.fit(
        data, FORWARD, law=LAW, noise="isotropic", seed=4, progress=False, **sections
    )
    assert fitted.metrics == opened.metrics
    pd.testing.assert_frame_equal(fitted.summary(), opened.summary())
    for name in ("check", "likelihood", "population"):
        for variable, values in opened.artefacts[name].variables.items():
            np.testing.assert_array_equal(fitted.artefacts[name][variable].values, values.values)
