"""The tiny study in fewer steps, for schedulers: each step costs seconds of waiting."""

from __future__ import annotations

import copy
import signal
import subprocess
from pathlib import Path
from typing import Any

from tiny_study import ROOT, TINY

TARGETS = [
    "results/tiny/metrics.json",
    "results/tiny/figures/law.png",
    "results/shared/rounds/0/solves.zarr.zip",
]
# Open MPI refuses to run as root unless it is told twice.
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def short_study() -> dict[str, Any]:
    """Return the tiny study with one round."""
    config = copy.deepcopy(TINY)
    study = config["studies"]["tiny"]
    study["active_learning"]["rounds"] = 1
    study["assessment"].update(bootstrap=0, oracles=False)
    # The same round 0 once more, each system solved by two processes.
    shared = copy.deepcopy(study)
    shared["forward"]["ranks"] = 2
    shared["active_learning"]["chunk_size"] = 160
    config["studies"]["shared"] = shared
    return config


def profile(name: str) -> list[str]:
    """Return the arguments that choose a shipped profile."""
    return ["--profile", str(ROOT / "workflow" / "profiles" / name)]


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
