"""Ctrl+C: it is said once how to go on, by whoever speaks last."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import preloaded
import psutil
import pytest
from study_sections import function
from tiers import parameters, patient
from tiny_study import ROOT, Workflow

from popinv.workflow.job import GO_ON

# A simulator that is still at work when it is interrupted.
SIMULATOR = """
import os
import time

def solve(z):
    open(f"began_{os.getpid()}", "w").close()
    time.sleep(600)
"""
ONE = {"mean": 0.0, "standard_deviation": 1.0}
STUDY = {
    "forward": function("simulator:solve", "a", observations={"count": 2}),
    "law": {"kind": "normal", "start": {"a": ONE}, "spread": 0.3},
    "observations": {
        "count": 20,
        "heldout": 5,
        "truth": {"law": {"a": ONE}, "noise": {"standard_deviation": 0.1}},
    },
    "active_learning": {"first_design": 20},
    "noise": {"kind": "isotropic"},
}
# Snakemake in a group of its own, whose scripts start anew and belong to it.
FORKED = """
import os

os.setsid()
os.environ["POPINV_PRELOADED"] = "none"
with open("group", "w") as file:
    file.write(str(os.getpid()))

from snakemake.cli import main

main()
"""


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    (tmp_path / "simulator.py").write_text(SIMULATOR)
    made = Workflow(tmp_path)
    made.configure({"studies": {"slow": STUDY}})
    return made


def at_work(folder: Path, jobs: int) -> bool:
    """Return whether so many jobs have called the simulator."""
    return len(list(folder.glob("began_*"))) >= jobs


def interrupted(folder: Path, command: list[str], jobs: int) -> tuple[int, str]:
    """Return the status and the words of a command that is interrupted as at a terminal.

    The interrupt comes when so many jobs are at work: Snakemake waits for a job that it is starting
    at that moment, which does not hear the interrupt.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        # A shell lets its background jobs ignore interrupts, and so all that they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        for _ in range(int(patient(1200))):
            if at_work(folder, jobs) or process.poll() is not None:
                break
            time.sleep(0.1)
        # A terminal tells all processes of the group.
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=patient(60))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert at_work(folder, jobs), said
    return process.returncode, said


@pytest.mark.full
def test_snakemake_says_once_how_to_go_on(workflow: Workflow) -> None:
    rounds = [f"results/slow/rounds/{name}" for name in ("truth", "0")]
    workflow.printed(*(f"{each}/proposals.zarr.zip" for each in rounds))
    (workflow.folder / "run.py").write_text(FORKED)
    command = ["run.py", *workflow.command()[3:], *(f"{each}/solves.zarr.zip" for each in rounds)]
    with ThreadPoolExecutor(1) as pool:
        asked = partial(preloaded.run, together=True)
        running = pool.submit(asked, command, workflow.folder, {**os.environ})
        until = time.monotonic() + patient(120)
        while not (at_work(workflow.folder, 2) or running.done()) and time.monotonic() < until:
            time.sleep(0.1)
        # A terminal tells all processes of the group.
        os.killpg(int((workflow.folder / "group").read_text()), signal.SIGINT)
        done = running.result(timeout=patient(60))
    assert at_work(workflow.folder, 2), done.stdout
    assert done.returncode == 1
    assert done.stdout.count(GO_ON) == 1, done.stdout
    assert "killed without a message" not in done.stdout
    # Nothing stands in the way of the same command.
    assert "solving" in workflow.printed("--dry-run")


@pytest.mark.full
def test_popinv_run_says_it_last_and_alone(workflow: Workflow) -> None:
    command = [sys.executable, "-c", "from popinv.cli.commands import popinv; popinv()"]
    options = ["run", "config.yaml", "--cores", "1", "--workflow-profile", "none"]
    status, said = interrupted(workflow.folder, [*command, *options], jobs=1)
    assert status == 130
    assert said.count(GO_ON) == 1, said
    assert said.rstrip().endswith(GO_ON)


@parameters("seconds", [1.2], full=[0.1])
def test_an_interruption_while_it_starts_prints_no_traceback(
    workflow: Workflow, seconds: float
) -> None:
    """Snakemake imports for a second and more, and reads the Snakefile."""
    code = "from popinv.cli import main; print('begun', flush=True); main()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(
        [sys.executable, "-c", code, "run", "config.yaml", "--dry-run"],
        cwd=workflow.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=patient(60))[1]
    assert "Traceback" not in said, said


def test_a_closed_output_stops_nothing(workflow: Workflow) -> None:
    code = "import os; os.close(1); from popinv.cli import main; main()"
    command = [sys.executable, "-c", code, "plan", "config.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=workflow.folder, env=environment, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_run_that_fails_does_not_say_so(workflow: Workflow) -> None:
    (workflow.folder / "simulator.py").write_text("def solve(z):\n    raise SystemExit(3)\n")
    done = workflow.run("results/slow/rounds/0/solves.zarr.zip")
    assert done.returncode == 1
    assert GO_ON not in done.stdout


@pytest.mark.full
def test_a_run_that_is_told_to_end_ends_after_the_jobs_at_work(workflow: Workflow) -> None:
    (workflow.folder / "simulator.py").write_text(SIMULATOR.replace("sleep(600)", "sleep(5)"))
    command = [sys.executable, "-c", "from popinv.cli.commands import popinv; popinv()"]
    options = ["run", "config.yaml", "--cores", "1", "--workflow-profile", "none"]
    process = subprocess.Popen(
        [*command, *options],
        cwd=workflow.folder,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    until = time.monotonic() + patient(120)
    while not list(workflow.folder.glob("began_*")) and time.monotonic() < until:
        time.sleep(0.1)
    process.terminate()
    assert process.wait(timeout=patient(120)) == 1
    # Nothing stands in the way of the same command.
    assert workflow.run("--dry-run").returncode == 0
    left = [each for each in psutil.process_iter() if _in(each, workflow.folder)]
    assert not left


def _in(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()) == folder and "snakemake" in " ".join(process.cmdline())
    except psutil.Error:
        return False
