"""Groups of a simulator in NumPy, through a surrogate, against the exact maximum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from linear_groups import COLUMNS, LAW, NAMES, maximum, solve, table

import popinv
from popinv.errors import DataError

SMALL = {
    "active_learning": {"rounds": 2, "first_design": 500, "solves_per_round": 300},
    "surrogate": {"width": 64, "depth": 2},
    "assessment": {"surrogate_check": 200},
}


def fitted(data, **keys) -> popinv.Result:
    keys = {**SMALL, "tests": False, "progress": False, **keys}
    return popinv.fit(data, solve, law=LAW, noise="isotropic", **COLUMNS, **keys)


@pytest.mark.full
def test_the_answer_is_the_maximum_of_the_exact_likelihood():
    data = table(40, seed=3)
    values, log_likelihood = maximum(data)
    result = fitted(data)
    assert result.metrics["estimator"] == "likelihood"
    assert result.metrics["through"] == "surrogate"
    answer = result.summary()
    for name, value in zip(NAMES, values, strict=True):
        error = float(answer["standard_error"][name])
        assert float(answer["estimate"][name]) == pytest.approx(value, abs=0.1 * error), name
    assert result.metrics["log_likelihood"] == pytest.approx(log_likelihood, abs=2.0)
    assert "40 groups of 2 to 5 members with 4 observations each" in str(result)


def test_few_fresh_solves_are_refused_with_the_number_that_suffices():
    training = {"surrogate": {"width": 8, "max_epochs": 5}}
    few = {"active_learning": {"rounds": 1, "first_design": 100}, **training}
    with pytest.raises(DataError, match=r"'assessment.surrogate_check' to 40 or more"):
        fitted(table(6, seed=1), **few, assessment={"surrogate_check": 12})


@pytest.mark.full
def test_a_function_of_torch_needs_no_surrogate():
    def differentiable(z, design, times):
        return z[:, :1] + z[:, 1:2] * design * torch.as_tensor(times)

    data = table(4, seed=1)
    values, log_likelihood = maximum(data)
    keys = {"tests": False, "progress": False}
    result = popinv.fit(data, differentiable, law=LAW, noise="isotropic", **COLUMNS, **keys)
    answer = result.summary()
    assert np.all(np.abs(answer["estimate"] - values) < 0.01 * answer["standard_error"])
    assert result.metrics["log_likelihood"] == pytest.approx(log_likelihood, abs=1e-4)
