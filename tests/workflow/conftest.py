"""The tiny study, run once for all tests of the workflow."""

from __future__ import annotations

import copy
import shutil
from typing import Any

import pytest
from filelock import FileLock
from tiny_study import TINY, Workflow


@pytest.fixture
def tiny() -> dict[str, Any]:
    """Return a copy of the tiny configuration."""
    return copy.deepcopy(TINY)


@pytest.fixture(scope="session")
def untouched(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Workflow:
    """Return the workflow after a whole run of the tiny study, for tests that only read it.

    One process of the tests runs it.
    """
    alone = worker_id == "master"
    shared = tmp_path_factory.getbasetemp() if alone else tmp_path_factory.getbasetemp().parent
    folder = shared / "finished_tiny"
    with FileLock(f"{folder}.lock"):
        if not (folder / "results/tiny/figures").exists():
            folder.mkdir(exist_ok=True)
            # This one run is made as a user makes it.
            made = Workflow(folder, anew=True)
            made.configure(TINY)
            done = made.run()
            assert done.returncode == 0, done.stdout
    return Workflow(folder)


@pytest.fixture(scope="session")
def finished(untouched: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """Return a copy of it, to which the tests of this process add what they ask for."""
    copied = tmp_path_factory.mktemp("tiny") / "study"
    shutil.copytree(untouched.folder, copied)
    return Workflow(copied)
