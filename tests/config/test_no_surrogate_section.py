"""A study without a surrogate: what it needs, and its numbers of solves."""

from __future__ import annotations

from typing import Any

import pytest
from study_sections import function

from popinv.config.loading import load
from popinv.errors import ConfigError

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


@pytest.mark.parametrize("change", [{"derivatives": None}, {"derivatives": "jacobian"}])
def test_other_functions_need_a_surrogate(change: dict[str, Any]):
    with pytest.raises(ConfigError, match=r"got 'none', but only a Python function of torch"):
        loaded(forward={**STUDY["forward"], **change})


def test_what_trains_networks_needs_a_surrogate():
    with pytest.raises(ConfigError, match=r"compares networks, and there is no surrogate"):
        loaded(evidence={"design_counts": [100, 200]})
