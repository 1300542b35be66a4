"""Requests of jobs follow the measured time of a solve of a simulator of which nothing is known."""

from __future__ import annotations

import copy
import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml
from commands import ran
from study_sections import function
from tiny_study import Workflow

from popinv.config.loading import load
from popinv.config.study import Study
from popinv.forward.section import forward_section
from popinv.forward.solve_times import (
    SolveTimer,
    measured_times,
    solve_times_file,
    solve_times_of,
)
from popinv.forward.stages.solve_chunk import solve_chunk
from popinv.store.variables import variable
from popinv.workflow.resources import demand, runtime_minutes

PAUSE = 0.05
SIMULATOR = f"""
import time
import numpy as np

def solve(z):
    time.sleep({PAUSE} * len(z))
    return z @ np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
"""
ONE = {"mean": 0.0, "standard_deviation": 1.0}
LIMIT = 3600.0
STUDY: dict[str, Any] = {
    "forward": function(
        "simulator:solve", "a", "b", time_limit=LIMIT, rows_per_call=5, observations={"count": 3}
    ),
    "law": {"kind": "normal", "start": {"a": ONE, "b": ONE}, "spread": 0.3},
    "observations": {"file": "y.csv"},
    "active_learning": {"first_design": 20, "chunk_size": 10, "failure_budget": 0.9},
}
CONFIG: dict[str, Any] = {"seed": 1, "studies": {"own": STUDY}}


@pytest.fixture(autouse=True)
def _files(in_folder: Path) -> None:
    Path("simulator.py").write_text(SIMULATOR)
    np.savetxt("y.csv", np.random.default_rng(0).normal(size=(40, 3)), delimiter=",")
    Path("config.yaml").write_text(yaml.safe_dump(CONFIG))


def study(**forward: Any) -> Study:
    config = copy.deepcopy(CONFIG)
    config["studies"]["own"]["forward"].update(forward)
    return load(config).studies["own"]


def proposals(count: int) -> xr.Dataset:
    z = np.random.default_rng(0).normal(size=(count, 2))
    coords = {"parameter": variable("parameter", np.array(["a", "b"]), "parameter")}
    return xr.Dataset({"z": variable(("sample", "parameter"), z, "parameters")}, coords=coords)


def solve_a_chunk(own: Study, chunk: int = 0) -> None:
    solve_chunk(
        own.forward,
        proposals(20),
        seed=1,
        round_name="0",
        chunk=chunk,
        chunk_size=10,
        results="results",
    )


def minutes(own: Study, rule: str = "solve_chunk") -> int:
    times = measured_times("results", own.forward)
    return minutes_of(own, times and times.each, rule)


def minutes_of(own: Study, each: float | None, rule: str = "solve_chunk") -> int:
    return runtime_minutes(demand(rule, own, each))


def test_after_its_first_chunk_later_ones_ask_for_twice_the_measured_time_and_two_limits():
    own = study()
    # A hundredth of the limit for each of 500 solves a round in chunks of 10, and ten limits.
    assumed = demand("solve_chunk", own)
    assert assumed.seconds == pytest.approx(3 + 10 * LIMIT / 100)
    assert assumed.granted_seconds == 10 * LIMIT
    solve_a_chunk(own)
    times = measured_times("results", own.forward)
    # Two systems are solved alone as well.
    assert times.solves == 12
    assert times.each >= PAUSE
    asked = demand("solve_chunk", own, times.each)
    assert asked.seconds == pytest.approx(3 + 10 * times.each)
    assert asked.granted_seconds == 2 * LIMIT
    assert minutes(own) < runtime_minutes(assumed)
    # The second adds to the first.
    solve_a_chunk(own, 1)
    assert measured_times("results", own.forward).solves == 24


def test_slow_solves_ask_for_more_than_was_assumed():
    own = study()
    with SolveTimer(solve_times_file("results", own.forward)) as timer:
        timer.add(4, 4 * 3000.0)
    # 10 solves of 50 minutes, twice, and two limits of an hour: rounded up to 5 minutes.
    assert minutes(own) == 2 * 500 + 120 + 5
    # Calls at the same time share it: two turns of one call with five systems each.
    assert study(rows_per_call=1, parallel=5).forward.solving_seconds(10, 3000.0) == 6000.0
    assert study(rows_per_call=5, parallel=5).forward.solving_seconds(10, 3000.0) == 15000.0
    assert study(rows_per_call=100, parallel=5).forward.solving_seconds(10, 3000.0) == 30000.0


