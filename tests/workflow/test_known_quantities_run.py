"""A study with a design, a covariate and a correlation, and one of a long table, to the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from study_sections import long_table
from tiny_study import Workflow

pytestmark = pytest.mark.full

SIMULATOR = """import torch


def solve(z, design, times):
    rate, level = z[:, :1], z[:, 1:]
    return design * level * torch.exp(-rate * torch.as_tensor(times))
"""
SMALL: dict[str, Any] = {
    "active_learning": {"rounds": 1, "first_design": 600},
    "surrogate": {"width": 32, "depth": 2, "max_epochs": 300},
    "polish": {"draws": 64},
    "descent": {"iterations": 60, "model_samples": 300, "directions": 32},
    "assessment": {"null_resamples": 20, "surrogate_check": 60},
}
TIMES = [0.25, 0.5, 1.0, 2.0]
START = {"mean": 0.0, "standard_deviation": 0.5}
STUDY: dict[str, Any] = {
    **SMALL,
    "forward": {
        "kind": "python",
        "function": "decay:solve",
        "derivatives": "torch",
        "parameters": ["rate", "level"],
        "design": ["dose"],
        "observations": {"times": TIMES, "name": "concentration"},
    },
    "law": {
        "kind": "lognormal",
        "correlations": True,
        "covariates": {"rate": ["age"]},
        "start": {"rate": START, "level": START},
    },
    "noise": {"kind": "isotropic"},
}
TRUTH = {
    "rate": {"mean": -0.3, "standard_deviation": 0.25},
    "level": {"mean": 0.4, "standard_deviation": 0.4},
    "rate_age_coefficient": 0.03,
    "level_rate_correlation": 0.5,
}


def drawn_table(systems: int) -> pd.DataFrame:
    """Return a long table of systems that were observed at some of the times, drawn by NumPy."""
    rng, rows = np.random.default_rng(4), []
    for system in range(systems):
        dose, age = rng.uniform(0.5, 2.0), rng.normal(40.0, 10.0)
        e = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]])
        rate, level = np.exp(-0.3 + 0.03 * (age - 40) + 0.25 * e[0]), np.exp(0.4 + 0.4 * e[1])
        for time in TIMES:
            if time == TIMES[0] or rng.random() < 0.8:
                value = dose * level * np.exp(-rate * time) + 0.1 * rng.standard_normal()
                rows.append((f"s{system}", time, value, dose, age))
    return pd.DataFrame(rows, columns=["id", "hour", "y", "dose", "age"])


def made_with(folder: Path, *names: str) -> Workflow:
    """Return the workflow after a run of some of the two studies, to the report."""
    made = Workflow(folder)
    (made.folder / "decay.py").write_text(SIMULATOR)
    drawn_table(200).to_csv(made.folder / "data.csv", index=False)
    uses = {"posterior": {}, "groups": {}, "restarts": {}, "federated": {}, "certificate": {}}
    synthetic = {
        "count": 300,
        "heldout": 100,
        "known": {"dose": {"uniform": [0.5, 2.0]}, "age": {"normal": [40.0, 10.0]}},
        "truth": {"law": TRUTH, "noise": {"standard_deviation": 0.1}},
    }
    table = long_table("data.csv", "id", "y", "hour")
    baselines = {**SMALL["assessment"], "baselines": ["full", "plain", "two_stage"]}
    studies = {
        "synthetic": {
            **STUDY,
            "observations": synthetic,
            "assessment": baselines,
            "downstream": {**uses, "withdrawal": {"systems": [5]}},
            "evidence": {"calibration": 2, "system_counts": [40, 80, 160]},
        },
        "table": {
            **STUDY,
            "observations": table,
            "downstream": {**uses, "withdrawal": {"systems": ["s5"]}},
            "evidence": {"calibration": 2},
        },
    }
    made.configure({"seed": 1, "studies": {name: studies[name] for name in names}})
    made.printed("all", "results/report/index.html")
    return made


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    return made_with(tmp_path_factory.mktemp("known"), "table")


def test_the_intervals_of_a_table_hold_the_truth(workflow: Workflow) -> None:
    assert_intervals_hold_the_truth(workflow, "table", 200)


def test_the_intervals_of_a_synthetic_study_hold_the_truth(tmp_path: Path) -> None:
    assert_intervals_hold_the_truth(made_with(tmp_path, "synthetic"), "synthetic", 300)


def assert_intervals_hold_the_truth(workflow: Workflow, study: str, systems: int) -> None:
    metrics = workflow.metrics(study)
    assert metrics["systems"] == systems
    values = {
        "alpha_rate_mean": -0.3,
        "alpha_level_mean": 0.4,
        "alpha_rate_standard_deviation": 0.25,
        "alpha_level_standard_deviation": 0.4,
        "alpha_rate_age_coefficient": 0.03,
        "alpha_level_rate_correlation": 0.5,
        "noise_standard_deviation": 0.1,
    }
    # Of seven intervals of 95 %, more than two miss in 4 of 1000 data sets.
    assert len(workflow.missed(study, values)) <= 2
    assert metrics["alpha_rate_age_coefficient"] == pytest.approx(0.03, abs=0.008)
    assert metrics["alpha_level_rate_correlation"] == pytest.approx(0.5, abs=0.25)
    for use in ("posterior", "withdrawal", "groups", "restarts", "federated", "certificate"):
        assert workflow.metrics(f"{study}/downstream/{use}")["statement"]


def test_the_report_names_them(workflow: Workflow) -> None:
    page = next((workflow.folder / "results/report").rglob("*table*.html")).read_text()
    for part in ("rate age coefficient", "level rate correlation"):
        assert part in page


def test_an_edit_of_a_covariate_repeats_the_proposals(workflow: Workflow) -> None:
    file = workflow.folder / "data.csv"
    before = file.read_text()
    frame = drawn_table(200)
    frame["age"] += np.where(frame["id"] == "s3", 5.0, 0.0)
    frame.to_csv(file, index=False)
    printed = workflow.run("--dry-run").stdout
    file.write_text(before)
    assert "table, round 0: proposing parameters" in printed
