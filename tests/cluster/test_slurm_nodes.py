"""A study on three nodes of a real Slurm, and ranks of MPI on two: the arrays of a local run.

The nodes are three daemons on this machine, so they share its processors, its file system and its
address. Nodes are lost while jobs run there.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from short_study import TARGETS, assert_same_results, finish, on_slurm, short_study, start
from slurm_cluster import Cluster, running_cluster
from tiny_study import Workflow

pytestmark = [pytest.mark.firedrake, pytest.mark.full]

RULE = "maximise_likelihoods"
OVER_TWO_NODES = [
    "--set-threads", f"{RULE}=1",
    "--set-resources", f"{RULE}:tasks=2", f"{RULE}:nodes=2", f"{RULE}:mem_mb_per_cpu=2000",
]  # fmt: skip


@pytest.fixture
def cluster(installed: None) -> Iterator[Cluster]:
    """Return a running Slurm of three nodes."""
    with running_cluster(3) as running:
        yield running


def start_study(cluster: Cluster, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the study on the cluster."""
    workflow = Workflow(folder)
    workflow.configure(short_study())
    command = on_slurm(workflow, *arguments, "--", *TARGETS[:2])
    return start(command, folder, cluster.environment)


def jobs(cluster: Cluster) -> list[dict[str, Any]]:
    """Return all jobs, those that have ended too."""
    told = cluster.query("squeue", "--noheader", "--states=all", "--format=%i|%T|%N|%k")
    names = ("id", "state", "node", "what")
    return [dict(zip(names, line.split("|"), strict=True)) for line in told.splitlines()]


def job_in_its_script(
    cluster: Cluster, process: subprocess.Popen[str], rule: str, logs: Path
) -> dict[str, Any]:
    """Wait until a job of a rule runs and its script has started, and return the job."""
    while process.poll() is None:
        running = [
            job
            for job in jobs(cluster)
            if job["state"] == "RUNNING" and job["what"].startswith(f"rule_{rule}_wildcards")
        ]
        begun = any(log.stat().st_size for log in logs.glob(f"{rule}.*"))
        if running and begun:
            return running[0]
        time.sleep(0.1)
    raise AssertionError(f"the run ended without a job of {rule}")


def update(cluster: Cluster, *settings: str) -> None:
    """Change a job or a node of the cluster."""
    subprocess.run(["scontrol", "update", *settings], check=True, env=cluster.environment)


def in_state(cluster: Cluster, state: str, node: str = "") -> set[str]:
    """Return the ids of the jobs in a state, on a node or on none."""
    return {job["id"] for job in jobs(cluster) if (job["state"], job["node"]) == (state, node)}


def test_jobs_on_three_nodes_and_ranks_on_two_find_what_a_local_run_finds(cluster, here, tmp_path):
    process = start_study(cluster, tmp_path, *OVER_TWO_NODES)
    try:
        finish(process, tmp_path, 1500)
    finally:
        process.kill()
    assert process.returncode == 0, cluster.guard.logs()
    found = jobs(cluster)
    assert {job["node"] for job in found} >= set(cluster.nodes)
    (shared,) = (job for job in found if job["what"].startswith(f"rule_{RULE}_"))
    # The first step is Snakemake, the second one the ranks. They have a communicator of two, or
    # the job would have failed.
    assert len(cluster.nodes_of_step(f"{shared['id']}.0")) == 1
    assert len(cluster.nodes_of_step(f"{shared['id']}.1")) == 2
    assert_same_results(here, tmp_path)


def test_a_study_that_loses_two_of_three_nodes_finds_what_a_local_run_finds(
    cluster, here, tmp_path
):
    # Tasks of an array look for what they wait for ten times in this time.
    process = start_study(cluster, tmp_path, "--latency-wait", "200")
    logs = tmp_path / "results/tiny/logs"
    try:
        # Slurm itself repeats jobs whose node is lost ...
        first = job_in_its_script(cluster, process, "solve_chunk", logs)["node"]
        requeued = in_state(cluster, "RUNNING", first)
        cluster.lose(first)
        cluster.guard.until(
            lambda: requeued <= in_state(cluster, "PENDING"), "the jobs are not requeued", 100
        )
        # By itself, Slurm waits for two minutes.
        for job in requeued:
            update(cluster, f"JobId={job}", "StartTime=now")
        # ... unless it may not. Then the jobs fail, and Snakemake repeats them.
        second = job_in_its_script(cluster, process, "deconvolve", logs)["node"]
        failed = in_state(cluster, "RUNNING", second)
        for job in failed:
            update(cluster, f"JobId={job}", "Requeue=0")
        cluster.lose(second)
        # An administrator tells, rather than the controller waits.
        update(cluster, f"NodeName={second}", "State=DOWN", "Reason=lost")
        printed = finish(process, tmp_path, 1500)
    finally:
        process.kill()
    assert process.returncode == 0, cluster.guard.logs()
    down = {node for node, state in cluster.states().items() if state == "down"}
    assert down == {first, second}
    by_id = {job["id"]: job for job in jobs(cluster)}
    assert {by_id[job]["state"] for job in requeued} == {"COMPLETED"}
    assert first not in {by_id[job]["node"] for job in requeued}
    assert {by_id[job]["state"] for job in failed} == {"NODE_FAIL"}
    assert printed.count("Trying to restart job") == len(failed)
    assert_same_results(here, tmp_path)
