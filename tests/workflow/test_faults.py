"""What goes wrong outside the package: what is said, what is kept, and how it goes on.

The study's simulator is a small function in Python, so that jobs are short; files in the working
directory make it fail.
"""

from __future__ import annotations

import copy
import subprocess
import zipfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mounting import mounted
from study_sections import function
from tiny_study import Workflow

from popinv.forward.datasets import reasons_of
from popinv.store import storage

SIMULATOR = """
import os, signal, time
import numpy as np

def solve(z):
    if len(z) == 20 and os.path.exists("kills_its_job"):
        if open("kills_its_job").read() == "once":
            os.remove("kills_its_job")
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    y = z @ np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    if os.path.exists("returns_nan"):
        y[z[:, 0] > float(open("returns_nan").read()), 1] = np.nan
    return y
"""
ONE = {"mean": 0.0, "standard_deviation": 1.0}
STUDY: dict[str, Any] = {
    "forward": function("simulator:solve", "a", "b", observations={"count": 3}),
    "law": {"kind": "normal", "start": {"a": ONE, "b": ONE}, "spread": 0.3},
    "observations": {
        "count": 40,
        "heldout": 20,
        "truth": {
            "law": {"a": {"mean": 0.3, "standard_deviation": 0.5}, "b": ONE},
            "noise": {"standard_deviation": 0.1},
        },
    },
    "active_learning": {"first_design": 60, "chunk_size": 40, "failure_budget": 0.4},
    "surrogate": {"width": 8, "depth": 1, "max_epochs": 12},
}
ROUND = "results/own/rounds/0"
SOLVES, SURROGATE = f"{ROUND}/solves.zarr.zip", f"{ROUND}/surrogate.zarr.zip"


def prepared(folder: Path) -> Workflow:
    (folder / "simulator.py").write_text(SIMULATOR)
    workflow = Workflow(folder)
    workflow.configure({"studies": {"own": STUDY}})
    return workflow


@pytest.fixture
def workflow(tmp_path: Path, forking: None) -> Workflow:
    return prepared(tmp_path)


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """Return the workflow after an undisturbed first round of solves."""
    folder = tmp_path_factory.mktemp("solved")
    # Behind a link, as where the results are to lie on another disk.
    (folder / "scratch").mkdir()
    (folder / "results").symlink_to("scratch")
    made = prepared(folder)
    made.printed(SOLVES)
    return made


@pytest.fixture
def again(solved: Workflow, tmp_path: Path) -> Workflow:
    """Return a copy of the solved study, for a test to damage."""
    return solved.copied(tmp_path / "copy")


def assert_same(actual: Workflow, expected: Workflow, *names: str) -> None:
    for name in names or ("chunks/0.zarr.zip", "chunks/1.zarr.zip", "solves.zarr.zip"):
        ours, theirs = (storage.load(w.folder / ROUND / name) for w in (actual, expected))
        assert ours.attrs == theirs.attrs
        for variable in theirs.variables:
            np.testing.assert_array_equal(ours[variable].values, theirs[variable].values)
    assert not list((actual.folder / "results").rglob("*.partial"))


def refused(workflow: Workflow, *arguments: str, parts: list[str]) -> str:
    done = workflow.run(*arguments)
    assert done.returncode == 1
    for part in parts:
        assert part in done.stdout, done.stdout
    return done.stdout


def in_memory(folder: Path, options: str) -> AbstractContextManager[None]:
    """Mount a file system in memory on a folder, where that is allowed."""
    return mounted("tmpfs", folder, "-t", "tmpfs", "-o", options)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


@pytest.mark.full
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(solved, workflow):
    results = workflow.folder / "results"
    with in_memory(results, "size=24k"):
        refused(
            workflow,
            SOLVES,
            parts=["zip: cannot be written (No space left on device). Make room on that disk"],
        )
        remount(results, "size=100m")
        workflow.printed(SOLVES)
        assert_same(workflow, solved)


def test_a_folder_that_cannot_be_written_stops_the_run_before_any_work(workflow):
    with in_memory(workflow.folder / "results", "size=1m,ro"):
        said = refused(
            workflow, SOLVES, parts=["results: results cannot be written to", "read-only"]
        )
        assert "Traceback" not in said
        assert "solving" not in said.split("Job stats")[1]
        assert not list((workflow.folder / "results").iterdir())


