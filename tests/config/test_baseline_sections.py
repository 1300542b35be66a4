"""Which baselines a study may ask for."""

from __future__ import annotations

import pytest
from flow_study import message

from popinv.config.loading import as_mapping, load


def test_there_are_none_unless_asked_for(mapping, study):
    assert as_mapping(load(mapping, "x"))["studies"]["flow"]["assessment"]["baselines"] == []
    study["assessment"] = {"baselines": ["full", "plain", "two_stage", "nuts"]}
    assert len(as_mapping(load(mapping, "x"))["studies"]["flow"]["assessment"]["baselines"]) == 4


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["two_stages"], "Did you mean 'two_stage'?"),
        (["plain", "plain"], "'plain' stands twice in the list"),
        (["cut"], "must be one of: full, plain, two_stage, nuts"),
    ],
)
def test_names_that_do_not_do(mapping, study, names, said):
    study["assessment"] = {"baselines": names}
    assert said in message(mapping)


def test_the_policy_of_the_study_is_no_baseline_of_it(mapping, study):
    study["descent"]["policy"] = "plain"
    study["assessment"] = {"baselines": ["full", "plain"]}
    said = message(mapping)
    assert "baselines[1]" in said
    assert "the study's own descent.policy" in said


def test_the_step_of_unrestricted_noise_is_of_one_policy(mapping, study):
    study["noise"] = {"kind": "full"}
    study["observations"]["truth"]["noise"] = {"standard_deviation": 0.1, "correlation": 0.0}
    study["assessment"] = {"baselines": ["two_stage", "plain"]}
    said = message(mapping)
    assert "baselines[1]" in said
    assert "of the policy 'cut'" in said
    study["noise"]["errors"] = {"grows": "proportional"}
    load(mapping)


def test_two_stages_need_the_density_of_the_law(mapping, study):
    values = {"inverse_length": 5.0, "permeability_1": 1.0, "permeability_2": 2.0}
    study["forward"]["field"] = "level_set"
    study["law"] = {"kind": "level_set_field", "start": values}
    study["observations"]["truth"]["law"] = values
    study["assessment"] = {"baselines": ["plain", "two_stage"]}
    said = message(mapping)
    assert "baselines[1]" in said
    assert "no closed form" in said
