"""What the tests of the commands share."""

from __future__ import annotations

import pytest

from popinv.cli import trial_solves


@pytest.fixture(autouse=True)
def _short_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time quick solves for less than half a second: their time is no result of a test."""
    monkeypatch.setattr(trial_solves, "_LONG_ENOUGH", 0.02)
