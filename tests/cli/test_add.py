"""`popinv add`: the line in the configuration, and what is refused before any work."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))

import boys

from popinv.cli.add import checked_addition, with_addition
from popinv.cli.commands import popinv as program
from popinv.config.loading import load
from popinv.errors import DataError

STUDY = """# The heights of boys.
studies:
  boys:
    forward:
      kind: python
      function: models:line
      path: .
      derivatives: torch
      parameters:
        - {name: intercept, units: cm}
        - {name: slope, units: cm}
      observations:
        name: height
        units: cm
        times: {file: first.csv, column: age}
    law:
      kind: normal
      start:
        intercept: {mean: 150.0, standard_deviation: 10.0}
        slope: {mean: 5.0, standard_deviation: 3.0}
    noise: {kind: isotropic}
    observations:
      file: first.csv  # the first boys
      layout: long

      system_column: Subject
      time_column: age
      value_column: height
    surrogate: {kind: none}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("added")
    table = boys.table()
    table["age"] = table.groupby("Occasion")["age"].transform("median").round(4)
    names = table["Subject"].unique()
    early = table["Subject"].isin(names[:24])
    table = table.rename(columns={"age": "age [a]"})
    months = table[~early].rename(columns={"age [a]": "age [months]"})
    months.to_csv(path / "months.csv", index=False)
    table[early].to_csv(path / "first.csv", index=False)
    table[~early].to_csv(path / "more.csv", index=False)
    table[early].head(9).to_csv(path / "again.csv", index=False)
    table[~early].rename(columns={"height": "height [m]"}).to_csv(path / "metres.csv", index=False)
    table.rename(columns={"height": "size"}).to_csv(path / "other.csv", index=False)
    later = table[~early].assign(**{"age [a]": table["age [a]"] + 0.01})
    later.to_csv(path / "later.csv", index=False)
    table.head(0).to_csv(path / "empty.csv", index=False)
    shutil.copy(boys.FILE.parent / "models.py", path)
    (path / "mine.yaml").write_text(STUDY)
    boys.fit(table[early], tests=False).save(path / "results" / "boys")
    return path


def test_the_line_is_written_and_comments_stay(folder, monkeypatch):
    monkeypatch.chdir(folder)
    addition = checked_addition(Path("mine.yaml"), "more.csv", None)
    line = "      additions: [more.csv]\n"
    assert f"      file: first.csv  # the first boys\n{line}" in addition.after
    assert addition.after.replace(line, "") == addition.before
    assert Path("mine.yaml").read_text() == addition.before
    addition.write()
    addition.take_back()
    assert Path("mine.yaml").read_text() == addition.before


@pytest.mark.parametrize(
    "text",
    [
        "studies:\n  a:\n    observations:\n      additions:\n        - b.csv # x\n      file: f\n",
        "studies: {a: {observations: {additions: [b.csv], file: f.csv}}} # x",
        "studies:\n  a:\n    observations: {file: f.csv, additions: ['b.csv']}\n",
        "studies:\n  a:\n    observations:\n      file: f.csv\n      additions: []",
        "studies:\n  a: {observations: {file: f.csv, additions: }}",
    ],
)
def test_further_files_follow(text):
    found = with_addition(text, "a", "c d.csv")
    before, after = (yaml.safe_load(each) for each in (text, found))
    files = before["studies"]["a"]["observations"].pop("additions") or []
    assert after["studies"]["a"]["observations"].pop("additions") == [*files, "c d.csv"]
    assert before == after
    assert found.count("# x") == text.count("# x")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("again.csv", "is already in the study; leave out systems that are there"),
        ("metres.csv", "in 'm', but the forward model's 'height' is in 'cm'"),
        ("months.csv", "'age' is in 'months', but in the study it is in 'a'. Convert its values"),
        ("other.csv", "there is no column 'height'"),
        ("empty.csv", "holds no line of values"),
        ("nowhere.csv", "nowhere.csv"),
    ],
)
def test_wrong_files_are_refused_before_any_work(folder, monkeypatch, file, message):
    monkeypatch.chdir(folder)
    before = Path("mine.yaml").read_text()
    told = CliRunner().invoke(program, ["add", "mine.yaml", file])
    assert told.exit_code == 1
    assert message in " ".join(told.output.split())
    assert Path("mine.yaml").read_text() == before


def test_a_function_is_observed_at_further_times(folder, monkeypatch):
    monkeypatch.chdir(folder)
    addition = checked_addition(Path("mine.yaml"), "later.csv", None)
    first = load(yaml.safe_load(addition.before)).studies["boys"]
    study = load(yaml.safe_load(addition.after)).studies["boys"]
    # The first systems, and all that was computed from them, have the times that they had.
    assert study.forward == first.forward
    own, joint = (each.forward.observations.described_times() for each in (study, study.joined()))
    assert joint == sorted({*own, *np.round(pd.read_csv("later.csv")["age [a]"], 4)})


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "surrogate: {kind: none}",
            "surrogate: {}",
            "is not observed at the times .* as the surrogate has learned",
        ),
        ("{kind: isotropic}", "{kind: diagonal}", "has parameters of single times"),
        ("models:line", "fixed:line", "only a function with an argument 'times' gives others"),
    ],
)
def test_further_times_are_refused_where_nothing_gives_them(
    folder, monkeypatch, before, after, message
):
    monkeypatch.chdir(folder)
    Path("fixed.py").write_text("def line(z):\n    return z[:, :1]\n")
    Path("other.yaml").write_text(STUDY.replace(before, after))
    with pytest.raises(DataError, match=message):
        checked_addition(Path("other.yaml"), "later.csv", None)


def test_a_table_of_inputs_is_written_beside_the_file(folder, monkeypatch):
    text = "studies:\n  a:\n    observations:\n      file: f.csv  # x\n"
    found = with_addition(text, "a", {"file": "c.csv", "inputs": "d.csv"})
    line = "      additions: [{file: c.csv, inputs: d.csv}]\n"
    assert found == text + line
    again = with_addition(found, "a", "e.csv")
    assert again == text + line.replace("]", ", e.csv]")
    monkeypatch.chdir(folder)
    with pytest.raises(DataError, match=r"doses.csv: .* but the study has none"):
        checked_addition(Path("mine.yaml"), "more.csv", None, "doses.csv")


def test_a_file_is_not_added_twice(folder, monkeypatch):
    """The second time its line is there, with its results or, after a kill, without."""
    monkeypatch.chdir(folder)
    Path("twice.yaml").write_text(checked_addition(Path("mine.yaml"), "more.csv", None).after)
    told = CliRunner().invoke(program, ["add", "twice.yaml", "more.csv"])
    assert "'more.csv' is in 'additions' already, but its systems are not yet in the" in told.output
    assert told.exit_code == 1
    batch = Path("results/boys/additions/1/batch.zarr.zip")
    batch.parent.mkdir(parents=True)
    batch.touch()
    told = CliRunner().invoke(program, ["add", "twice.yaml", "more.csv"])
    batch.unlink()
    assert "twice.yaml: 'more.csv' is in the study already" in told.output
    told = CliRunner().invoke(program, ["add", "mine.yaml", "first.csv"])
    assert "mine.yaml: 'first.csv' is in the study already" in told.output


def test_a_study_without_results_is_run_first(folder, monkeypatch):
    monkeypatch.chdir(folder)
    text = Path("mine.yaml").read_text().replace("  boys:\n", "  others:\n", 1)
    Path("others.yaml").write_text(text)
    told = CliRunner().invoke(program, ["add", "others.yaml", "more.csv"])
    assert "has no finished results to go on from; run it first" in " ".join(told.output.split())
