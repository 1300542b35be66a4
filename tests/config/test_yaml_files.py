"""What YAML reads otherwise than it seems, and files that grow when they are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from popinv.config.loading import load
from popinv.config.yaml_files import read_yaml
from popinv.errors import ConfigError


def refused(folder: Path, text: str) -> str:
    file = folder / "given.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_yaml(file)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "base", "number"),
    [
        ("0310", 8, 200),
        ("-017", 8, -15),
        ("3:20", 60, 200),
        ("1:30:00", 60, 5400),
        ("3:20.5", 60, 200.5),
    ],
)
def test_numbers_in_another_base_are_refused(tmp_path, text, base, number):
    said = refused(tmp_path, f"seed: 1\nlow: {text}\n")
    assert f"line 2: YAML reads {text} as a number in base {base}, {number}" in said


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("10", 10), ("-3", -3), ("0.5", 0.5), ("1e-3", "1e-3"), ("0x1F", 31)],
)
def test_other_numbers_are_read(tmp_path, text, value):
    file = tmp_path / "given.yaml"
    file.write_text(f"low: {text}\nword: '0310'\ntime: '3:20'\n")
    assert read_yaml(file) == {"low": value, "word": "0310", "time": "3:20"}


def test_names_that_differ_by_quotes_alone_are_refused(tmp_path):
    said = refused(tmp_path, "studies:\n  1: {}\n  '1': {}\n")
    assert "line 3: the keys 1 and '1' are the same name, first in line 2" in said


def test_references_that_multiply_are_refused_at_once(tmp_path):
    # Nine references each to the line before: 9^20 entries.
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for k in range(1, 20):
        lines.append(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]")
    assert "references (*name)" in refused(tmp_path, "\n".join(lines))


def test_a_part_that_contains_itself_is_refused(tmp_path):
    assert "references (*name)" in refused(tmp_path, "a: &a [1, *a]\n")


def test_a_part_that_is_used_twice_is_read(tmp_path):
    file = tmp_path / "given.yaml"
    file.write_text("a: &a {x: 1}\nb: *a\n")
    assert read_yaml(file) == {"a": {"x": 1}, "b": {"x": 1}}


def test_results_that_look_like_an_option_are_refused():
    with pytest.raises(ConfigError, match="begins with - is taken for an option"):
        load({"results": "-rf", "studies": {"a": {"forward": {"kind": "lorenz96"}}}})


@pytest.mark.parametrize("folder", ["a" * 300, "/".join("a" * 600)])
def test_a_long_path_of_results_is_refused(folder):
    with pytest.raises(ConfigError, match=f"{len(folder)} characters, and at most 200 are allowed"):
        load({"results": folder, "studies": {"a": {"forward": {"kind": "lorenz96"}}}})


def test_a_decimal_comma_is_called_so(tmp_path):
    said = refused(tmp_path, "seed: 1\nstart: {mean: 0,05}\n")
    assert "line 2: a comma before 05 separates two entries; write numbers with a decimal" in said


@pytest.mark.parametrize("text", ["!!bool maybe", "!!timestamp soon", "!!float x", "!!set [a]"])
def test_a_tag_that_its_text_does_not_fit_is_refused(tmp_path, text):
    assert "given.yaml" in refused(tmp_path, f"seed: {text}\n")


def test_what_is_not_a_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    for name in ("pipe", "zero", "loop"):
        with pytest.raises(ConfigError, match=rf"{name}.yaml: cannot be read"):
            read_yaml(tmp_path / f"{name}.yaml")
