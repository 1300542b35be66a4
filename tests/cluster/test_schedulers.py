"""A study through the profiles of other schedulers: the stores of a local run, bit for bit."""

from __future__ import annotations

import importlib.util
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grid_engine_cluster
import htcondor_cluster
import numpy as np
import pytest
import slurm_cluster
from short_study import TARGETS, finish, profile, short_study, start
from tiny_study import Workflow

from popinv.store import storage

pytestmark = [
    pytest.mark.firedrake,
    pytest.mark.full,
    pytest.mark.skipif(
        importlib.util.find_spec("snakemake_executor_plugin_cluster_generic") is None,
        reason="snakemake-executor-plugin-cluster-generic is not installed",
    ),
]
QUICKLY = ["--seconds-between-status-checks", "1", "--latency-wait", "60"]


@dataclass(frozen=True)
class Scheduler:
    """What the tests have to know of a scheduler."""

    profile: str
    reason_to_skip: Callable[[], str | None]
    running: Callable[[], AbstractContextManager[Any]]
    cancel: str
    jobs: tuple[str, ...]
    """A command that prints the numbers of waiting and running jobs."""
    variables: tuple[tuple[str, str], ...] = ()


SCHEDULERS = [
    Scheduler(
        "sbatch",
        slurm_cluster.reason_to_skip,
        slurm_cluster.running_cluster,
        "scancel",
        ("squeue", "--noheader", "--format=%i"),
        (("SBATCH_PARTITION", slurm_cluster.PARTITION),),
    ),
    Scheduler(
        "grid_engine",
        grid_engine_cluster.reason_to_skip,
        grid_engine_cluster.running_grid_engine,
        "qdel",
        ("qstat",),
    ),
    Scheduler(
        "htcondor",
        htcondor_cluster.reason_to_skip,
        htcondor_cluster.running_htcondor,
        "condor_rm",
        ("condor_q", "-af", "ClusterId"),
    ),
]


@dataclass(frozen=True)
class Running:
    """A scheduler that has been started."""

    scheduler: Scheduler
    cluster: Any

    @property
    def environment(self) -> dict[str, str]:
        return {**self.cluster.environment, **dict(self.scheduler.variables)}

    def start(self, workflow: Workflow, *targets: str) -> subprocess.Popen[str]:
        command = workflow.command(*profile(self.scheduler.profile), *QUICKLY, "--", *targets)
        return start(command, workflow.folder, self.environment)

    def jobs(self) -> str:
        return self.cluster.query(*self.scheduler.jobs).strip()


@pytest.fixture(scope="module", params=SCHEDULERS, ids=lambda scheduler: scheduler.profile)
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    if reason := request.param.reason_to_skip():
        pytest.skip(reason)
    if request.param.profile == "sbatch":
        request.getfixturevalue("installed")
    with request.param.running() as cluster:
        yield Running(request.param, cluster)


def first_job(process: subprocess.Popen[str], folder: Path) -> str:
    """Return the number that the scheduler has given to the first job."""
    while process.poll() is None:
        if found := re.search("with external jobid '(.*)'", (folder / "printed").read_text()):
            return found[1]
        time.sleep(0.1)
    raise AssertionError((folder / "printed").read_text())


def all_submitted(folder: Path) -> bool:
    """Return whether every job that Snakemake has named is with the scheduler."""
    printed = (folder / "printed").read_text()
    return len(re.findall(r"^Job \d+: ", printed, re.MULTILINE)) == printed.count("Submitted job")


def test_a_study_with_a_cancelled_job_has_the_stores_of_a_local_run(running, here, tmp_path):
    there = Workflow(tmp_path)
    there.configure(short_study())
    process = running.start(there, *TARGETS)
    try:
        cancelled = first_job(process, tmp_path)
        command = [running.scheduler.cancel, cancelled]
        subprocess.run(command, check=True, env=running.environment)
        printed = finish(process, tmp_path, 1500)
    finally:
        process.kill()
    assert process.returncode == 0, running.cluster.guard.logs()
    assert len(re.findall("Trying to restart job", printed)) == 1
    stores = sorted(path.relative_to(here) for path in here.rglob("*.zarr.zip"))
    assert len(stores) > 12
    for file in [*stores, Path(TARGETS[0])]:
        assert (tmp_path / file).read_bytes() == (here / file).read_bytes(), file
    together = storage.load(tmp_path / TARGETS[2])["y"].values
    alone = storage.load(here / "results/tiny/rounds/0/solves.zarr.zip")["y"].values
    assert np.abs(together - alone).max() < 1e-10 * np.abs(alone).max()


def test_an_interrupted_run_cancels_its_jobs(running, tmp_path):
    workflow = Workflow(tmp_path)
    workflow.configure(short_study())
    process = running.start(workflow, *TARGETS[:1])
    try:
        first_job(process, tmp_path)
        # A job that is being submitted when the interrupt comes is not cancelled.
        running.cluster.guard.until(lambda: all_submitted(tmp_path), "jobs are being submitted")
        assert running.jobs()
        process.send_signal(signal.SIGINT)
        printed = finish(process, tmp_path, 120)
    finally:
        process.kill()
    assert process.returncode != 0
    running.cluster.guard.until(lambda: not running.jobs(), f"jobs go on:\n{printed}")


def test_a_job_that_takes_too_long_is_repeated_with_more_time(running, tmp_path):
    (tmp_path / "Snakefile").write_text(
        "rule late:\n"
        "    output: 'out'\n"
        "    resources: runtime=lambda wildcards, attempt: 1 if attempt == 1 else 10, mem_mb=1000\n"
        "    shell: 'test -e tried || {{ touch tried; sleep 300; }}; touch {output}'\n"
    )
    command = Workflow(tmp_path).command(*profile(running.scheduler.profile), *QUICKLY)
    command[command.index("--snakefile") + 1] = str(tmp_path / "Snakefile")
    del command[command.index("--configfile") : command.index("--configfile") + 2]
    process = start(command, tmp_path, running.environment)
    try:
        printed = finish(process, tmp_path, 280)
    finally:
        process.kill()
    assert process.returncode == 0
    assert len(re.findall("Trying to restart job", printed)) == 1
