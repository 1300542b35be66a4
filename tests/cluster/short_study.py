"""The tiny study in fewer steps, for schedulers: each step costs seconds of waiting."""

from __future__ import annotations

import copy
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from slurm_cluster import PARTITION
from tiny_study import ROOT, TINY, Workflow

from popinv.store import storage

TARGETS = [
    "results/tiny/metrics.json",
    "results/tiny/figures/law.png",
    "results/shared/rounds/0/solves.zarr.zip",
]
# What these clusters have that others have not: one partition to name, no accounting, jobs that
# end within seconds, and a user who is root.
TEST_SLURM = [
    "--default-resources", f"slurm_partition={PARTITION}",
    "--slurm-no-account",
    "--slurm-status-command", "squeue",
    "--slurm-init-seconds-before-status-checks", "1",
]  # fmt: skip
# Open MPI refuses to run as root unless it is told twice.
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def short_study() -> dict[str, Any]:
    """Return the tiny study with one round."""
    config = copy.deepcopy(TINY)
    study = config["studies"]["tiny"]
    study["active_learning"]["rounds"] = 1
    study["assessment"].update(oracles=False)
    # The same round 0 once more, each system solved by two processes.
    shared = copy.deepcopy(study)
    shared["forward"]["ranks"] = 2
    shared["active_learning"]["chunk_size"] = 160
    config["studies"]["shared"] = shared
    return config


def profile(name: str) -> list[str]:
    """Return the arguments that choose a shipped profile."""
    return ["--profile", str(ROOT / "workflow" / "profiles" / name)]


def on_slurm(workflow: Workflow, *arguments: str) -> list[str]:
    """Return the command that runs a workflow through the shipped profile."""
    return workflow.command(*profile("slurm"), *TEST_SLURM, *arguments)


def start(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    """Start a run, which prints to a file in its folder."""
    output = (folder / "printed").open("w")
    environment = {**environment, **AS_ROOT}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=output,
        stderr=output,
        text=True,
        # A shell lets its background jobs ignore interrupts, and so all that they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(process: subprocess.Popen[str], folder: Path, seconds: float) -> str:
    """Wait for a run to end, and return what it printed."""
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    finally:
        printed = (folder / "printed").read_text()
        print(printed[-5000:])
    return printed


def assert_same_results(here: Path, there: Path) -> None:
    """Assert that every array of every store of a study is that of another run, bit for bit."""
    here, there = here / "results", there / "results"
    stores = sorted(path.relative_to(here) for path in here.rglob("*.zarr.zip"))
    assert len(stores) > 12
    assert stores == sorted(
        path.relative_to(there) for path in there.rglob("*.zarr.zip") if "shared" not in path.parts
    )
    for store in stores:
        ours, theirs = storage.load(here / store), storage.load(there / store)
        assert ours.attrs["content_sha256"] == theirs.attrs["content_sha256"], store
        assert set(ours.variables) == set(theirs.variables)
        for name in ours.variables:
            np.testing.assert_array_equal(
                theirs[name].values, ours[name].values, err_msg=f"{store}: {name}"
            )
    metrics = [json.loads((f / "tiny" / "metrics.json").read_text()) for f in (here, there)]
    assert metrics[0] == metrics[1]
