"""What stands above the sections of a study: its name, the folder of results, the file itself."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flow_study import message

from popinv.config.loading import load
from popinv.errors import ConfigError

WRONG = ["a b", "a/b", "..", "../x", "", "-a", ".hidden", "é", "a{b}", "a\n", "a\0"]


@pytest.mark.parametrize("name", [*WRONG, "downstream", "Report", "benchmarks"])
def test_study_name_that_is_no_folder(name: str, mapping: dict[str, Any]) -> None:
    mapping["studies"] = {name: mapping["studies"]["flow"]}
    text = message(mapping)
    assert "studies" in text
    assert "letters, digits" in text or "taken by a folder" in text
    mapping["studies"] = {"x" * 101: mapping["studies"][name]}
    assert "name has at most 100 characters" in message(mapping)


OUTSIDE = ["/tmp/results", "../results", "", ".", "a/../../b", "~/x", ".snakemake", "a/.git"]


@pytest.mark.parametrize("folder", [*OUTSIDE, "a{b}", "a b", 3])
def test_results_outside_the_working_directory(folder: Any, mapping: dict[str, Any]) -> None:
    mapping["results"] = folder
    assert re.search(r"^  results$", message(mapping), re.MULTILINE)


@pytest.mark.parametrize("studies", [{}, None, [], "flow", {"flow": None}, {"flow": 3}])
def test_studies_that_are_none(studies: Any) -> None:
    assert "studies" in message({"studies": studies})


def test_top_level_key(mapping: dict[str, Any]) -> None:
    mapping["study"] = {}
    assert "Did you mean 'studies'?" in message(mapping)


def test_top_level_that_is_no_mapping() -> None:
    with pytest.raises(ConfigError, match="key: value"):
        load([1, 2])  # type: ignore[arg-type]
