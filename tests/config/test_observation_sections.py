"""The sections of synthetic observations and of the user's own file."""

from __future__ import annotations

from typing import Any

import pytest
from flow_study import message

from popinv.config.loading import as_mapping, load


def own(study: dict[str, Any], **keys: Any) -> None:
    study["observations"] = {"file": "y.csv", **keys}


def test_defaults(mapping: dict[str, Any], study: dict[str, Any]) -> None:
    assert as_mapping(load(mapping))["studies"]["flow"]["observations"]["noise_scale"] is None
    own(study)
    section = as_mapping(load(mapping))["studies"]["flow"]["observations"]
    assert section["missing"] == "refuse"
    assert section["system_column"] is None
    assert section["noise_scale_column"] is None
    assert section["header"] is None
    assert section["layout"] == "wide"
    assert section["missing_values"] is None
    assert section["ignored_columns"] == []


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"missing": "drop"}, ["observations.missing", "refuse", "mask"]),
        ({"noise_scale_column": ""}, ["observations.noise_scale_column"]),
        (
            {"system_column": "a", "noise_scale_column": "a"},
            ["observations", "must be different columns"],
        ),
        (
            {"file": "y.nc", "system_column": "a"},
            ["observations", "only CSV and Parquet files, and long", "'noise_scale'"],
        ),
        ({"header": "yes"}, ["observations.header"]),
        ({"file": "y.nc", "header": True}, ["only a CSV file has a 'header'"]),
        (
            {"header": False, "system_column": "a"},
            ["'header' is false, but the column 'a' is named in the first line"],
        ),
        ({"layout": "tall"}, ["observations.layout", "wide", "long"]),
        ({"value_column": "y"}, ["only a table of 'layout: long' has columns of values"]),
        ({"layout": "long", "system_column": "s"}, ["needs 'system_column' and 'value_column'"]),
        (
            {"layout": "long", "system_column": "s", "value_column": "y", "time_column": "y"},
            ["must be different columns"],
        ),
        (
            {"layout": "long", "system_column": "s", "value_column": "y", "ignored_columns": ["a"]},
            ["a table of 'layout: long' has no 'ignored_columns'"],
        ),
        ({"file": "y.nc", "ignored_columns": ["a"]}, ["only CSV and Parquet files"]),
        ({"header": False, "ignored_columns": ["a"]}, ["'header' is false, but the column 'a'"]),
        ({"missing_values": -999}, ["observations.missing_values", "list"]),
        (
            {"file": "d/y.feather"},
            [
                "ends in .csv, .csv.gz, .parquet, .nc or .zarr. Make a CSV file of it",
                "pandas.read_feather('d/y.feather').to_csv('d/y.csv', index=False)",
                "python -m pip install pyarrow",
            ],
        ),
        ({"file": "y.xlsx"}, ["pandas.read_excel('y.xlsx')", "pip install openpyxl"]),
        ({"noise_scale": {"low": 1, "high": 2}}, ["observations.noise_scale", "unknown key"]),
    ],
)
def test_faults_of_a_file(
    mapping: dict[str, Any], study: dict[str, Any], keys: dict[str, Any], words: list[str]
) -> None:
    own(study, **keys)
    text = message(mapping)
    for word in ["1 problem", *words]:
        assert word in text


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        ({"low": 2, "high": 0.5}, ["observations.noise_scale", "at most 'high' (0.5)"]),
        ({"low": 0, "high": 2}, ["observations.noise_scale.low", "greater than 0"]),
        ({"low": 0.5}, ["observations.noise_scale.high", "is missing"]),
        ({"low": 0.5, "hihg": 2}, ["Did you mean 'high'?"]),
    ],
)
def test_faults_of_noise_scales(
    mapping: dict[str, Any], study: dict[str, Any], scale: dict[str, Any], words: list[str]
) -> None:
    study["observations"]["noise_scale"] = scale
    text = message(mapping)
    for word in words:
        assert word in text


def test_a_range_of_one_value_is_allowed(mapping: dict[str, Any], study: dict[str, Any]) -> None:
    study["observations"]["noise_scale"] = {"low": 2, "high": 2}
    assert load(mapping)
