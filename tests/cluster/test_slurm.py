"""A study on a real Slurm: the same arrays as without, though a job is cancelled and one killed."""

from __future__ import annotations

import re
import subprocess
import time
from typing import Any

import numpy as np
import pytest
from short_study import TARGETS, assert_same_results, finish, on_slurm, short_study, start
from slurm_cluster import Cluster
from tiny_study import Workflow

from popinv.store import storage

pytestmark = [pytest.mark.firedrake, pytest.mark.full]

TOO_LITTLE_MB, ENOUGH_MB = 150, 2000


def cancel_one_chunk(cluster: Cluster, process: subprocess.Popen[str]) -> str:
    """Cancel the first task of an array of chunks that is seen running, and return its id."""
    while process.poll() is None:
        for job, comment in cluster.jobs("RUNNING").items():
            if comment.startswith("rule_solve_chunk_wildcards") and "_" in job:
                subprocess.run(["scancel", job], check=True, env=cluster.environment)
                return job
        time.sleep(0.2)
    raise AssertionError("the run ended without an array of chunks")


@pytest.fixture(scope="module")
def run(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the study on the cluster and beside it, and return where and what was printed."""
    here, there = (Workflow(tmp_path_factory.mktemp(name)) for name in ("here", "there"))
    for workflow in (here, there):
        workflow.configure(short_study())
    # The first attempt of one job is given less memory than it needs.
    memory = f"deconvolve:mem_mb={TOO_LITTLE_MB} if attempt == 1 else {ENOUGH_MB}"
    remote = start(
        on_slurm(there, "--set-resources", memory, "--", *TARGETS),
        there.folder,
        cluster.environment,
    )
    local = start(here.command(*TARGETS[:2]), here.folder, cluster.environment)
    try:
        cancelled = cancel_one_chunk(cluster, remote)
        printed = finish(remote, there.folder, 1500)
        finish(local, here.folder, 1500)
    finally:
        for process in (local, remote):
            process.kill()
    jobs = cluster.query("squeue", "--noheader", "--states=all", "--format=%i|%T|%m|%k")
    assert local.returncode == 0
    assert remote.returncode == 0, cluster.guard.logs()
    rows = [line.split("|") for line in jobs.splitlines()]
    return {
        "here": here.folder,
        "there": there.folder,
        "printed": printed,
        "cancelled": cancelled,
        "jobs": [
            {"id": i, "state": state, "memory": int(memory.rstrip("M")), "what": step}
            for i, state, memory, step in rows
        ],
    }


def jobs_of(run: dict[str, Any], rule: str) -> list[dict[str, Any]]:
    return [job for job in run["jobs"] if job["what"].startswith(f"rule_{rule}_wildcards")]


def test_every_array_of_every_store_is_that_of_a_local_run(run):
    assert_same_results(run["here"], run["there"])


def test_chunks_are_submitted_as_arrays(run):
    chunks = jobs_of(run, "solve_chunk")
    tasks = {job["id"] for job in chunks if "_" in job["id"]}
    # Three chunks of the truth and two of round 0.
    assert len(tasks) == 5
    assert "Submitted array job" in run["printed"]


def test_a_cancelled_job_is_repeated_with_twice_the_memory(run):
    (cancelled,) = (job for job in run["jobs"] if job["id"] == run["cancelled"])
    assert cancelled["state"] == "CANCELLED"
    # Though the others of its array wait for what the first of them makes.
    chunks = jobs_of(run, "solve_chunk")
    tasks = [job for job in chunks if "_" in job["id"] and job is not cancelled]
    assert [job["state"] for job in tasks] == ["COMPLETED"] * 4
    # The repetition is one job; that of the check is another, at its first attempt.
    repeated = [job for job in chunks if "_" not in job["id"]]
    assert sorted(job["state"] for job in repeated) == ["COMPLETED", "COMPLETED"]
    # An array asks for a little more, in which its commands are kept.
    first, second = sorted(job["memory"] for job in repeated)
    assert second == 2 * first
    assert first <= cancelled["memory"] < 1.1 * first


def test_a_job_out_of_memory_is_repeated_with_more(run):
    states = {job["memory"]: job["state"] for job in jobs_of(run, "deconvolve")}
    assert states == {TOO_LITTLE_MB: "FAILED", ENOUGH_MB: "COMPLETED"}
    (log,) = (run["there"] / "logs" / "slurm" / "rule_deconvolve").rglob("*.log")
    assert "exceeded memory limit" in log.read_text()
    assert len(re.findall("Trying to restart job", run["printed"])) == 2


def test_processes_that_share_a_solve_find_what_one_finds(run):
    together = storage.load(run["there"] / "results/shared/rounds/0/solves.zarr.zip")
    alone = storage.load(run["there"] / "results/tiny/rounds/0/solves.zarr.zip")
    np.testing.assert_array_equal(together["z"].values, alone["z"].values)
    largest = np.abs(alone["y"].values).max()
    assert np.abs(together["y"].values - alone["y"].values).max() < 1e-10 * largest
    log = run["there"] / "results/shared/logs/solve_chunk_distributed.0.0.log"
    assert "160 solves by 2 processes, 0 failed" in log.read_text()


def test_a_limit_that_would_lose_chunks_of_an_array_is_refused(cluster, tmp_path):
    workflow = Workflow(tmp_path)
    workflow.configure(short_study())
    done = subprocess.run(
        on_slurm(workflow, "--jobs", "2"),
        cwd=tmp_path,
        env=cluster.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "At most 2 jobs can be submitted at a time" in done.stdout
    assert not (tmp_path / "results").exists()
