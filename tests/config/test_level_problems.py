"""Parts of a study that do not take groups say so before any work."""

from __future__ import annotations

from typing import Any

import pytest

from popinv.config.checks import study_problems

STUDY: dict[str, Any] = {
    "forward": {
        "kind": "python",
        "function": "simulator:solve",
        "parameters": ["rate"],
        "observations": {"count": 3},
    },
    "law": {
        "kind": "normal",
        "start": {"rate": {"mean": 0.0, "standard_deviation": 1.0}},
        "levels": {"batch": ["rate"], "specimen": ["rate"]},
    },
    "noise": {"kind": "isotropic"},
    "observations": {
        "file": "data.csv",
        "layout": "long",
        "system_column": "batch",
        "value_column": "y",
    },
}
TRUTH = {"law": STUDY["law"]["start"], "noise": {"standard_deviation": 0.1}}


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        ({}, ("law", "levels"), "not fitted through a surrogate"),
        (
            {"observations": {"file": "data.csv"}},
            ("observations", "layout"),
            "name the levels batch, specimen",
        ),
        (
            {"observations": {"truth": TRUTH}},
            ("law", "levels"),
            "a synthetic population has no groups",
        ),
        ({"downstream": {"withdrawal": {}}}, ("downstream", "withdrawal"), "with 'levels'"),
    ],
)
def test_what_does_not_take_groups_is_refused(changes, place, message):
    problems = list(study_problems({**STUDY, **changes}))
    assert any(each.path == place and message in each.text for each in problems), problems


def test_a_study_without_levels_has_none_of_these_problems():
    law = {key: value for key, value in STUDY["law"].items() if key != "levels"}
    assert not [each for each in study_problems({**STUDY, "law": law}) if "level" in each.text]
