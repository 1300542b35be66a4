"""The tests of law, noise and simulator of an answer.

A fit that is not tested does not import them.
"""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr

from popinv.inference.assessment import AnswerTests
from popinv.inference.folds import folds_of
from popinv.inference.heldout_test import heldout_test, tested_systems
from popinv.inference.problem import Problem
from popinv.inference.specification import specification_tests
from popinv.judgement.answer import HeldOutDistance


def answer_tests(
    problem: Problem, loaded: Mapping[str, xr.Dataset], null_resamples: int
) -> AnswerTests:
    """Return the tests; the arguments are those of :func:`popinv.inference.assessment.assess`."""
    observations = loaded["observations"]
    parts = specification_tests(problem, loaded["population"], observations, loaded["check"])
    if folds_of(observations):
        return AnswerTests(*parts)
    model, heldout, conditions = tested_systems(problem, loaded)
    test = heldout_test(model, heldout, null_resamples, conditions)
    return AnswerTests(*parts, HeldOutDistance(test.statistic, test.null_95, test.p_value))
