"""What is said about comparisons of models before any work."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from flow_study import message

from popinv.config.loading import load


def studies(mapping: dict[str, Any], **others: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with studies `one` and `two`, two with other keys."""
    one = mapping["studies"]["flow"]
    two = copy.deepcopy(one) | others
    return {**mapping, "studies": {"one": one, "two": two}, "comparisons": {"both": ["one", "two"]}}


def test_models_of_the_same_observations_are_compared(mapping: dict[str, Any]) -> None:
    config = load(studies(mapping, descent={"iterations": 30}))
    assert config.comparisons == {"both": ["one", "two"]}


def test_studies_that_are_not_there_or_twice(mapping: dict[str, Any]) -> None:
    text = message({**studies(mapping), "comparisons": {"both": ["one", "tow", "one"]}})
    assert "there is no such study. Did you mean 'two'?" in text
    assert "'one' is named twice" in text
    assert "at least 2" in message({**studies(mapping), "comparisons": {"both": ["one"]}})


def test_other_observations_or_seeds(mapping: dict[str, Any]) -> None:
    assert "'one' and 'two' differ in 'seed'" in message(studies(mapping, seed=7))
    observations = copy.deepcopy(mapping["studies"]["flow"]["observations"])
    observations["count"] = 17
    text = message(studies(mapping, observations=observations))
    assert "'one' and 'two' differ in 'observations'" in text
    assert "same observations only" in text


def test_the_columns_that_a_model_does_not_use_may_differ(mapping: dict[str, Any]) -> None:
    def of_file(*ignored: str) -> dict[str, Any]:
        return {"file": "y.csv", "ignored_columns": list(ignored)}

    sensors = {"sensors": {"positions": [0.2, 0.5, 0.8]}}
    given = studies(mapping)
    for study, ignored in (("one", ("sex",)), ("two", ("sex", "weight"))):
        forward = given["studies"][study]["forward"] | sensors
        given["studies"][study] = {"forward": forward, "observations": of_file(*ignored)}
    assert load(given).comparisons["both"] == ["one", "two"]
    given["studies"]["two"]["observations"]["heldout_fraction"] = 0.3
    assert "differ in 'observations'" in message(given)


@pytest.mark.parametrize("name", ["a b", "../a", "report"])
def test_the_name_of_a_comparison_is_that_of_a_folder(mapping: dict[str, Any], name: str) -> None:
    text = message({**studies(mapping), "comparisons": {name: ["one", "two"]}})
    assert "letters, digits" in text or "taken by a folder" in text


def test_a_study_is_not_called_comparisons(mapping: dict[str, Any]) -> None:
    mapping["studies"] = {"comparisons": mapping["studies"]["flow"]}
    assert "taken by a folder" in message(mapping)
