"""A study of a random simulator: what it measures and takes."""

from __future__ import annotations

from typing import Any

from flow_study import message
from study_sections import function

from popinv.config.loading import load

ONE = {"mean": 0.0, "standard_deviation": 1.0}
STUDY: dict[str, Any] = {
    "forward": function("cells:solve", "rate", observations={"count": 4}, stochastic=True),
    "law": {"kind": "normal", "start": {"rate": ONE}},
    "noise": {"kind": "isotropic"},
    "observations": {"file": "y.csv"},
}
LORENZ = {"kind": "lorenz96", "stochastic": True}


def loaded(**changes: Any):
    return load({"seed": 1, "studies": {"cells": {**STUDY, **changes}}}, "c").studies["cells"]


def told_of(**changes: Any) -> str:
    return " ".join(message({"studies": {"cells": {**STUDY, **changes}}}).split())


def test_solves_are_repeated_to_check_the_learned_covariance():
    assert loaded().has_sampling_error()
    assert not loaded(forward={**STUDY["forward"], "stochastic": False}).has_sampling_error()
    assert not loaded(assessment={"repeats": 0}).has_sampling_error()


def test_the_averages_of_lorenz_96_may_be_random():
    start = {"forcing": {"mean": 8.0, "standard_deviation": 1.0}}
    study = loaded(forward=LORENZ, law={"kind": "normal", "start": start})
    assert study.forward.is_random()


def test_without_surrogate_the_surrogate_alone_is_refused():
    told = told_of(surrogate={"kind": "none"})
    assert "surrogate.kind" in told
    assert "active_learning" not in told


def test_channels_at_several_times_and_the_surrogate_in_the_last_step_are_taken():
    several = {"times": [1.0, 2.0, 3.0], "count": 2}
    forward = {**STUDY["forward"], "observations": several}
    assert loaded(forward=forward, noise={"kind": "channels"}).noise.kind == "channels"
    assert loaded(polish={"solver_seconds": 0}).polish.solver_seconds == 0
