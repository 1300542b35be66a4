"""Uses of all papers on a finished study, and their test problems."""

from __future__ import annotations

import numpy as np
import pytest
from asked_methods import found_by

from popinv_papers.methods import PAPERS

pytestmark = pytest.mark.firedrake

ASKED = {
    "mwgrad": {"systems": [0, 5], "particles": 12, "iterations": 20, "simulated": 20},
    "instance_unlearning": {
        "systems": 6, "withdrawn": 2, "places": 2, "noise_draws": 40, "steps": 10, "solves": 5,
    },
    "sgd_dynamics": {
        "starts": 2, "changes": 1, "places": 5, "draws": 4, "noise_draws": 60,
    },
    "analog": {"devices": ["power"], "ranges": [2.0], "steps": 5, "draws": 1},
    "influence": {"targets": 10, "steps": 20, "repeats": 2},
    "certified_unlearning": {"systems": [4, 59], "runs": 50},
    "fedhl": {"ranks": [2, 6], "solves": 20, "test_solves": 20, "rounds": 3, "local_steps": 3},
    "birch": {
        "seconds": [0.002, 0.005], "message": 0.001, "gradients": 40, "batch_size": 8, "repeats": 2,
    },
}  # fmt: skip


@pytest.mark.full
def test_papers_are_used_on_a_finished_study(finished, tiny):
    found = found_by(finished, tiny, ASKED)
    folder = finished.folder / "results" / "tiny"
    weights = [found["mwgrad"][f"weight_system_{n}"] for n in (0, 5)]
    assert np.sum(weights) == pytest.approx(1)
    assert found["sgd_dynamics"]["starts"] == 2
    assert found["analog"]["error_power_tiki_taka_2"] > 0
    assert found["analog"]["analog_law_shift"] > 0
    assert "accelerator" in found["analog"]["advice"]
    assert found["influence"]["pool"] == 200
    assert found["influence"]["candidates"] == 40
    assert found["certified_unlearning"]["epsilon"] <= 1 + 1e-9
    assert "hardest to forget" in found["instance_unlearning"]["statement"]
    assert found["instance_unlearning"]["solves_rerun_epochs"] == 100
    for picture in (
        "instance_unlearning/figures/systems",
        "mwgrad/figures/front",
        "sgd_dynamics/figures/slices",
        "analog/figures/errors",
        "analog/figures/deployment",
        "influence/figures/selection",
        "certified_unlearning/figures/forgetting",
        "fedhl/figures/sites",
        "birch/figures/training",
        "birch/figures/solves",
    ):
        assert (folder / f"downstream/{picture}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.full
def test_the_test_problems_are_one_target(finished, tiny):
    finished.configure(tiny)
    done = finished.run("--dry-run", "downstream")
    assert done.returncode == 0, done.stdout
    checks = [check.name for paper in PAPERS for check in paper.checks]
    assert len(checks) > 5
    for rule in (*(f"check_{name}" for name in checks), "fetch_package"):
        assert rule in done.stdout
