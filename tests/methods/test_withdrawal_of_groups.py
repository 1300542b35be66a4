"""Groups that withdraw, and the posterior of their members, against closed forms."""

from __future__ import annotations

import linear_groups
import numpy as np
import pytest
from linear_groups import NAMES, maximum, table

import popinv
from popinv.inference.answer.result import estimate_of
from popinv.inference.estimators.settings import DescentSettings
from popinv.methods.withdrawal.influence import influence_of
from popinv.methods.withdrawal.refit import Refitter


@pytest.fixture(scope="module")
def data():
    return table(12, seed=8)


@pytest.fixture(scope="module")
def fit(data) -> popinv.Result:
    return linear_groups.fit(data)


@pytest.mark.full
def test_a_short_fit_without_a_group_is_the_exact_maximum_of_the_others(fit, data):
    population, problem = fit.population, fit.problem
    influence = influence_of(population)
    refitter = Refitter(problem, population, influence, DescentSettings(), 64)
    names = list(fit.observations["system_id"].values)
    errors = influence.standard_error
    for row in np.argsort(influence.sizes)[[0, -1]]:
        rest = data[data["site"] != names[row]]
        # The covariate counts from its mean over all samples, also without some of them.
        centre = data.drop_duplicates(["site", "sample"])["w"].mean()
        values, _ = maximum(rest)
        own = rest.drop_duplicates(["site", "sample"])["w"].mean()
        values[0] += values[2] * (centre - own)
        exact = np.concatenate([values[:3], np.log(values[3:])])
        found = refitter.without(np.array([row]))
        assert found.arrived
        shifted = estimate_of(population) + found.shift
        assert np.abs((shifted - exact) / errors).max() < 0.02
        # One step predicts the shift, up to the square of its size.
        step = influence.shift(np.array([row]))
        assert np.abs((step - found.shift) / errors).max() < 0.3


def test_names_are_those_of_the_closed_form(fit):
    assert tuple(fit.summary().index) == NAMES
