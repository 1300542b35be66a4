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
