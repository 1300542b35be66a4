"""What every test shares."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# Before NumPy, torch and Firedrake read them: results are compared bit for bit in places.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

# The same examples in every run: a test fails for what was changed, not by the luck of a draw.
settings.register_profile("popinv", derandomize=True, deadline=None, database=None)
settings.load_profile("popinv")

# Whole runs of the workflow take long, so they begin first; the many quick tests fill what is left.
_LONG = ("tests/cluster", "tests/workflow")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long tests first."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONG))
