"""What is told of the log likelihood, of both kinds of standard errors, and of what is unknown."""

from __future__ import annotations

from typing import Any

import pytest

from popinv.judgement.judgement import Judgement
from popinv.judgement.judgements import judgements
from popinv.judgement.metrics import parameters_in

VALUE = {"log_likelihood": -362.98, "log_likelihood_error": 0.0, "aic": 737.97, "bic": 745.52}
ERRORS = {
    "standard_errors_by": "model",
    **{"model_standard_error_mean": 0.2, "robust_standard_error_mean": 0.1},
    **{"model_standard_error_length": 0.2, "robust_standard_error_length": 0.25},
}
EFFICIENCY = {"efficiency_bound": "likelihood", "efficiency_mean": 1.0, "systems": 100}


def told(metrics: dict[str, Any], name: str) -> Judgement:
    (judged,) = [j for j in judgements(metrics, parameters_in(metrics)) if j.name == name]
    return judged


def test_the_value_is_told_with_the_criteria_that_follow():
    judged = told(VALUE, "Log likelihood")
    assert judged.short == "-362.98; AIC 737.97, BIC 745.52"
    assert "error of its draws" not in judged.finding
    assert "the smaller, the better" in judged.meaning
    # An error that shows in the digits is told.
    rough = told(VALUE | {"log_likelihood_error": 0.03}, "Log likelihood")
    assert "-362.98 (error of its draws 0.03)" in rough.finding


@pytest.mark.parametrize(
    ("by", "used", "other"),
    [("model", "by the model", "robust"), ("robust", "robust", "by the model")],
)
def test_both_kinds_of_standard_errors_are_compared(by, used, other):
    judged = told(ERRORS | {"standard_errors_by": by}, "Standard errors")
    assert judged.verdict == "neutral"
    assert judged.finding.startswith(f"The standard errors are {used}.")
    assert "0.50 (mean) to 1.25 (length) times those by the model" in judged.finding
    assert f"have those that are {other}" in judged.meaning
    # One sentence says which to use.
    assert "With few systems, use those by the model" in judged.meaning


def test_efficiency_is_no_praise_where_something_is_not_determined():
    assert told(EFFICIENCY, "Efficiency").verdict == "good"
    # Of the likelihood, two uncertain errors differ by chance.
    far = EFFICIENCY | {"efficiency_mean": 1.8}
    assert told(far, "Efficiency").verdict == "doubt"
    own = {"estimator": "likelihood", "estimator_reason": "the best that passes"}
    assert told(
        far | own | {"through": "solver", "estimator_arrived": 1}, "Efficiency"
    ).verdict == ("neutral")
    unknown = told(EFFICIENCY | {"undetermined": "F_median, V_median"}, "Efficiency")
    assert unknown.verdict == "neutral"
    assert "F median, V median are not determined" in unknown.finding