def test_estimates_through_the_solver_ask_by_the_measured_time():
    config = copy.deepcopy(CONFIG)
    config["studies"]["own"]["polish"] = {"seconds_per_solve": 1e-6, "solver_seconds": 100.0}
    own = load(config).studies["own"]
    granted = [
        demand("maximise_likelihoods", own, each).granted_seconds for each in (None, 1e-6, 3e-6)
    ]
    assert granted == pytest.approx([200 + 10 * LIMIT, 200 + 2 * LIMIT, 600 + 2 * LIMIT])


def test_another_simulator_has_no_times_yet():
    own = study()
    solve_a_chunk(own)
    assert measured_times("results", study(time_limit=60.0).forward) is not None
    Path("simulator.py").write_text(SIMULATOR + "\nCHANGED = True\n")
    assert measured_times("results", own.forward) is None


def test_calls_that_are_stopped_count_and_a_damaged_file_does_not():
    file = Path("results", "times.json")
    with SolveTimer(file) as timer:
        timer.add(0, 60.0)
    assert not file.exists()
    with SolveTimer(file) as timer:
        timer.add(0, 60.0)
        timer.add(4, 20.0)
    assert solve_times_of(file).each == 20.0
    file.write_text('{"solves": 4, "sec')
    assert solve_times_of(file) is None
    assert not list(file.parent.glob(".*.partial"))


def test_what_is_known_of_a_solver_is_not_measured():
    bar = study().model_copy(update={"forward": forward_section({"kind": "elastodynamics"})})
    assert not bar.forward.cost().guess
    assert measured_times("results", bar.forward) is None


def test_the_plan_says_what_is_known():
    def told(command: str) -> str:
        return ran(command, "config.yaml")

    assumed = "own: a solve is assumed to take 36 s"
    assert assumed in told("plan")
    chunk = re.compile(r"^solve_chunk +352 +(\S+ \S+) +\S+ MB +(\S+) +\S+ +1$", re.MULTILINE)
    before = chunk.search(told("plan"))
    with SolveTimer(solve_times_file("results", study().forward)) as timer:
        timer.add(4, 12.0)
    measured = "own: a solve takes 3 s, the mean of 4 measured solves; requests follow it"
    assert measured in told("plan")
    after = chunk.search(told("plan"))
    assert (before[1], after[1]) == ("6 min", "33 s")
    # Twice the time, and the time limits of ten solves or, once it is measured, of two.
    assert (before[2], after[2]) == ("615", "125")


# The process that solves is killed in its first attempt, after it has measured for a while.
KILLED = """
import os, signal, time
from pathlib import Path
import numpy as np

def solve(z):
    time.sleep(1.5)
    with Path("calls").open("a") as file:
        file.write("call\\n")
    if len(Path("calls").read_text().split()) == 6:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return z @ np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
"""


@pytest.mark.full
def test_a_killed_chunk_asks_by_what_it_has_measured_and_no_result_is_made_again(tmp_path: Path):
    Path("simulator.py").write_text(KILLED)
    config = copy.deepcopy(CONFIG)
    config["studies"]["own"]["forward"] |= {"rows_per_call": 1}
    config["studies"]["own"]["active_learning"] |= {"first_design": 10, "chunk_size": 10}
    workflow = Workflow(tmp_path)
    workflow.configure(config)
    target = "results/own/rounds/0/chunks/0.zarr.zip"
    workflow.printed(target, "--retries", "1", "--benchmark-extended")
    own = load(config).studies["own"]
    # Five solves of the first attempt, which were kept, and five of the second.
    assert measured_times("results", own.forward).solves >= 7
    # The second attempt asks for twice as much as a first would, by what was measured.
    lines = Path("results/own/benchmarks/solve_chunk.0.0.tsv").read_text().splitlines()
    (row,) = csv.DictReader(lines, delimiter="\t")
    asked = json.loads(row["resources"].replace("'", '"'))["runtime"]
    assert asked == 2 * minutes_of(own, measured_times("results", own.forward).each)
    assert asked < minutes_of(own, None)
    # Other requests make no result again.
    again = workflow.run(target, "--dry-run")
    assert "Nothing to be done" in again.stdout, again.stdout
