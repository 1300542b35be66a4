"""What tests of schedulers share: one Slurm for each process of the tests, and one local run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from short_study import TARGETS, short_study
from slurm_cluster import Cluster, install, reason_to_skip, running_cluster
from tiny_study import Workflow


@pytest.fixture(scope="package")
def installed() -> None:
    """Install Slurm's packages where they are missing."""
    if reason := reason_to_skip():
        pytest.skip(f"no Slurm here: {reason}")
    try:
        install()
    except RuntimeError as error:
        pytest.skip(f"no Slurm here: {error}")


@pytest.fixture(scope="package")
def cluster(installed: None) -> Iterator[Cluster]:
    """Return a running Slurm."""
    with running_cluster() as running:
        yield running


@pytest.fixture(scope="session")
def here(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return the folder of the short study, run once on this machine without a scheduler."""
    alone = worker_id == "master"
    shared = tmp_path_factory.getbasetemp() if alone else tmp_path_factory.getbasetemp().parent
    workflow = Workflow(shared / "finished_short")
    with FileLock(f"{workflow.folder}.lock"):
        if not (workflow.folder / TARGETS[1]).exists():
            workflow.folder.mkdir(exist_ok=True)
            workflow.configure(short_study())
            workflow.printed(*TARGETS[:2])
    return workflow.folder
