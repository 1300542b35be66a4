"""Errors of the noise and limits of quantification in the configuration."""

from __future__ import annotations

import copy
from typing import Any

import flow_study
import pytest

from popinv.config.loading import load

STUDY: dict[str, Any] = {
    "forward": {
        "kind": "executable",
        "command": ["./simulate", "{input}", "{output}"],
        "parameters": ["a"],
        "observations": {"times": [0.1, 0.2, 0.4]},
    },
    "law": {"kind": "normal", "start": {"a": {"mean": 0.0, "standard_deviation": 1.0}}},
    "noise": {
        "kind": "isotropic",
        "errors": {"grows": "combined", "tails": "student", "covariates": ["age"]},
    },
    "observations": {
        "known": {"age": {"normal": [40, 10]}},
        "truth": {
            "law": {"a": {"mean": 0.0, "standard_deviation": 1.0}},
            "noise": {
                "standard_deviation": 0.1,
                "proportional": 0.2,
                "degrees_of_freedom": 5,
                "noise_age_coefficient": 0.01,
            },
        },
    },
}
CENSORED: dict[str, Any] = {
    "noise": {"kind": "isotropic"},
    "observations": {
        "censored_below": 0.1,
        "truth": {**STUDY["observations"]["truth"], "noise": {"standard_deviation": 0.1}},
    },
}


def message(changed: dict[str, Any]) -> str:
    return flow_study.message({"studies": {"mine": {**copy.deepcopy(STUDY), **changed}}})


def test_errors_add_their_parameters_to_start_and_truth():
    study = load({"studies": {"mine": STUDY}}).studies["mine"]
    assert list(study.noise.start_values()) == list(STUDY["observations"]["truth"]["noise"])
    noise = study.noise.model(study.forward.observed(1), ("age",))
    assert noise.names == tuple(STUDY["observations"]["truth"]["noise"])
    assert study.noise.modules()[-1] == "popinv.population.noise.terms"


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("degrees_of_freedom", 2.0, "larger than 2"),
        ("proportional", -0.1, "larger than 0"),
        ("noise_age_coefficient", [0.1], "must be a number"),
    ],
)
def test_true_values_lie_in_their_domain(name: str, value: Any, part: str):
    observations = copy.deepcopy(STUDY["observations"])
    observations["truth"]["noise"][name] = value
    text = message({"observations": observations})
    assert f"observations.truth.noise.{name}" in text
    assert part in text


def test_a_missing_true_value_and_an_unknown_covariate_are_told():
    observations = copy.deepcopy(STUDY["observations"])
    del observations["truth"]["noise"]["proportional"], observations["known"]
    text = message({"observations": observations})
    assert "proportional" in text
    assert "observations.known" in text


def test_unrestricted_noise_takes_errors_of_few_observations():
    full = {"kind": "full", "errors": STUDY["noise"]["errors"]}
    observations = copy.deepcopy(STUDY["observations"])
    observations["truth"]["noise"]["correlation"] = 0.1
    changed = {"noise": full, "observations": observations, "descent": {"optimiser": "adam"}}
    study = load({"studies": {"mine": {**copy.deepcopy(STUDY), **changed}}}).studies["mine"]
    noise = study.noise.model(study.forward.observed(1), ("age",))
    assert len(noise.names) == 9
    forward = copy.deepcopy(STUDY["forward"])
    forward["observations"]["times"] = [float(i) for i in range(1, 22)]
    assert "with `errors` it is for up to 20 observations" in message(
        {**changed, "forward": forward}
    )


def test_limits_contradict_neither_each_other_nor_what_is_known():
    keys = {"not_below": 0.2, "censored_above": 0.05}
    text = message({**CENSORED, "observations": {**CENSORED["observations"], **keys}})
    assert "observations.not_below" in text
    assert "observations.censored_below" in text
    assert text.count("it must be smaller than") == 2
    alone = {**CENSORED["observations"], "not_above": 3.0}
    assert "'censored_above', which is not stated" in message({**CENSORED, "observations": alone})


def test_limits_fit_the_observations():
    several = copy.deepcopy(CENSORED["observations"])
    several["censored_below"] = [0.1, 0.2]
    assert "there are 3 observations" in message({**CENSORED, "observations": several})
    forward = copy.deepcopy(STUDY["forward"])
    forward["observations"]["logarithm"] = True
    negative = {**CENSORED["observations"], "censored_below": -1.0}
    text = message({**CENSORED, "forward": forward, "observations": negative})
    assert "a limit must be positive" in text
