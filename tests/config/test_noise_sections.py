"""Sections of the noise: what they become, and what is said where they do not fit."""

from __future__ import annotations

import copy
from typing import Any

import flow_study
import pytest

from popinv.config.loading import as_mapping, load

SERIES: dict[str, Any] = {
    "forward": {
        "kind": "executable",
        "command": ["./simulate", "{input}", "{output}"],
        "parameters": ["a"],
        "observations": {"count": 2, "times": [0.1, 0.2, 0.3]},
    },
    "law": {"kind": "normal", "start": {"a": {"mean": 0.0, "standard_deviation": 1.0}}},
    "observations": {
        "truth": {"law": {"a": {"mean": 0.0, "standard_deviation": 1.0}}, "noise": {}},
    },
}
STARTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "autoregressive": (
        {"kind": "autoregressive"},
        {"standard_deviation": 0.3, "correlation": 0.3},
    ),
    "order two": (
        {"kind": "autoregressive", "order": 2},
        {"standard_deviation": 0.3, "correlation": [0.5, -0.2]},
    ),
    "isotropic blocks": (
        {"kind": "blocks"},
        {"standard_deviation": 0.3, "time_correlation": 0.3},
    ),
    "kernel blocks": (
        {"kind": "blocks", "places": "matern32"},
        {"standard_deviation": 0.3, "length": 0.3, "time_correlation": 0.3},
    ),
    "full blocks": (
        {"kind": "blocks", "places": "full"},
        {"standard_deviation": [0.1, 0.2], "place_correlation": [0.5], "time_correlation": 0.3},
    ),
    "channels": (
        {"kind": "channels", "times": "exponential"},
        {"standard_deviation": [0.1, 0.2], "correlation": 0.5, "length": 2.0},
    ),
    "full": (
        {"kind": "full"},
        {"standard_deviation": [0.1] * 6, "correlation": [0.1] * 15},
    ),
}


def study(noise: dict[str, Any], truth: dict[str, Any]) -> dict[str, Any]:
    mapping = copy.deepcopy(SERIES)
    mapping["noise"] = noise
    mapping["observations"]["truth"]["noise"] = truth
    return mapping


def message(given: dict[str, Any]) -> str:
    return flow_study.message({"studies": {"mine": given}})


@pytest.mark.parametrize("name", STARTS)
def test_start_and_truth_take_the_same_values(name: str) -> None:
    noise, values = STARTS[name]
    given = study({**noise, "start": values}, values)
    written = as_mapping(load({"studies": {"mine": given}}))["studies"]["mine"]
    assert written["noise"]["start"] == values
    assert written["observations"]["truth"]["noise"] == values


@pytest.mark.parametrize("name", STARTS)
def test_defaults_of_the_start_have_the_names_of_the_truth(name: str) -> None:
    noise, values = STARTS[name]
    written = as_mapping(load({"studies": {"mine": study(noise, values)}}))["studies"]["mine"]
    assert set(written["noise"]["start"]) == set(values)


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "correlation of one": (
        {"kind": "autoregressive"},
        {"standard_deviation": 0.3, "correlation": 1.0},
        "observations.truth.noise.correlation",
        "less than 1",
    ),
    "too many lags": (
        {"kind": "autoregressive", "order": 2},
        {"standard_deviation": 0.3, "correlation": [0.1, 0.2, 0.3]},
        "observations.truth.noise.correlation",
        "got 3 numbers, but there are 2 lags (order)",
    ),
    "order beyond the times": (
        {"kind": "autoregressive", "order": 3},
        {"standard_deviation": 0.3, "correlation": 0.1},
        "noise.order",
        "with 3 times it must be at most 2",
    ),
    "length without a kernel": (
        {"kind": "blocks", "start": {"length": 0.2}},
        {"standard_deviation": 0.3, "time_correlation": 0.1},
        "noise.start",
        "'length' is given, but places 'isotropic' have none",
    ),
    "list for places alike": (
        {"kind": "blocks"},
        {"standard_deviation": [0.3, 0.2], "time_correlation": 0.1},
        "observations.truth.noise.standard_deviation",
        "have one standard deviation for all",
    ),
    "list for other places": (
        {"kind": "blocks", "places": "diagonal", "start": {"standard_deviation": [1, 2, 3]}},
        {"standard_deviation": 0.3, "time_correlation": 0.1},
        "noise.start.standard_deviation",
        "there are 2 places of each system",
    ),
    "impossible correlations": (
        {"kind": "full"},
        {"standard_deviation": 0.3, "correlation": -0.5},
        "observations.truth.noise.correlation",
        "correlations are impossible",
    ),
    "wrong number of pairs": (
        {"kind": "full", "start": {"correlation": [0.1, 0.2]}},
        {"standard_deviation": 0.3, "correlation": 0},
        "noise.start.correlation",
        "6 have 15 pairs",
    ),
    "list for a diagonal start": (
        {"kind": "diagonal", "start": {"standard_deviation": [0.1, 0.2]}},
        {"standard_deviation": 0.3},
        "noise.start.standard_deviation",
        "there are 6 observations of each system",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_is_told(case: str) -> None:
    noise, truth, key, part = CASES[case]
    lines = message(study(noise, truth)).splitlines()
    assert part in lines[lines.index(f"  studies.mine.{key}") + 1]


@pytest.mark.parametrize("kind", ["autoregressive", "blocks"])
def test_noise_in_time_needs_regular_times(kind: str) -> None:
    given = study(*STARTS["isotropic blocks" if kind == "blocks" else kind])
    given["forward"]["observations"]["times"] = [0.1, 0.2, 0.4]
    assert "needs equally spaced times" in message(given)
    del given["forward"]["observations"]["times"]
    assert "are no time series" in message(given)


def test_unrestricted_noise_of_too_many_observations_is_refused() -> None:
    given = study({"kind": "full"}, {"standard_deviation": 0.3, "correlation": 0})
    given["forward"]["observations"] = {"count": 80}
    load({"studies": {"mine": given}})
    given["forward"]["observations"] = {"count": 81}
    text = message(given)
    assert "studies.mine.noise.kind" in text
    assert "3321 unknowns for 81 observations" in text


def test_truth_may_come_from_another_family() -> None:
    noise, values = STARTS["order two"]
    given = study({"kind": "diagonal"}, values)
    assert "unknown parameter" in message(given)
    given["observations"]["truth"]["noise_model"] = noise
    truth = as_mapping(load({"studies": {"mine": given}}))["studies"]["mine"]["observations"]
    assert truth["truth"]["noise_model"]["order"] == 2
    given["observations"]["truth"]["noise_model"] = {**noise, "order": 4}
    assert "studies.mine.observations.truth.noise_model.order" in message(given)
