"""The error of the surrogate is told alike everywhere: a number, and what was done about it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from answers import ANSWER

from popinv.inference.uncertainty.surrogate_bias import AnswerShift
from popinv.judgement.judgements import judgements
from popinv.judgement.measures import surrogate_statement
from popinv.report.trust_charts import estimator_chart

# The third parameter is not determined, so that its shift has no error to be compared with.
ERRORS = np.array([1.0, 2.0, 1e-9])
CASES = [
    ("surrogate", [0.5, -3.0, 7.0], "corrected", [-0.5, 1.5, 0.0]),
    ("surrogate", [0.0, 0.0, 0.0], "included", [0.6, 0.0, 0.0]),
    ("surrogate", None, "left", [3.1, 0.0, 0.0]),
    ("solver", None, "unused", [3.1, 0.0, 0.0]),
]


def answer(through: str, correction: list[float] | None) -> xr.Dataset:
    covariance = np.diag(ERRORS**2)
    population = xr.Dataset(
        {
            "covariance": (("estimated", "other"), covariance),
            "sampling_covariance": (
                ("estimated", "other"),
                covariance - np.diag([0.36, 0.0, 0.0]),
            ),
            "surrogate_shift": ("estimated", [3.1, 0.0, 9.0]),
            "law_lower": ("law_parameter", [0.0, np.nan]),
            "noise_lower": ("noise_parameter", [0.0]),
            "estimates": (("estimator", "estimated"), np.array([[1.0, 2, 3], [1.1, 2.1, 3]])),
            "estimate_errors": (("estimator", "estimated"), np.array([ERRORS, ERRORS])),
            "bound": ("estimated", ERRORS),
        },
        coords={
            "estimated": ["a mean", "noise", "b mean"],
            "estimator": ["likelihood", "distance"],
        },
        attrs={"through": through, "estimator": "likelihood"},
    )
    # Entries of law and noise are in this order.
    order = [0, 2, 1]
    population = population.isel(estimated=order, other=order)
    if correction is not None:
        population["correction"] = ("estimated", np.array(correction)[order])
    return population


@pytest.mark.parametrize(("through", "correction", "treatment", "shift"), CASES)
def test_the_shift_is_that_of_the_answer_itself(through, correction, treatment, shift):
    found = AnswerShift.of(answer(through, correction))
    assert found.treatment == treatment
    np.testing.assert_allclose(found.shift, np.array(shift)[[0, 2, 1]], atol=1e-12)
    assert found.largest == pytest.approx(np.abs(shift).max())


@pytest.mark.parametrize(("through", "correction", "treatment", "shift"), CASES)
def test_page_and_terminal_say_the_same(through, correction, treatment, shift):
    push = float(np.abs(shift).max())
    statement = surrogate_statement(push, treatment)
    assert f"{push:.2g} standard errors" in statement
    chart = estimator_chart(answer(through, correction), np.array([False, True, False]))
    assert chart is not None
    assert statement in chart.caption
    assert ANSWER.surrogate is not None
    error = replace(ANSWER.surrogate, push=push, treatment=treatment)
    (judged,) = [j for j in judgements(replace(ANSWER, surrogate=error)) if j.name == "Surrogate"]
    assert judged.finding.startswith(statement)
    assert f"{push:.2g} standard errors" in judged.short


def test_of_a_random_simulator_a_shift_counts_beyond_its_randomness():
    """A correction by runs is random: 2.5 of its standard deviations of 0.6 are taken off."""
    population = answer("surrogate", [-2.1, 0.1, 0.0])
    population["intrinsic_covariance"] = (("row", "column"), np.eye(2))
    found = AnswerShift.of(population)
    assert found.treatment == "runs"
    np.testing.assert_allclose(found.shift, np.array([0.6, 0.0, -0.05])[[0, 1, 2]], atol=1e-12)
    assert AnswerShift.of(population.drop_vars("correction")).treatment == "unmeasured"


def test_each_treatment_says_whether_the_intervals_include_it():
    included = surrogate_statement(0.1, "included")
    assert "the intervals include it" in included
    assert "Nothing is subtracted" in included
    assert "has been subtracted" in surrogate_statement(0.1, "corrected")
    assert "do not include it" in surrogate_statement(0.1, "left")
    assert "uses the forward model itself" in surrogate_statement(0.1, "unused")
