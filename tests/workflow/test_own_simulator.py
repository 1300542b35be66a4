"""Studies with a simulator of one's own: what is recorded, what is repeated, what is found."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from study_sections import function
from tiny_study import ROOT, Workflow

from popinv.forward.datasets import reasons_of
from popinv.store import storage

SIMULATOR = """
import numpy as np

def solve(z):
    if np.any(z[:, 0] > 1.0):
        raise ValueError("a is too large")
    return z @ np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
"""
WITH_JACOBIAN = """
import numpy as np

def solve(z):
    matrix = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    return z @ matrix.T, np.tile(+matrix, (len(z), 1, 1))
"""
ONE = {"mean": 0.0, "standard_deviation": 1.0}
STUDY: dict[str, Any] = {
    "forward": function("simulator:solve", "a", "b", observations={"count": 3}),
    "law": {"kind": "normal", "start": {"a": ONE, "b": ONE}, "spread": 0.3},
    "observations": {"file": "y.csv"},
    "active_learning": {"first_design": 60, "chunk_size": 30, "failure_budget": 0.9},
}
SOLVES = "results/own/rounds/0/solves.zarr.zip"


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    np.savetxt(tmp_path / "y.csv", np.random.default_rng(0).normal(size=(40, 3)), delimiter=",")
    (tmp_path / "simulator.py").write_text(SIMULATOR)
    made = Workflow(tmp_path)
    made.configure({"studies": {"own": STUDY}})
    return made


def test_failures_are_recorded_and_a_changed_simulator_repeats_the_solves(workflow: Workflow):
    printed = workflow.printed(SOLVES)
    solves = storage.load(workflow.folder / SOLVES)
    a, reasons = solves["z"].values[:, 0], reasons_of(solves)
    np.testing.assert_array_equal(reasons != "", a > 1.0)
    assert set(reasons) == {"", "ValueError: a is too large (simulator.py, line 6)"}
    log = (workflow.folder / "results/own/logs/collect_solves.0.log").read_text()
    assert f"60 solves, failed: {np.sum(a > 1.0)} times: ValueError: a is too large" in log

    module = workflow.folder / "simulator.py"
    module.write_text("# a comment\n" + SIMULATOR)
    assert "Nothing to be done" in workflow.run(SOLVES, "--dry-run").stdout
    module.write_text(SIMULATOR.replace("> 1.0", "> 2.0"))
    printed = workflow.run(SOLVES, "--dry-run").stdout
    for chunk in (0, 1):
        assert f"round 0: solving chunk {chunk}" in printed
    assert "proposing" not in printed


@pytest.mark.full
def test_wrong_derivatives_stop_the_run_at_the_first_solves(workflow: Workflow):
    forward = {**STUDY["forward"], "derivatives": "jacobian"}
    together = {**STUDY["active_learning"], "chunk_size": 60}
    study = {**STUDY, "forward": forward, "active_learning": together}
    workflow.configure({"studies": {"own": study}})
    module = workflow.folder / "simulator.py"
    module.write_text(WITH_JACOBIAN.replace("+matrix", "-matrix"))
    done = workflow.run(SOLVES)
    assert done.returncode == 1
    assert "the derivative of observation" in done.stdout
    assert "Correct the Jacobian" in done.stdout
    module.write_text(WITH_JACOBIAN)
    workflow.printed(SOLVES)


def test_a_simulator_has_no_states_to_draw(workflow: Workflow):
    done = workflow.run("results/own/gallery/systems.png", "--dry-run")
    assert done.returncode == 1
    assert "own: its forward model is of kind 'python'" in done.stdout
    assert "It has no states to draw" in done.stdout
    printed = workflow.printed("gallery", "--dry-run")
    assert "own: drawing the noise before and after" in printed
    assert "drawing a few systems whole" not in printed


def test_a_simulator_that_is_not_there_stops_before_any_work(workflow: Workflow):
    (workflow.folder / "simulator.py").rename(workflow.folder / "simulater.py")
    done = workflow.run()
    assert done.returncode == 1
    for part in ("studies.own.forward.function", "'simulator'", "Did you mean 'simulater'?"):
        assert part in done.stdout, done.stdout
    assert "Traceback" not in done.stdout
    assert not (workflow.folder / "results").exists()


@pytest.mark.full
def test_the_example_recovers_its_truth(tmp_path: Path):
    folder = tmp_path / "config" / "examples"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(
        ROOT / "config/examples/own_simulator", folder / "own_simulator", ignore=ignored
    )
    workflow = Workflow(tmp_path)
    workflow.configure(yaml.safe_load((ROOT / "config/examples/own_simulator.yaml").read_text()))
    workflow.printed()
    metrics = json.loads((tmp_path / "results/pharmacokinetics/metrics.json").read_text())
    sys.path.insert(0, str(folder / "own_simulator"))
    try:
        told = runpy.run_path(str(folder / "own_simulator" / "make_observations.py"))
    finally:
        sys.path.remove(str(folder / "own_simulator"))
    # 320 people to learn from: even with the parameters of each known, the standard error is 0.02
    # for the mean of the widest parameter and 4 % for a deviation; more than three of these.
    for name, (mean, deviation) in told["TRUTH"].items():
        assert metrics[f"alpha_{name}_mean"] == pytest.approx(mean, abs=0.07)
        estimate = metrics[f"alpha_{name}_standard_deviation"]
        assert estimate == pytest.approx(deviation, rel=0.15)
    assert metrics["noise_standard_deviation"] == pytest.approx(told["NOISE"], rel=0.15)
    for part in ("law", "noise", "simulator"):
        # A part that is not judged has no such number.
        assert (metrics.get(f"{part}_misfit_p_value") or 1.0) > 0.01, part
