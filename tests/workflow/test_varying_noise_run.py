"""Studies whose noise varies, from a file and from a known truth, to the report."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from study_sections import moments
from tiny_study import Workflow

pytestmark = pytest.mark.full

SIMULATOR = """import torch


def solve(z, times):
    rate, level = z[:, :1], z[:, 1:]
    return level * torch.exp(-rate * torch.as_tensor(times))
"""
TIMES = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0]
START = {"mean": 0.0, "standard_deviation": 0.5}
STUDY: dict[str, Any] = {
    "active_learning": {"rounds": 1, "first_design": 600},
    "surrogate": {"width": 32, "depth": 2, "max_epochs": 300},
    "polish": {"draws": 64},
    "descent": {"iterations": 60, "model_samples": 300, "directions": 32},
    "assessment": {"null_resamples": 20, "surrogate_check": 60},
    "forward": {
        "kind": "python",
        "function": "decay:solve",
        "derivatives": "torch",
        "parameters": ["rate", "level"],
        "observations": {"times": TIMES, "name": "concentration"},
    },
    "law": {"kind": "lognormal", "start": {"rate": START, "level": START}},
}
LAW = moments(rate=(-0.3, 0.25), level=(0.6, 0.4))
# Each study: its noise, the true noise, and what else its forward model observes.
STUDIES: dict[str, tuple[dict[str, Any], dict[str, float], dict[str, Any]]] = {
    "heavy": (
        {"kind": "isotropic", "errors": {"tails": "student", "covariates": ["age"]}},
        {"standard_deviation": 0.1, "degrees_of_freedom": 4.0, "noise_age_coefficient": 0.03},
        {},
    ),
    "logarithms": ({"kind": "isotropic"}, {"standard_deviation": 0.15}, {"logarithm": True}),
}
LIMIT, CENSORED = 0.3, {"standard_deviation": 0.05, "proportional": 0.12}


def table(systems: int) -> pd.DataFrame:
    """Return observations with a combined error, of which small ones are at the limit."""
    rng = np.random.default_rng(4)
    rate, level = np.exp(
        [[-0.3], [0.6]] + np.array([[0.25], [0.4]]) * rng.normal(size=(2, systems))
    )
    clean = level[:, None] * np.exp(-rate[:, None] * TIMES)
    sd = np.sqrt(0.05**2 + (0.12 * clean) ** 2)
    return pd.DataFrame(np.maximum(clean + sd * rng.standard_normal(clean.shape), LIMIT))


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    made = Workflow(tmp_path_factory.mktemp("varying"))
    (made.folder / "decay.py").write_text(SIMULATOR)
    values = table(300)
    assert 0.1 < float((values.to_numpy() <= LIMIT).mean()) < 0.4
    values.to_csv(made.folder / "data.csv", index=False, header=[f"c{t}" for t in TIMES])
    studies: dict[str, Any] = {
        "censored": {
            **STUDY,
            "noise": {"kind": "isotropic", "errors": {"grows": "combined"}},
            "observations": {"file": "data.csv", "censored_below": LIMIT},
        }
    }
    for name, (noise, true, observed) in STUDIES.items():
        forward = STUDY["forward"]
        studies[name] = {
            **STUDY,
            "forward": {**forward, "observations": {**forward["observations"], **observed}},
            "noise": noise,
            "observations": {
                "count": 300,
                "heldout": 100,
                "truth": {"law": LAW, "noise": true},
                "known": {"age": {"normal": [40.0, 10.0]}} if name == "heavy" else {},
            },
        }
    made.configure({"seed": 1, "studies": studies})
    made.printed("all", "results/report/index.html")
    return made


@pytest.mark.parametrize("study", ["censored", *STUDIES])
def test_the_intervals_hold_the_truth(workflow: Workflow, study: str) -> None:
    assert workflow.metrics(study)["estimator"] == "likelihood"
    noise = CENSORED if study == "censored" else STUDIES[study][1]
    values = {f"noise_{name}": value for name, value in noise.items()}
    for name, each in LAW.items():
        values |= {f"alpha_{name}_{key}": value for key, value in each.items()}
    # Of at most seven intervals of 95 %, more than two miss in 4 of 1000 data sets.
    outside = workflow.missed(study, values)
    assert len(outside) <= 2, outside


def test_the_report_shows_the_noise_against_the_signal(workflow: Workflow) -> None:
    pages = (workflow.folder / "results/report").rglob("*.html")
    with_growth = [page.name for page in pages if "Noise against the signal" in page.read_text()]
    assert with_growth
    assert all("censored" in name for name in with_growth)


WITH_DOSE = """import torch


def solve(z, design, times):
    rate, level = z[:, :1], z[:, 1:]
    return design * level * torch.exp(-rate * torch.as_tensor(times, dtype=z.dtype))
"""


def test_all_that_can_be_stated_of_systems_at_once(tmp_path):
    # Design, replicates, noise scales, limits of quantification and noise that grows.
    workflow = Workflow(tmp_path)
    (tmp_path / "dosed.py").write_text(WITH_DOSE)
    law = {"rate": {"mean": -0.7, "standard_deviation": 0.4}, "level": LAW["level"]}
    forward = {**STUDY["forward"], "function": "dosed:solve", "design": ["dose"]}
    study = {
        **STUDY,
        "forward": forward,
        "noise": {"kind": "isotropic", "errors": {"grows": "combined"}},
        "observations": {
            "count": 250,
            "heldout": 60,
            "replicates": 2,
            "censored_below": 0.3,
            "noise_scale": {"low": 0.7, "high": 1.4},
            "known": {"dose": {"uniform": [0.5, 2.0]}},
            "truth": {"law": law, "noise": CENSORED},
        },
        "assessment": {**STUDY["assessment"], "baselines": ["two_stage"]},
        "evidence": {
            "calibration": 1,
            "system_counts": [60, 120, 240],
            "repeats": 2,
            "design_counts": [200, 400],
        },
        "downstream": {
            "posterior": {"effective": 50},
            "withdrawal": {"systems": [3], "checked": 2},
            "groups": {"simulated": 20},
            "federated": {"sites": 2},
        },
    }
    workflow.configure({"studies": {"all": study}})
    workflow.printed()
    folder = tmp_path / "results/all"
    metrics = json.loads((folder / "metrics.json").read_text())
    for name, true in (("rate", -0.7), ("level", 0.6)):
        apart = metrics[f"alpha_{name}_mean"] - true
        assert abs(apart) < 4 * metrics[f"standard_error_{name}_mean"]
    assert metrics["noise_proportional"] == pytest.approx(0.12, rel=0.1)
    found = {
        method: json.loads((folder / f"downstream/{method}/metrics.json").read_text())
        for method in study["downstream"]
    }
    # Of 250 systems with two parameters each, a share of .95 has a deviation of .01.
    assert 0.9 < found["posterior"]["coverage"] < 0.99
    assert found["federated"]["largest_distance_federated"] < 0.1
    assert found["withdrawal"]["withdrawn"] == 1
    slope = json.loads((folder / "evidence/error_against_systems.json").read_text())
    assert slope["error_data_sets"] == 6
    assert slope["error_descents_diverged"] == 0
    designs = json.loads((folder / "evidence/designs.json").read_text())
    assert 0 < designs["design_error"] < 1
