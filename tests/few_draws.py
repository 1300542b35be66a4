"""A fixture for folders whose problems have some hundred systems: import it into their conftest."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the least numbers of draws, for all systems together.

    The draws are most of what an ascent costs. There are 16 for each system for the moments, as
    where there are many systems.
    """
    monkeypatch.setattr("popinv.inference.likelihood.model_moments._FEWEST_DRAWS", 4000)
    monkeypatch.setattr("popinv.inference.polish._FEWEST_DRAWS", 20_000)
