"""Fits that several tests of the Python face share."""

from __future__ import annotations

from typing import Any

import boys
import pytest
from few_draws import few_draws, short_searches

import popinv

__all__ = ["boys_result", "few_draws", "quick", "short_searches"]

# Of the tests and the descent, whose results no test of forms looks at, there is little.
QUICK: dict[str, Any] = {
    "descent": {"iterations": 10, "legs": 1, "model_samples": 50, "directions": 8},
    "assessment": {"null_resamples": 20},
    "estimator": "pseudo_likelihood",
    "progress": False,
}


@pytest.fixture(scope="session")
def boys_result() -> popinv.Result:
    """Return the fit of straight lines to the heights of boys, with all defaults."""
    return boys.answer(tests=True)


@pytest.fixture(scope="session")
def quick() -> dict[str, Any]:
    """Return the keywords of a fit without a likelihood, whose tests and descent are short."""
    return QUICK
