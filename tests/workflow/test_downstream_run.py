"""Downstream methods asked for after a study is finished, and their own test problems."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from popinv.cli.show import table
from popinv.methods.invariants import PREFIX
from popinv.store import storage
from popinv_papers.methods import PAPERS

pytestmark = pytest.mark.firedrake

ASKED = {
    "posterior": {"chains": 2, "effective": 20, "most_moves": 300, "kept_draws": 10},
    "mwgrad": {"systems": [0, 5], "particles": 12, "iterations": 20, "simulated": 20},
    "instance_unlearning": {
        "systems": 6, "withdrawn": 2, "places": 2, "noise_draws": 40, "steps": 10, "solves": 5,
    },
    "sgd_dynamics": {
        "starts": 2, "changes": 1, "places": 5, "draws": 4, "noise_draws": 60,
    },
    "analog": {"devices": ["power"], "ranges": [2.0], "steps": 5, "draws": 1},
    "influence": {"targets": 10, "steps": 20, "repeats": 2},
    "withdrawal": {"systems": [3, 17], "checked": 4},
    "certified_unlearning": {"systems": [4, 59], "runs": 50},
    "federated": {"law": "own", "sites": 2},
    "fedhl": {"ranks": [2, 6], "solves": 20, "test_solves": 20, "rounds": 3, "local_steps": 3},
    "birch": {
        "seconds": [0.002, 0.005], "message": 0.001, "gradients": 40, "batch_size": 8, "repeats": 2,
    },
}  # fmt: skip


def test_methods_are_added_to_a_finished_study(finished, tiny):
    tiny["studies"]["tiny"]["downstream"] = ASKED
    printed = finished.dry_run(tiny)
    for untouched in ("solving chunk", ": training the surrogate\n", "recovering", "assessing"):
        assert untouched not in printed
    done = finished.run()
    assert done.returncode == 0, done.stdout
    folder = finished.folder / "results" / "tiny"
    metrics_by_method = {
        method: json.loads((folder / f"downstream/{method}/metrics.json").read_text())
        for method in ASKED
    }
    shown = " ".join(table([folder / "metrics.json"]).split())
    for method, metrics in metrics_by_method.items():
        assert all(isinstance(value, float | int | str) for value in metrics.values())
        nothing = [n for n in metrics if n.startswith(PREFIX) and not n.endswith("_tolerance")]
        assert nothing, method
        assert all(metrics[name] <= metrics[f"{name}_tolerance"] for name in nothing)
        assert " ".join(metrics["statement"].split()) in shown, method
        assert metrics["statement"][:30] in table([folder / f"downstream/{method}/metrics.json"])
    posterior = storage.load(folder / "posterior.zarr.zip")
    # Four modes and the mean of a field, which is told at five places.
    assert posterior["z"].dims == ("draw", "system", "coefficient")
    assert posterior["value"].shape == (10, 200, 5)
    systems = pd.read_csv(folder / "downstream/posterior/systems.csv")
    assert len(systems) == 200
    assert "log-permeability at x=0.5 median" in systems
    assert systems["surprise p-value"].between(0, 1).all()
    # A study so tiny has a poor surrogate; that the intervals hold most of the truth is all.
    assert metrics_by_method["posterior"]["coverage"] > 0.5
    weights = [metrics_by_method["mwgrad"][f"weight_system_{n}"] for n in (0, 5)]
    assert np.sum(weights) == pytest.approx(1)
    assert metrics_by_method["sgd_dynamics"]["starts"] == 2
    assert metrics_by_method["analog"]["error_power_tiki_taka_2"] > 0
    assert metrics_by_method["analog"]["analog_law_shift"] > 0
    assert "accelerator" in metrics_by_method["analog"]["advice"]
    assert metrics_by_method["influence"]["pool"] == 200
    assert metrics_by_method["influence"]["candidates"] == 40
    assert metrics_by_method["certified_unlearning"]["epsilon"] <= 1 + 1e-9
    federated = metrics_by_method["federated"]
    assert federated["sites"] == 2
    assert federated["largest_distance_federated"] < 0.1
    withdrawal = metrics_by_method["withdrawal"]
    assert withdrawal["withdrawn"] == 2
    # One step is the prediction, and a short fit the answer without both systems.
    assert withdrawal["withdrawn_left_by_one_step"] < 0.3 * withdrawal["withdrawn_size"]
    influence = pd.read_csv(folder / "downstream/withdrawal/influence.csv")
    assert sorted(influence["system"]) == list(range(200))
    assert "hardest to forget" in metrics_by_method["instance_unlearning"]["statement"]
    assert metrics_by_method["instance_unlearning"]["solves_rerun_epochs"] == 100
    for picture in (
        "instance_unlearning/figures/systems",
        "posterior/figures/systems",
        "mwgrad/figures/front",
        "sgd_dynamics/figures/slices",
        "analog/figures/errors",
        "analog/figures/deployment",
        "influence/figures/selection",
        "certified_unlearning/figures/forgetting",
        "withdrawal/figures/influence",
        "withdrawal/figures/answers",
        "federated/figures/answers",
        "federated/figures/reconstruction",
        "fedhl/figures/sites",
        "birch/figures/training",
        "birch/figures/solves",
    ):
        assert (folder / f"downstream/{picture}.png").read_bytes().startswith(b"\x89PNG")


def test_a_setting_of_one_method_reruns_that_alone(finished, tiny):
    tiny["studies"]["tiny"]["downstream"] = ASKED | {"mwgrad": {**ASKED["mwgrad"], "rate": 0.05}}
    printed = finished.dry_run(tiny)
    assert "testing a group of systems" in printed
    for untouched in ("sampling the parameters", "probing the descent", "recovering"):
        assert untouched not in printed


def test_the_test_problems_are_one_target(finished, tiny):
    finished.configure(tiny)
    done = finished.run("--dry-run", "downstream")
    assert done.returncode == 0, done.stdout
    checks = [check.name for paper in PAPERS for check in paper.checks]
    assert len(checks) > 5
    for rule in (*(f"check_{name}" for name in checks), "fetch_package"):
        assert rule in done.stdout
