"""A solve has a time limit; a call that exceeds its own loses only the systems at fault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from external_sections import problem, section
from tiers import parameters

from popinv.forward.external.evaluation import CallLimit

# It notes the systems of each call. A system with b = 1 never ends.
SIMULATOR = """
import time
from pathlib import Path
import numpy as np

def solve(z):
    with Path("calls").open("a") as file:
        file.write(f"{len(z)}\\n")
    if (z[:, 1] == 1).any():
        time.sleep(600)
    return np.stack([z[:, 0], z[:, 0] ** 2, z[:, 1]], axis=1)
"""
PROGRAM = """
import sys
sys.path.insert(0, ".")
import numpy as np
from hanging import solve
np.save(sys.argv[2], solve(np.load(sys.argv[1])))
"""
KINDS: dict[str, dict[str, Any]] = {
    "python": {"kind": "python", "function": "hanging:solve"},
    "executable": {
        "kind": "executable",
        "command": ["{python}", "program.py", "{input}", "{output}"],
        "format": "npy",
    },
}


@pytest.fixture(autouse=True)
def _files(in_folder: Path) -> None:
    Path("hanging.py").write_text(SIMULATOR)
    Path("program.py").write_text(PROGRAM)


def kept() -> Iterator[dict[str, Any]]:
    for file in Path("journal").rglob("*.jsonl"):
        yield from map(json.loads, file.read_text().splitlines())


@parameters("kind", ["python"], full=[kind for kind in KINDS if kind != "python"])
def test_of_eight_systems_in_a_call_the_one_without_end_is_lost(kind: str):
    z = np.column_stack([np.linspace(1.0, 2.0, 8), np.zeros(8)])
    z[5, 1] = 1
    # Without a limit of its own, the call of all of them would wait for eight times a second.
    own = section(**KINDS[kind], time_limit=1, call_time_limit=2)
    model = own.model(1)
    with model.journal("journal", 0.0):
        solutions = model.solve(z)
    good = np.arange(8) != 5
    np.testing.assert_array_equal(solutions.failed, ~good)
    assert solutions.reason[5] == "time limit of a solve: 1 s"
    np.testing.assert_allclose(solutions.observations[good, 1], z[good, 0] ** 2)
    # One alone, all of them, each alone, and one more, of which the answers are compared.
    assert Path("calls").read_text().split() == ["1", "8", *"11111111", "1"]
    found = {entry["key"]: entry["reason"] for entry in kept()}
    assert sorted(found.values()) == [""] * 7 + ["time limit of a solve: 1 s"]
    # Nothing is solved again.
    with model.journal("journal", 0.0):
        again = model.solve(z)
    np.testing.assert_array_equal(again.observations, solutions.observations)
    assert len(Path("calls").read_text().split()) == 11


@pytest.mark.full
def test_where_all_hang_no_call_of_many_is_made():
    z = np.column_stack([np.linspace(1.0, 2.0, 4), np.ones(4)])
    own = section(**KINDS["python"], time_limit=0.5)
    assert own.model(1).solve(z).failed.all()
    assert Path("calls").read_text().split() == list("1111")


def test_a_call_may_take_the_limits_of_its_systems_together():
    assert CallLimit(60.0).seconds(1) == 60.0
    assert CallLimit(60.0).seconds(8) == 480.0
    assert CallLimit(60.0, 100.0).seconds(8) == 100.0
    assert CallLimit(60.0, 100.0).seconds(1) == 60.0


def test_a_call_of_quick_solves_may_take_ten_times_as_long_as_they_do():
    limit = CallLimit(60.0)
    limit.ended(1, 3.0)
    assert limit.seconds(8) == 240.0
    limit.ended(8, 16.0)  # These were quicker.
    assert limit.seconds(8) == 240.0
    assert limit.seconds(100) == 3000.0
    # Each system still has its whole limit, and no call has less.
    assert limit.seconds(1) == limit.seconds(2) == 60.0
    # Slow ones have the sum of their limits, and not more.
    limit.ended(1, 59.0)
    assert limit.seconds(8) == 480.0


def test_a_limit_of_calls_below_that_of_solves_is_refused():
    told = problem(**KINDS["python"], time_limit=60, call_time_limit=30)
    assert "call_time_limit" in told
    assert "one solve may take 60 s ('time_limit')" in told
    assert section(**KINDS["python"], time_limit=60, call_time_limit=60).longest_call() == 60


def test_a_server_has_one_system_in_a_call():
    told = problem(kind="umbridge", url="http://localhost:1", call_time_limit=60)
    assert "call_time_limit" in told
