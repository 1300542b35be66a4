"""One Slurm for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from slurm_cluster import Cluster, install, reason_to_skip, running_cluster


@pytest.fixture(scope="package")
def cluster() -> Iterator[Cluster]:
    """Return a running Slurm, whose packages are installed where they are missing."""
    if reason := reason_to_skip():
        pytest.skip(f"no Slurm here: {reason}")
    try:
        install()
    except RuntimeError as error:
        pytest.skip(f"no Slurm here: {error}")
    with running_cluster() as running:
        yield running
