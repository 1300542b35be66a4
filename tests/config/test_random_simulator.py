"""A study of a random simulator: what it takes, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from flow_study import message
from study_sections import function

from popinv.config.loading import load
from popinv.errors import ConfigError

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


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"surrogate": {"kind": "gaussian_process"}},
            "surrogate.kind got 'gaussian_process', but",
        ),
        ({"surrogate": {"kind": "none"}}, "surrogate.kind got 'none', but 'forward.stochastic'"),
        (
            {"forward": {**STUDY["forward"], "derivatives": "jacobian"}},
            "forward.derivatives deriv",
        ),
        ({"noise": {"kind": "full"}}, "noise.kind got 'full', which can take the place"),
        ({"noise": {"kind": "channels"}}, "noise.kind got 'channels' at one time, which is a free"),
        ({"polish": {"solver_seconds": 60.0}}, "polish.solver_seconds got 60, but the last step"),
        (
            {"polish": {"seconds_per_solve": 0.1}},
            "polish.seconds_per_solve got 0.1, but the last step",
        ),
        (
            {"noise": {"kind": "isotropic", "errors": {"tails": "student"}}},
            "noise.errors not with 'forward.stochastic'",
        ),
        (
            {"noise": {"kind": "isotropic", "errors": {"grows": "combined"}}},
            "noise.errors not with 'forward.stochastic'",
        ),
        (
            {"noise": {"kind": "isotropic", "discrepancy": {"shared": "free"}}},
            "noise.discrepancy not with 'forward.stochastic'",
        ),
        ({"observations": {"file": "y.csv", "censored_below": 0.1}}, "observations states limits"),
        (
            {"observations": {"file": "y.csv", "additions": ["more.csv"]}},
            "observations.additions systems cannot join",
        ),
        ({"active_learning": {"rounds": 1}}, "active_learning.rounds got 1, but the broad"),
        ({"assessment": {"baselines": ["two_stage"]}}, "assessment.baselines"),
        ({"downstream": {"restarts": {}}}, "downstream.restarts not for a random simulator"),
        (
            {"downstream": {"withdrawal": {"systems": [1]}}},
            "downstream.withdrawal not for a random",
        ),
    ],
)
def test_what_would_be_wrong_is_refused_with_the_reason(changes, told):
    assert told in told_of(**changes)


def test_without_surrogate_the_surrogate_alone_is_refused():
    told = told_of(surrogate={"kind": "none"})
    assert "surrogate.kind" in told
    assert "active_learning" not in told


def test_channels_at_several_times_and_the_surrogate_in_the_last_step_are_taken():
    several = {"times": [1.0, 2.0, 3.0], "count": 2}
    forward = {**STUDY["forward"], "observations": several}
    assert loaded(forward=forward, noise={"kind": "channels"}).noise.kind == "channels"
    assert loaded(polish={"solver_seconds": 0}).polish.solver_seconds == 0


def test_posteriors_of_single_systems_are_those_of_the_whole_covariance():
    assert loaded(downstream={"posterior": {}}).downstream.posterior is not None


def test_levels_are_refused():
    law = {
        "kind": "normal",
        "levels": {"site": ["rate"], "plant": ["rate"]},
        "start": {"rate": ONE},
    }
    table = {"layout": "long", "value_column": "y", "time_column": "t", "system_column": "site"}
    assert "law.levels groups with members are not combined" in told_of(
        law=law, observations={"file": "y.csv", **table}
    )


def test_new_data_sets_are_runs_of_the_simulator():
    truth = {"law": {"rate": ONE}, "noise": {"standard_deviation": 1.0}}
    observations = {"count": 50, "truth": truth}
    evidence = {"system_counts": [20, 40, 80]}
    assert "evidence.through got 'surrogate', but new data sets" in told_of(
        observations=observations, evidence=evidence
    )
    assert loaded(observations=observations, evidence={**evidence, "through": "solver"})
    with pytest.raises(ConfigError, match="compares errors of surrogates by single solves"):
        loaded(observations=observations, evidence={"design_counts": [100, 200]})