def test_a_job_that_is_killed_once_is_tried_again_to_the_same_result(solved, workflow):
    # As the system does for lack of memory.
    (workflow.folder / "kills_its_job").write_text("once")
    assert "Trying to restart job" in workflow.printed(SOLVES, "--retries", "1")
    assert not (workflow.folder / "kills_its_job").exists()
    assert_same(workflow, solved)


@pytest.mark.full
def test_a_chunk_that_always_fails_is_named_and_the_others_are_kept(solved, workflow):
    flag = workflow.folder / "kills_its_job"
    flag.write_text("always")
    refused(
        workflow,
        SOLVES,
        "--keep-going",
        parts=[
            "1 job was killed without a message, most often by the system for lack of memory",
            "results/own/logs/solve_chunk.0.1.log",
            "--set-resources",
        ],
    )
    storage.load(workflow.folder / ROUND / "chunks/0.zarr.zip")
    flag.unlink()
    printed = workflow.printed(SOLVES)
    assert "solving chunk 1" in printed
    assert "solving chunk 0" not in printed
    assert_same(workflow, solved)


def test_nan_in_part_of_a_chunk_is_recorded_and_too_much_of_it_stops_the_study(workflow):
    study = copy.deepcopy(STUDY)
    study["active_learning"]["chunk_size"] = 60
    workflow.configure({"studies": {"own": study}})
    flag = workflow.folder / "returns_nan"
    flag.write_text("1.0")
    workflow.printed(SOLVES)
    solves = storage.load(workflow.folder / SOLVES)
    failed = solves["z"].values[:, 0] > 1.0
    assert 0 < failed.sum() < 24
    reasons = reasons_of(solves)
    np.testing.assert_array_equal(reasons != "", failed)
    assert set(reasons) == {"", "the simulator returned a value that is not finite"}
    assert np.isnan(solves["y"].values[failed]).all()
    assert np.isfinite(solves["y"].values[~failed]).all()
    # Every solve of the population itself fails.
    flag.write_text("-inf")
    truth = "results/own/rounds/truth/solves.zarr.zip"
    refused(
        workflow,
        truth,
        parts=[
            "60 of 60 solves failed (60 times: the simulator returned a value that is not finite)",
            "tolerates a share of 0.4 (active_learning.failure_budget)",
        ],
    )
    assert not (workflow.folder / truth).exists()


def damage(store: Path, how: str) -> None:
    """Cut a store off, or change one bit of a variable's numbers."""
    content = bytearray(store.read_bytes())
    if how == "cut off":
        content = content[: len(content) // 2]
    else:
        with zipfile.ZipFile(store) as archive:
            (entry,) = [e for e in archive.infolist() if e.filename.startswith("y/c")]
        content[entry.header_offset + 30 + len(entry.filename) + entry.file_size // 2] ^= 16
    store.write_bytes(content)


def test_damaged_stores_are_named_and_made_anew(solved, again):
    chunks = again.folder / ROUND / "chunks"
    damage(chunks / "0.zarr.zip", "cut off")
    damage(chunks / "1.zarr.zip", "one bit")
    (again.folder / ROUND / "solves.zarr.zip").unlink()
    printed = again.printed(SOLVES)
    for chunk in (0, 1):
        assert f"{ROUND}/chunks/{chunk}.zarr.zip: changed since it was made" in printed
    assert_same(again, solved)


@pytest.mark.full
def test_a_surrogate_that_diverges_is_told_and_the_solves_are_kept(again):
    study = copy.deepcopy(STUDY)
    study["surrogate"]["learning_rate"] = 1e30
    again.configure({"studies": {"own": study}})
    kept = "results/.checkpoints/own/train_surrogate.0.zarr.zip"
    said = refused(
        again,
        SURROGATE,
        parts=["diverged", "Lower surrogate.learning_rate (now 1e+30)", f"kept in {kept}"],
    )
    assert "Traceback" not in said
    assert np.isfinite(storage.load(again.folder / kept)["best_weights"].values).all()
    again.configure({"studies": {"own": STUDY}})
    printed = again.printed(SURROGATE)
    assert "solving" not in printed
    assert "an old checkpoint is not used" in printed
    assert not (again.folder / kept).exists()
