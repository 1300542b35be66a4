"""Fewer draws where there are few systems, and fewer directions of few observations."""

from collections.abc import Iterator

import pytest
from few_draws import few_draws

__all__ = ["few_directions", "few_draws"]


@pytest.fixture(scope="module", autouse=True)
def few_directions() -> Iterator[None]:
    """Lower the number of directions of the influence, which is most of a short descent."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("popinv.inference.uncertainty.distance_influence._DIRECTIONS", 100)
        yield
