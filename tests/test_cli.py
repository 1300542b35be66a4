"""The command `popinv`: new studies that pass every check, and what studies found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from popinv.cli import popinv
from popinv.config.loading import load_file
from popinv.new_study import KINDS


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def call(*arguments: str):
    return CliRunner().invoke(popinv, arguments)


def test_help_names_every_command():
    printed = call("--help").output
    for command in ("doctor", "new-study", "show", "demand", "unlock"):
        assert command in printed


def test_the_kinds_offered_are_those_there_are():
    (forward,) = (p for p in popinv.commands["new-study"].params if p.name == "forward")
    assert tuple(forward.type.choices) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_study_passes_the_checks_and_is_never_overwritten(kind):
    done = call("new-study", "mine", "--forward", kind)
    assert done.exit_code == 0, done.output
    assert "snakemake --configfile mine.yaml" in done.output
    study = load_file(Path("mine.yaml")).studies["mine"]
    assert study.forward.kind == kind
    before = Path("mine.yaml").read_bytes()
    again = call("new-study", "mine", "--forward", kind)
    assert again.exit_code == 1
    assert "is there already" in again.output
    assert Path("mine.yaml").read_bytes() == before


@pytest.mark.parametrize("kind", ["python", "porous_flow"])
def test_observations_decide_how_many_entries_there_are(kind):
    np.savetxt("seen.csv", np.ones((30, 7)), delimiter=",", header=",".join("abcdefg"), comments="")
    done = call("new-study", "mine", "--forward", kind, "--observations", "seen.csv")
    assert done.exit_code == 0, done.output
    forward = load_file(Path("mine.yaml")).studies["mine"].forward
    count = forward.observations.count if kind == "python" else forward.sensors.count
    assert count == 7


def test_the_first_simulator_answers_as_the_configuration_says(monkeypatch):
    call("new-study", "mine", "--forward", "python")
    monkeypatch.syspath_prepend("mine")
    from simulator import solve

    z = np.array([[2.0, 0.5], [1.0, 0.0]])
    y = solve(z)
    assert y.shape == (2, 10)
    np.testing.assert_allclose(y[0], 2 * np.exp(-0.5 * np.linspace(0, 4, 10)))
    np.testing.assert_allclose(y[1], 1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a/b",), "the name is 'a/b'; allowed are letters"),
        (("x", "--forward", "heat"), "'heat' is not one of"),
        (("x", "--observations", "nothere.csv"), "nothere.csv: the observations cannot be read"),
        (("report",), "taken by a folder of the workflow"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(arguments, message):
    done = call("new-study", *arguments)
    assert done.exit_code != 0
    assert message in done.output
    assert not list(Path().iterdir())


def test_observations_that_do_not_fit_leave_nothing():
    np.savetxt("seen.csv", np.ones((30, 7)), delimiter=",", header=",".join("abcdefg"), comments="")
    done = call("new-study", "mine", "--forward", "lorenz96", "--observations", "seen.csv")
    assert done.exit_code == 1
    assert "7 columns" in done.output
    assert [path.name for path in Path().iterdir()] == ["seen.csv"]


def test_results_are_shown_by_folder_or_all_together():
    none = call("show")
    assert none.exit_code == 1
    assert "no study is finished there" in none.output
    for name in ("one", "two"):
        folder = Path("results", name)
        folder.mkdir(parents=True)
        numbers = {"alpha_mean": 0.5, "alpha_true_mean": 0.4, "heldout_p_value": 0.6}
        (folder / "metrics.json").write_text(json.dumps(numbers))
    both = call("show").output
    assert "one" in both
    assert "two" in both
    assert call("show", "results/one").output == call("show", "results/one/metrics.json").output
    assert "two" not in call("show", "results/one").output
