"""What is wrong with levels and members is told before any work."""

from __future__ import annotations

from typing import Any

import pytest
from study_sections import function

from popinv.config.checks import study_problems
from popinv.population.laws.gaussian_section import Levels
from popinv.sections.messages import value_problems

STUDY: dict[str, Any] = {
    "forward": function("simulator:solve", "rate", observations={"count": 3}),
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
SYNTHETIC = {"members": {"specimen": 4}, "truth": TRUTH}


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        ({"observations": {"truth": TRUTH}}, ("observations", "members"), "missing: specimen"),
        (
            {"observations": SYNTHETIC, "assessment": {"surrogate_check": 31}},
            ("assessment", "surrogate_check"),
            "set it to 32 or more",
        ),
        (
            {"law": STUDY["law"] | {"crossed": ["batch", "specimen", "run"]}},
            ("law", "crossed"),
            "give two levels that follow each other",
        ),
        (
            {"law": STUDY["law"] | {"levels": {"batch": ["rate"], "y": ["rate"]}}},
            ("law", "levels", "y"),
            "'observations.value_column' has this column",
        ),
        (
            {"observations": STUDY["observations"] | {"replicate_column": "specimen"}},
            ("law", "levels", "specimen"),
            "'observations.replicate_column' has this column",
        ),
    ],
)
def test_levels_and_members_that_do_not_fit_are_refused(changes, place, message):
    problems = list(study_problems({**STUDY, **changes}))
    assert any(each.path == place and message in each.text for each in problems), problems


def test_levels_without_their_parameters_are_refused_with_the_form():
    (problem,) = value_problems(["batch", "specimen"], Levels)
    assert problem.text.endswith("vary at it: {batch: [PARAMETER], specimen: [PARAMETER]}.")


def test_a_level_that_is_stated_twice_is_named():
    (problem,) = value_problems([{"batch": ["a"]}, {"batch": ["b"]}], Levels)
    assert problem.text.endswith("'batch' comes up twice; name each level once.")


def test_a_study_without_levels_has_none_of_these_problems():
    law = {key: value for key, value in STUDY["law"].items() if key != "levels"}
    assert not [each for each in study_problems({**STUDY, "law": law}) if "level" in each.text]
