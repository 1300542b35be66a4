"""One Slurm for all tests of this folder that one process of the tests runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from slurm_cluster import Cluster, install, reason_to_skip, running_cluster


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
