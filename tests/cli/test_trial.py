"""A trial of a slow simulator says what it takes, and its solves are not made again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from commands import ran
from tiers import parameters
from tiny_study import Workflow

from popinv.cli import solve_costs, trial_solves
from popinv.cli.commands import popinv
from popinv.cli.solve_costs import solves_of, study_costs
from popinv.config.loading import load
from popinv.config.study import Study

# It notes each system and is slow. A system with a > 0 fails where that is asked.
SIMULATOR = """
import time
from pathlib import Path
import numpy as np

def solve(z):
    with Path("calls").open("a") as file:
        for row in z:
            file.write(f"{row[0]!r}\\n")
    time.sleep(0.3 * len(z))
    return z @ np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
"""
ONE = {"mean": 0.0, "standard_deviation": 1.0}


def configure(journal_seconds: float = 0.1, **forward: Any) -> dict[str, Any]:
    given = {"kind": "python", "function": "simulator:solve", "rows_per_call": 1, **forward}
    config = {
        "seed": 1,
        "journal_seconds": journal_seconds,
        "studies": {
            "own": {
                "forward": given | {"parameters": ["a", "b"], "observations": {"count": 3}},
                "law": {"kind": "normal", "start": {"a": ONE, "b": ONE}, "spread": 0.3},
                "observations": {"file": "y.csv"},
                "active_learning": {"first_design": 10, "solves_per_round": 20, "rounds": 3},
                "assessment": {"surrogate_check": 30},
            }
        },
    }
    Path("mine.yaml").write_text(yaml.safe_dump(config))
    return config


def study(**forward: Any) -> Study:
    return load(configure(**forward)).studies["own"]


@pytest.fixture(autouse=True)
def _files(in_folder: Path) -> None:
    Path("simulator.py").write_text(SIMULATOR)
    np.savetxt("y.csv", np.random.default_rng(0).normal(size=(40, 3)), delimiter=",")
    configure()


def attempt(*options: str) -> str:
    return ran("try", "mine.yaml", *options)


def calls() -> list[str]:
    return Path("calls").read_text().split() if Path("calls").exists() else []


def test_a_trial_says_what_it_may_take_before_it_solves(monkeypatch: pytest.MonkeyPatch):
    # Every first solve counts as slow.
    monkeypatch.setattr(trial_solves, "_SLOW", 0.0)
    monkeypatch.setattr(trial_solves, "_WORTH_SAYING", 0.0)
    told = attempt("--systems", "3")
    before, after = told.split("one solve took", 1)
    assert "3 systems are to be solved, at most 1 in a call, 1 call(s) at a time" in before
    assert "a solve that takes 60 s is ended (forward.time_limit)" in before
    assert re.search(r"; 2 systems take about \S+ s, 1 call\(s\) at a time", after)
    assert "3 systems of the first design were tried" in after
    # No solve is made for the timing alone; one is made twice, and its answers compared.
    assert len(calls()) == 1 + len(set(calls())) == 4
    # A second trial repeats none, and knows how long they took.
    again = attempt("--systems", "3")
    assert len(calls()) == 4
    assert "the first system is in the journal of solves already" in again
    each = re.compile(r"were tried, (\S+ \S+) each")
    assert each.search(again)[1] == each.search(told)[1]


@pytest.mark.full
def test_a_run_does_not_repeat_the_solves_of_a_trial(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(trial_solves, "_SLOW", 0.0)
    attempt("--systems", "3")
    (tmp_path / "config.yaml").write_text(Path("mine.yaml").read_text())
    Workflow(tmp_path).printed("results/own/rounds/0/solves.zarr.zip")
    # The trial compares the answers of one, and the run of two.
    assert len(calls()) == 3 + len(set(calls())) == 13
    # The trial and the run have both measured.
    (file,) = Path("results/.solve_times").iterdir()
    assert json.loads(file.read_text())["solves"] == 13


def test_of_two_systems_in_a_call_the_first_is_solved_twice(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trial_solves, "_SLOW", 0.0)
    configure(rows_per_call=100)
    assert "2 systems of the first design were tried" in attempt("--systems", "2")
    assert len(calls()) == 3


READING = """
import json
from pathlib import Path
import numpy as np

rates = np.load("tables/rates.npy")

def solve(z):
    Path("scratch.txt").write_text(json.dumps(z.tolist()))
    z = np.array(json.loads(Path("scratch.txt").read_text()))
    with open("settings.json") as file:
        return z @ rates * json.load(file)["factor"]
"""


def test_files_that_a_simulator_reads_and_nothing_watches_are_named():
    Path("tables").mkdir()
    np.save("tables/rates.npy", np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]))
    Path("settings.json").write_text('{"factor": 2.0}')
    Path("simulator.py").write_text(READING)
    configure(files=["settings.json"])
    told = attempt("--systems", "3")
    assert "the simulator reads tables/rates.npy: a change there would not repeat" in told
    configure(files=["settings.json", "tables/rates.npy"])
    assert "the simulator reads" not in attempt("--systems", "3")


# Its answers are random, from the seeds that it is given.
RANDOM = """
import numpy as np

