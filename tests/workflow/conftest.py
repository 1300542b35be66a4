"""The tiny study, run once for all tests of the workflow."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tiny_study import TINY, Workflow


@pytest.fixture
def tiny() -> dict[str, Any]:
    """Return a copy of the tiny configuration."""
    return copy.deepcopy(TINY)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """Return the workflow after a whole run of the tiny study."""
    workflow = Workflow(tmp_path_factory.mktemp("tiny"))
    workflow.configure(TINY)
    done = workflow.run()
    assert done.returncode == 0, done.stdout
    return workflow
