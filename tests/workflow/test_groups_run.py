"""Studies of groups, synthetic and from a long table, from the first solve to the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from linear_groups import LAW, NAMES, TRUTH, maximum, table
from study_sections import long_table
from tiny_study import Workflow

pytestmark = pytest.mark.full

SIMULATOR = """import numpy as np


def solve(z, design, times):
    return z[:, :1] + z[:, 1:2] * design * np.asarray(times)
"""
STUDY: dict[str, Any] = {
    "forward": {
        "kind": "python",
        "function": "lines:solve",
        "parameters": ["a", "b"],
        "design": ["dose"],
        "observations": {"times": [0.0, 0.5, 1.0, 1.5], "name": "y"},
    },
    "law": LAW,
    "noise": {"kind": "isotropic"},
    "active_learning": {"rounds": 2, "first_design": 500, "solves_per_round": 300},
    "surrogate": {"width": 64, "depth": 2},
    "descent": {"iterations": 60, "model_samples": 200, "directions": 32},
    "assessment": {"null_resamples": 20, "surrogate_check": 200},
}
TRUE_LAW = {
    "a": {"mean": 1.0, "standard_deviation": 1.0},
    "b": {"mean": 2.0, "standard_deviation": 0.3},
    **{name: float(TRUTH[NAMES.index(name)]) for name in NAMES[2:5]},
}


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    made = Workflow(tmp_path_factory.mktemp("groups"))
    (made.folder / "lines.py").write_text(SIMULATOR)
    table(24, seed=6).to_csv(made.folder / "data.csv", index=False)
    file = long_table("data.csv", "site", "y", "t")
    synthetic = {
        "count": 16,
        "heldout": 8,
        "members": {"sample": 3},
        "known": {"dose": {"uniform": [0.5, 1.5]}, "w": {"normal": [0.0, 1.0]}},
        "truth": {"law": TRUE_LAW, "noise": {"standard_deviation": 0.2}},
    }
    uses = {"posterior": {"effective": 100}, "restarts": {"starts": 2, "draws": 4}}
    evidence = {"calibration": 2, "system_counts": [10, 14, 18], "repeats": 2}
    studies = {
        "table": {**STUDY, "observations": file, "downstream": {"withdrawal": {"checked": 2}}},
        "synthetic": {
            **STUDY,
            "observations": synthetic,
            "downstream": uses,
            "evidence": {**evidence, "through": "surrogate"},
        },
    }
    made.configure({"seed": 1, "studies": studies})
    made.printed("all", "results/report/index.html")
    return made


def page_of(workflow: Workflow, name: str) -> str:
    (page,) = Path(workflow.folder / "results/report").rglob(f"{name}.html")
    return page.read_text()


def test_the_answer_of_a_table_is_the_exact_maximum(workflow: Workflow) -> None:
    metrics = workflow.metrics("table")
    values, _ = maximum(table(24, seed=6))
    for name, value in zip(NAMES[:6], values, strict=False):
        low, high = (metrics[f"alpha_{name}_{end}"] for end in ("lower", "upper"))
        # A quarter of the width of an interval is about a standard error.
        assert metrics[f"alpha_{name}"] == pytest.approx(value, abs=0.05 * (high - low)), name


def test_synthetic_groups_are_recovered_and_repeated(workflow: Workflow) -> None:
    metrics = workflow.metrics("synthetic")
    assert metrics["systems"] == 16
    for name, value in zip(NAMES[:6], TRUTH, strict=False):
        low, high = (metrics[f"alpha_{name}_{end}"] for end in ("lower", "upper"))
        assert low - (high - low) < value < high + (high - low), name
    calibration = workflow.folder / "results/synthetic/evidence/calibration.json"
    assert json.loads(calibration.read_text())["calibration_replications"] == 2
    errors = workflow.folder / "results/synthetic/evidence/error_against_systems.json"
    assert np.isfinite(json.loads(errors.read_text())["law_error_slope"])


def test_reports_tell_groups_and_members(workflow: Workflow) -> None:
    assert "16 groups of 3 members with 4 observations each" in page_of(workflow, "synthetic")
    assert "24 groups of 2 to 5 members with 4 observations each" in page_of(workflow, "table")
    table = (workflow.folder / "results/synthetic/downstream/posterior/systems.csv").read_text()
    assert len(table.splitlines()) == 1 + 48


def test_records_are_whole(workflow: Workflow) -> None:
    done = workflow.run("all", "--dry-run")
    assert "Nothing to be done" in done.stdout