def solve(z, seeds):
    e = np.array([np.random.default_rng(each).standard_normal(3) for each in seeds])
    return z @ np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]) + e
"""
PROPOSED = "set 'forward.stochastic: true'"


def test_a_random_simulator_is_recognised():
    Path("simulator.py").write_text(RANDOM)
    configure(rows_per_call=100)
    told = attempt("--systems", "3")
    assert "the same parameters gave another answer" in told
    assert PROPOSED in told
    configure(rows_per_call=100, stochastic=True)
    told = attempt("--systems", "3")
    assert PROPOSED not in told
    assert "the same answer again" not in told


def test_a_simulator_that_is_not_random_needs_no_key():
    fixed = SIMULATOR.replace("time.sleep(0.3 * len(z))", "seed = 0")
    Path("simulator.py").write_text(fixed)
    configure(rows_per_call=100)
    assert "random" not in attempt("--systems", "3")
    configure(rows_per_call=100, stochastic=True)
    told = attempt("--systems", "3")
    assert "gave the same answer again in 3 systems: draw the random numbers" in told


@pytest.mark.full
def test_random_numbers_without_seeds_cannot_be_repeated():
    unseeded = RANDOM.replace(", seeds", "").replace(
        "np.array([np.random.default_rng(each).standard_normal(3) for each in seeds])",
        "np.random.default_rng().standard_normal((len(z), 3))",
    )
    Path("simulator.py").write_text(unseeded)
    configure(rows_per_call=100, stochastic=True)
    told = attempt("--systems", "3")
    assert "no run can be repeated: take an argument 'seeds'" in told
    Path("simulator.py").write_text(RANDOM)
    assert "can be repeated" not in attempt("--systems", "3")


@parameters("of_call", ["seeds[0]"], full=["1"])
def test_random_numbers_that_rows_share_are_refused(of_call):
    shared = RANDOM.replace(
        "np.array([np.random.default_rng(each).standard_normal(3) for each in seeds])",
        f"np.random.default_rng({of_call}).standard_normal((len(z), 3))",
    )
    Path("simulator.py").write_text(shared)
    configure(rows_per_call=100, stochastic=True)
    done = CliRunner().invoke(popinv, ["try", "mine.yaml", "--systems", "5"])
    assert done.exit_code != 0
    words = " ".join(done.output.split())
    assert "The seed of the row was the same" in words
    assert "default_rng(seeds[i])" in words
    assert "leave the key out" not in words


def test_a_random_simulator_needs_many_solves_for_each_system():
    Path("simulator.py").write_text(RANDOM)
    configure(rows_per_call=100, stochastic=True)
    assert "solves_per_round: 200}" in attempt("--systems", "3")


def test_quick_solves_leave_their_time_for_the_plan():
    Path("simulator.py").write_text(SIMULATOR.replace("0.3", "0.0"))
    configure(journal_seconds=60.0)
    told = attempt()
    assert " s each" in told
    assert {path.name for path in Path("results").iterdir()} == {".solve_times", "own"}
    planned = CliRunner().invoke(popinv, ["plan", "mine.yaml"])
    assert "the mean of" in planned.output, planned.output
    assert "to solve fewer" not in told


def test_the_costs_of_a_study_name_the_keys_that_change_them():
    own = study()
    assert solves_of(own) == [
        (10, "active_learning.first_design"),
        (40, "active_learning.solves_per_round and .rounds"),
        (30, "assessment.surrogate_check"),
    ]
    assert study_costs(own, 0.1) == []
    (line,) = study_costs(own, 15.0)
    assert line.startswith(
        "to solve fewer, lower the first of these: active_learning.solves_per_round and .rounds: "
        "40 (10 min); assessment.surrogate_check: 30"
    )


def test_keys_that_do_not_suit_the_time_of_a_solve_are_named():
    told = "\n".join(study_costs(study(rows_per_call=100), 3600.0))
    assert "forward.time_limit (60 s) is close to the time of a solve" in told
    assert "set 'forward.rows_per_call: 1'" in told
    assert "one job solves 10 systems, 10 h: 'active_learning.chunk_size: 8'" in told
    told = "\n".join(study_costs(study(time_limit=36000.0, parallel=10), 3600.0))
    assert "forward." not in told
    assert "chunk_size" not in told
    assert solve_costs.duration(36000.0) == "10 h"
    # Hundreds are written without an exponent.
    assert solve_costs.duration(110.0) == "110 s"
    assert solve_costs.duration(500 * 3600.0) == "500 h"
