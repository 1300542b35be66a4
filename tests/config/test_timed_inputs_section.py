"""The section ``forward.inputs``: what follows from its table, and what a study refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from study_sections import long_table

from popinv.config.data_files import check_data_files
from popinv.config.loading import load
from popinv.errors import ConfigError, DataError
from popinv.surrogate.exact import of_section

pytestmark = pytest.mark.usefixtures("in_folder")

ONE = {"mean": 0.0, "standard_deviation": 1.0}
MODULE = """
import numpy as np


def solve(z, times, inputs):
    given = np.asarray(times)[..., None] >= inputs["time"][:, None]
    sums = (given * inputs["amount"][:, None]).sum(2)
    return z[:, :1] * sums + z[:, 1:] ** 2


def of_one(z, times, inputs):
    return [z[0] * inputs["amount"][inputs["time"] <= t].sum() + z[1] ** 2 for t in times]


def noisy(z, times, inputs, seeds):
    return solve(z, times, inputs)
"""
PROGRAM = """
import csv, sys

rows = list(csv.DictReader(open(sys.argv[1])))
with open(sys.argv[2], "w") as out:
    for row in rows:
        events = [
            (float(row[f"inputs.time_{k + 1}"]), float(row[f"inputs.amount_{k + 1}"]))
            for k in range(int(float(row["inputs.events"])))
        ]
        level = float(row["b"]) ** 2
        y = [float(row["a"]) * sum(u for s, u in events if s <= t) + level for t in (1.0, 3.0)]
        print(*y, sep=",", file=out)
"""
INPUTS = {
    "file": "doses.csv",
    "system_column": "ID",
    "time_column": "TIME",
    "amount_column": "AMT",
}


@pytest.fixture(autouse=True)
def files(in_folder: Path) -> None:
    Path("simulator.py").write_text(MODULE)
    Path("program.py").write_text(PROGRAM)
    systems = [f"s{i}" for i in range(8)]
    rows = [f"{s},{t},{i}" for i, s in enumerate(systems) for t in (0, 2)] + ["s3,2.5,4"]
    Path("doses.csv").write_text("\n".join(["ID,TIME,AMT", *rows]).replace(",0\n", ",9\n"))
    seen = [f"{s},{t},{i + 2 * t}" for i, s in enumerate(systems) for t in (1, 3)]
    Path("y.csv").write_text("\n".join(["ID,TIME,DV", *seen]))


def study(forward: dict[str, Any] | None = None, **changes: Any):
    described = {
        "kind": "python",
        "function": "simulator:solve",
        "parameters": ["a", "b"],
        "inputs": INPUTS,
        "observations": {"times": [1, 3]},
        **(forward or {}),
    }
    if described["kind"] == "executable":
        del described["function"]
    keys = {
        "forward": described,
        "law": {"kind": "normal", "start": {"a": ONE, "b": ONE}},
        "noise": {"kind": "isotropic"},
        "observations": long_table("y.csv", "ID", "DV", "TIME"),
        "surrogate": {"kind": "none"},
        **changes,
    }
    return load({"seed": 1, "studies": {"mine": keys}}, "c")


EXECUTABLE = {"kind": "executable", "command": ["{python}", "program.py", "{input}", "{output}"]}


def test_columns_and_room_are_those_of_the_table():
    loaded = study()
    check_data_files(loaded)
    forward = loaded.studies["mine"].forward
    assert (forward.timed.columns, forward.timed.count) == (["amount"], 3)
    assert len(forward.inputs()) == 2 + 1 + 2 * 3
    # A configuration that states them is read without the table.
    stated = {**INPUTS, "file": "gone.csv", "columns": ["amount"], "count": 5}
    assert study({"inputs": stated}).studies["mine"].forward.timed.count == 5


def test_functions_and_programs_have_the_same_values_and_derivatives():
    z = torch.tensor([[1.5, 0.5, 2, 0, 2, 2, 3, 4, 0], [2.5, 1.5, 3, 0, 2, 2.5, 3, 4, 1]]).double()
    tangents = torch.zeros((2, 2, 9)).double()
    tangents[0, :, 0] = tangents[1, :, 1] = 1.0
    sums = np.array([[3.0, 7.0], [3.0, 8.0]])
    a, b = z[:, :1].numpy(), z[:, 1:2].numpy()
    for forward in ({}, {"function": "simulator:of_one", "vectorised": False}, EXECUTABLE):
        simulator = of_section(study(forward).studies["mine"].forward)
        y, changes = simulator.linearise(z, tangents)
        np.testing.assert_allclose(y, a * sums + b**2, rtol=1e-12)
        np.testing.assert_allclose(changes[0], sums, rtol=1e-7)
        np.testing.assert_allclose(changes[1], 2 * b * np.ones(2), rtol=1e-7)


def test_a_program_that_fails_is_told():
    Path("program.py").write_text("raise SystemExit('no licence')")
    simulator = of_section(study(EXECUTABLE).studies["mine"].forward)
    with pytest.raises(Exception, match=r"a call for 1 systems failed: .*no licence"):
        simulator(torch.ones((1, 9)).double())


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("doses.csv: there is no column 'dose'", {"inputs": {**INPUTS, "amount_column": "dose"}}),
    ("name the 'amount_column' of a dosing table", {"inputs": {**INPUTS, "amount_column": None}}),
    ("the 'columns' of doses are", {"inputs": {**INPUTS, "columns": ["rain"]}}),
]


@pytest.mark.parametrize(("message", "change"), REFUSED)
def test_keys_that_do_not_fit_the_table_are_refused(message: str, change: dict[str, Any]):
    with pytest.raises(ConfigError, match=message):
        study(change)


def test_a_network_takes_a_summary():
    given = {"inputs": {**INPUTS, "summary": ["total"]}}
    assert study(given, surrogate={"kind": "network"}).studies["mine"].forward.timed.summary


def test_a_function_with_random_numbers_is_refused():
    random = study({"function": "simulator:noisy"}).studies["mine"].forward
    with pytest.raises(Exception, match="it has an argument 'seeds'"):
        of_section(random)


def test_a_table_that_does_not_belong_is_told_with_study_and_file():
    Path("doses.csv").write_text("ID,TIME,AMT\ns0,0,1\nx,0,1\n")
    with pytest.raises(DataError, match=r"studies.mine.observations.file: y.csv: doses.csv: .*'x'"):
        check_data_files(study())
