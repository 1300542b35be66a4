"""A study without a surrogate: its numbers of solves."""

from __future__ import annotations

from typing import Any

from study_sections import function

from popinv.config.loading import load

ONE = {"mean": 0.0, "standard_deviation": 1.0}
STUDY: dict[str, Any] = {
    "forward": function(
        "line:solve", "level", "slope", derivatives="torch", observations={"count": 4}
    ),
    "law": {"kind": "normal", "start": {"level": ONE, "slope": ONE}},
    "noise": {"kind": "isotropic"},
    "observations": {"file": "y.csv"},
    "surrogate": {"kind": "none"},
}


def loaded(**changes: Any):
    return load({"seed": 1, "studies": {"lines": {**STUDY, **changes}}}, "c").studies["lines"]


def test_solves_only_check_the_function():
    study = loaded()
    assert study.active_learning.rounds == 1
    assert study.active_learning.first_design == 100
    assert study.assessment.surrogate_check == 40
    assert loaded(active_learning={"first_design": 30}).active_learning.first_design == 30
