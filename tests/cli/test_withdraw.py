"""The command that withdraws systems, up to the run itself."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
import yaml
from click.testing import CliRunner
from tiny_study import TINY

from popinv.cli import run as running
from popinv.cli.commands import popinv
from popinv.cli.withdraw import configured, told
from popinv.config.loading import load, load_file


@pytest.fixture
def here(in_folder):
    (in_folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    two = deepcopy(TINY)
    two["studies"]["other"] = two["studies"]["tiny"]
    (in_folder / "two.yaml").write_text(yaml.safe_dump(two))
    return in_folder


def test_the_configuration_that_is_run_is_left_with_the_results(here):
    written, folder = configured(here / "tiny.yaml", None, ["17", "bore"][:1], True)
    assert str(folder) == "results/tiny/downstream/withdrawal"
    study = load_file(written).studies["tiny"]
    assert study.downstream.withdrawal.systems == [17]
    assert list(load_file(written).studies) == ["tiny", "tiny_without"]
    # The user's own file stays as it is, and the rest of it is the same.
    assert yaml.safe_load((here / "tiny.yaml").read_text()) == TINY
    assert load_file(here / "tiny.yaml").studies["tiny"].law == study.law


def test_a_name_with_leading_zeros_stays_a_name(here, monkeypatch):
    monkeypatch.setattr("popinv.cli.withdraw.load", lambda mapping, source: load(TINY, source))
    written, _ = configured(here / "tiny.yaml", None, ["007", "7"], False)
    asked = yaml.safe_load(written.read_text())["studies"]["tiny"]["downstream"]["withdrawal"]
    assert asked["systems"] == ["007", 7]


def ran(arguments, monkeypatch):
    called = []
    monkeypatch.setattr(running, "run", lambda *given: called.append(given) or 0)
    return CliRunner().invoke(popinv, ["withdraw", *arguments]), called


def test_snakemake_gets_the_target_and_the_options(here, monkeypatch):
    done, called = ran(["tiny.yaml", "--systems", "1, 2", "--cores", "1", "-n"], monkeypatch)
    assert done.exit_code == 0, done.output
    (configuration, options), *_ = called
    assert configuration == "results/tiny/withdrawal.yaml"
    assert options == ["results/tiny/downstream/withdrawal/metrics.json", "--cores", "1", "-n"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["two.yaml"], "say which one: --study other"),
        (["two.yaml", "--study", "othr"], "Did you mean 'other'"),
        (["tiny.yaml", "--systems", "999"], "numbers from 0 to 199"),
        (["tiny.yaml", "--rerun"], "names none that withdraw"),
        (["nothing.yaml"], "no such configuration"),
    ],
)
def test_wrong_commands_are_refused_before_the_run(here, monkeypatch, arguments, said):
    done, called = ran(arguments, monkeypatch)
    assert done.exit_code == 1
    assert said in done.output
    assert not called


def test_what_was_found_is_printed(tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps({"statement": "without 17 it moves"}))
    (tmp_path / "influence.csv").write_text(
        "system,size [standard errors],steps to forget,more\n"
        + "".join(f"bore_{n},{1 / (n + 1):.3f},2,0\n" for n in range(20))
    )
    (tmp_path / "answers.csv").write_text(
        "parameter,all systems,one step,one step: shift [standard errors]\nmean,0.5,0.51,0.2\n"
    )
    text = told(tmp_path)
    assert "bore_7" in text
    assert "bore_8" not in text
    assert "8 most influential systems, of 20" in text
    assert "Without 17 it moves." in text
    assert "0.51" in text
