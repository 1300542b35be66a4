"""The tests of law, noise and simulator of an answer.

A fit that is not tested does not import them.
"""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr

from popinv.inference.folds import folds_of
from popinv.inference.heldout_test import heldout_test
from popinv.inference.problem import Problem
from popinv.inference.specification import specification_metrics
from popinv.inference.tested import tested_systems


def answer_tests(
    problem: Problem, loaded: Mapping[str, xr.Dataset], null_resamples: int
) -> dict[str, float | int | str]:
    """Return the tests as metrics; see :func:`popinv.inference.metrics.metrics`."""
    observations = loaded["observations"]
    numbers = specification_metrics(problem, loaded["population"], observations, loaded["check"])
    if folds_of(observations):
        return numbers
    model, heldout, conditions = tested_systems(problem, loaded)
    test = heldout_test(model, heldout, null_resamples, conditions)
    return numbers | {
        "heldout_energy_distance": test.statistic,
        "heldout_energy_null_95": test.null_95,
        "heldout_p_value": test.p_value,
    }
