"""What is told of the log likelihood, of both kinds of standard errors, and of what is unknown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from answers import ANSWER, estimate, told

from popinv.judgement.answer import LikelihoodValue
from popinv.judgement.verdict import Judgement

ERRORS = (
    estimate("law", "mean", 1.0, model_error=0.2, robust_error=0.1),
    estimate("law", "length", 1.0, model_error=0.2, robust_error=0.25),
)


def test_the_value_is_told_with_the_criteria_that_follow():
    value = LikelihoodValue(-362.98, 0.0, 737.97, 745.52)
    judged = told(replace(ANSWER, likelihood=value), "Log likelihood")
    assert judged.short == "-362.98; AIC 737.97, BIC 745.52"
    assert "error of its draws" not in judged.finding
    assert "the smaller, the better" in judged.meaning
    # An error that shows in the digits is told.
    rough = told(replace(ANSWER, likelihood=replace(value, error=0.03)), "Log likelihood")
    assert "-362.98 (error of its draws 0.03)" in rough.finding


@pytest.mark.parametrize(
    ("by", "used", "other"),
    [("model", "by the model", "robust"), ("robust", "robust", "by the model")],
)
def test_both_kinds_of_standard_errors_are_compared(by, used, other):
    choice = replace(ANSWER.choice, errors_by=by)
    judged = told(replace(ANSWER, choice=choice, estimates=ERRORS), "Standard errors")
    assert judged.verdict == "neutral"
    assert judged.finding.startswith(f"The standard errors are {used}.")
    assert "0.50 (mean) to 1.25 (length) times those by the model" in judged.finding
    assert f"have those that are {other}" in judged.meaning
    # One sentence says which to use.
    assert "With few systems, use those by the model" in judged.meaning


def test_efficiency_is_no_praise_where_something_is_not_determined():
    def judged(efficiency: float, **choice: Any) -> Judgement:
        rows = (estimate("law", "mean", 1.0, efficiency=efficiency),)
        answer = replace(ANSWER, estimates=rows, choice=replace(ANSWER.choice, **choice))
        return told(answer, "Efficiency")

    assert judged(1.0, estimator="pseudo_likelihood").verdict == "good"
    assert judged(1.8, estimator="pseudo_likelihood").verdict == "doubt"
    # Of the likelihood, two uncertain errors differ by chance.
    assert judged(1.8, estimator="likelihood", through="solver").verdict == "neutral"
    unknown = judged(1.0, undetermined=("F_median", "V_median"))
    assert unknown.verdict == "neutral"
    assert "F median, V median are not determined" in unknown.finding


def test_a_parameter_at_its_boundary_is_told():
    for where, end in (("zero", "the lower end"), ("infinity", "the upper end")):
        answer = replace(ANSWER, estimates=(estimate("law", "k_sd", 0.0, boundary=where),))
        judged = told(answer, "Boundary")
        assert judged.short == f"k sd is not distinguished from {where}"
        assert end in judged.finding
