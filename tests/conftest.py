"""What every test shares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

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


@pytest.fixture(params=["pretended", "cuda"])
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run a test on a GPU that is pretended, and on a real one where torch finds one.

    ``device="cuda"`` means that GPU as long as the test lasts.
    """
    # Imported here: most tests do without torch.
    import torch
    from pretended_gpu import GPU, Elsewhere, pretended_gpu

    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("torch finds no GPU")
        yield Elsewhere(torch.device("cuda"))
        return
    # What is stored is loaded by a function that imports the module `device` on use.
    for module in ("training_problem", "device"):
        monkeypatch.setattr(
            f"popinv.surrogate.{module}.device_of",
            lambda asked: torch.device("cpu") if asked == "cpu" else GPU,
        )
    with pretended_gpu():
        yield Elsewhere(GPU)
