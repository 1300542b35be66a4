"""Fixtures for tests of small problems; a conftest or a module imports them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def few_draws() -> Iterator[None]:
    """Lower the least numbers of draws, for all systems together.

    The draws are most of what an ascent costs. There are 16 for each system for the moments, as
    where there are many systems.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("popinv.inference.integrate.model_moments.FEWEST_DRAWS", 4000)
        patch.setattr("popinv.inference.estimators.fit_marginal._FEW_DRAWS", 20_000)
        patch.setattr("popinv.inference.integrate.marginal._TAIL_DRAWS", (512, 2048))
        yield


@pytest.fixture(scope="module", autouse=True)
def short_searches() -> Iterator[None]:
    """Lower numbers that few tests look at: of starts, and of draws for errors of the distance."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("popinv.inference.estimators.fit_pseudo._CANDIDATES", 4)
        patch.setattr("popinv.inference.stages.update_population._FURTHER_STARTS", 1)
        patch.setattr("popinv.inference.uncertainty.distance_influence._DRAWS", 2000)
        patch.setattr("popinv.inference.uncertainty.distance_influence._DIRECTIONS", 100)
        yield
