"""Nothing is left of a scheduler whose test is killed, and two of them run side by side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grid_engine_cluster
import htcondor_cluster
import pytest
import slurm_cluster
from guard import guarded_folder, processes_of, processes_that
from tiers import patient

HERE = Path(__file__).parent
SUBMIT = ["sbatch", "--partition=test", "--output=/dev/null", "--wrap"]
# Nothing else on the machine sleeps for so long.
SECONDS = str(1_000_000 + os.getpid())

# A test that starts a scheduler, a job that clears its environment, and something beside it.
KILLED = """
import subprocess, sys, time
sys.path.insert(0, sys.argv[1])
import {module}
with {module}.{running}() as cluster:
    quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    subprocess.run({submit}, check=True, env=cluster.environment, **quiet)
    subprocess.Popen(["sleep", "{seconds}"], env=cluster.environment, start_new_session=True)
    print(cluster.guard.folder, flush=True)
    time.sleep(1000)
"""
CASES = {
    "slurm": {
        "module": "slurm_cluster",
        "running": "running_cluster",
        "submit": [*SUBMIT, f"env -i sleep {SECONDS}"],
    },
    "grid_engine": {
        "module": "grid_engine_cluster",
        "running": "running_grid_engine",
        "submit": ["qsub", "-b", "y", "-o", "/dev/null", "-e", "/dev/null",
                   "env", "-i", "sleep", SECONDS],
    },
    "htcondor": {
        "module": "htcondor_cluster",
        "running": "running_htcondor",
        "submit": ["condor_submit", "-terse", "executable=/usr/bin/env",
                   f"arguments=-i sleep {SECONDS}",
                   "request_memory=10", "-queue", "1"],
    },
}  # fmt: skip
REASONS = {
    "slurm": slurm_cluster.reason_to_skip,
    "grid_engine": grid_engine_cluster.reason_to_skip,
    "htcondor": htcondor_cluster.reason_to_skip,
}


def sleepers() -> list[int]:
    """Return the processes that sleep for the test."""
    return list(processes_that(lambda e: (e / "cmdline").read_text() == f"sleep\0{SECONDS}\0"))


def gone(folder: str, seconds: float = 60) -> bool:
    """Wait until no process is of a folder, which is not there."""
    deadline = time.monotonic() + patient(seconds)
    while processes_of(folder) or sleepers() or Path(folder).exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture
def start_and_kill() -> Callable[[str], str]:
    def started_and_killed(name: str) -> str:
        program = KILLED.format(seconds=SECONDS, **CASES[name])
        test = subprocess.Popen(
            [sys.executable, "-c", program, str(HERE)], stdout=subprocess.PIPE, text=True
        )
        assert test.stdout is not None
        folder = test.stdout.readline().strip()
        try:
            assert folder, "no scheduler was started"
            # The job, and what the test has started beside it.
            deadline = time.monotonic() + patient(60)
            while len(sleepers()) < 2:
                assert time.monotonic() < deadline, "the job does not run"
                time.sleep(0.1)
        finally:
            test.send_signal(signal.SIGKILL)
            test.wait()
        return folder

    return started_and_killed


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_left_of_a_killed_test(name, start_and_kill, request):
    if name == "slurm":
        request.getfixturevalue("installed")
    if reason := REASONS[name]():
        pytest.skip(reason)
    folder = start_and_kill(name)
    assert gone(folder)


@pytest.mark.full
def test_two_clusters_run_side_by_side(installed, cluster):
    with slurm_cluster.running_cluster() as other:
        for one in (cluster, other):
            job = one.query("sbatch", "--parsable", "--wait", *SUBMIT[1:], "true")
            state = one.query("scontrol", "show", "job", "--oneliner", job)
            assert "JobState=COMPLETED" in state
            assert str(one.folder) in one.query("scontrol", "show", "config")
    assert gone(str(other.folder))
    assert cluster.query("sinfo")


def test_only_the_guard_ignores_signals():
    with guarded_folder("guard") as guard:
        guard.start("sleep", "sleep", "1000")
        guard.until(lambda: len(processes_of(str(guard.folder))) == 2, "nothing was started")
        for process in processes_of(str(guard.folder)):
            status = Path(f"/proc/{process}/status").read_text()
            (ignored,) = (line.split()[1] for line in status.splitlines() if "SigIgn" in line)
            is_guard = b"guard.py" in Path(f"/proc/{process}/cmdline").read_bytes()
            # A daemon that ignored SIGTERM would let its jobs ignore it.
            assert bool(int(ignored, 16) >> (signal.SIGTERM - 1) & 1) == is_guard
    assert gone(str(guard.folder))
