"""A program of one's own: files in and out, and what becomes of its failures."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from external_sections import section

from popinv.errors import SolverError
from popinv.forward.build import forward_model

# b chooses what happens to a system; 0 is a good one. Without NumPy, so that it starts fast.
PROGRAM = """
    import csv, os, random, sys, time

    source, target, mode = sys.argv[1:]
    rows = list(csv.DictReader(open(source)))
    with open("input_seen.csv", "a") as seen:
        seen.write(open(source).read())
    for row in rows:
        b = float(row["b"])
        if b == 1:
            print("reading the mesh", flush=True)
            sys.exit("no convergence\\nafter 7 steps")
        if b == 2:
            os.abort()
        if b == 4:
            time.sleep(60)
    if mode == "silent":
        sys.exit()
    with open(target, "w") as output:
        if mode == "names":
            output.write("u,v,w\\n")
        if mode == "short":
            rows = rows[:-1]
        for row in rows:
            a = float(row["a"])
            cells = [a, a * a, -a] if float(row["b"]) != 6 else [a, float("nan"), -a]
            if "seed" in row:
                cells[2] = random.Random(int(row["seed"])).random()
            if mode == "words":
                cells[1] = "big"
            if mode == "ragged" and len(rows) > 1 and row is rows[-1]:
                cells = cells[:2]
            separator = "  " if mode == "spaces" else ","
            output.write(separator.join(map(str, cells)) + "\\n")
"""
NPY = """
    import sys
    import numpy as np

    z = np.load(sys.argv[1])
    np.save(sys.argv[2], np.stack([z[:, 0], z[:, 0] ** 2, -z[:, 0]], axis=1))
"""
GOOD = np.column_stack([np.random.default_rng(0).normal(size=9), np.zeros(9)])


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, code in (("program", PROGRAM), ("npy", NPY)):
        Path(name).write_text(f"#!{sys.executable}\n" + textwrap.dedent(code))
        Path(name).chmod(0o755)


def model(mode: str = "plain", seed: int = 1, **keys: Any):
    command = ["./program", "{input}", "{output}", mode]
    keys = {"command": command, "time_limit": 20, **keys}
    return forward_model(section(kind="executable", **keys), seed)


def expected(z: np.ndarray) -> np.ndarray:
    return np.stack([z[:, 0], z[:, 0] ** 2, -z[:, 0]], axis=1)


@pytest.mark.parametrize("mode", ["plain", "names", "spaces"])
def test_numbers_pass_both_ways_without_loss(mode: str) -> None:
    solutions = model(mode).solve(GOOD)
    assert not solutions.failed.any()
    # Bit for bit: 17 digits there, Python's shortest exact form back.
    np.testing.assert_array_equal(solutions.observations, expected(GOOD))


def test_the_npy_format() -> None:
    command = ["./npy", "{input}", "{output}"]
    solutions = model(command=command, format="npy").solve(GOOD)
    np.testing.assert_array_equal(solutions.observations, expected(GOOD))


def test_rows_do_not_depend_on_how_they_are_called() -> None:
    whole = model(pass_seed=True).solve(GOOD, "solve/0", 5)
    parts = model(pass_seed=True, rows_per_call=2, parallel=2).solve(GOOD, "solve/0", 5)
    np.testing.assert_array_equal(parts.observations, whole.observations)
    assert len(np.unique(whole.observations[:, 2])) == len(GOOD)
    later = model(pass_seed=True).solve(GOOD[4:], "solve/0", 9)
    np.testing.assert_array_equal(later.observations, whole.observations[4:])


def test_the_seed_is_a_column_only_where_asked_for() -> None:
    model().solve(GOOD[:1])
    assert Path("input_seen.csv").read_text().splitlines()[0] == "a,b"
    Path("input_seen.csv").unlink()
    model(pass_seed=True).solve(GOOD[:1])
    header, first = Path("input_seen.csv").read_text().splitlines()
    assert header == "a,b,seed"
    assert 0 <= int(first.split(",")[2]) < 2**31


def test_bad_rows_are_isolated_with_their_reasons() -> None:
    z = GOOD.copy()
    z[[1, 2, 6], 1] = 1, 2, 6
    solutions = model().solve(z)
    good = np.array([i not in (1, 2, 6) for i in range(len(z))])
    np.testing.assert_array_equal(solutions.failed, ~good)
    np.testing.assert_array_equal(solutions.observations[good], expected(z[good]))
    assert solutions.reason[1] == (
        "the process ended with exit status 1: reading the mesh | no convergence | after 7 steps"
    )
    assert solutions.reason[2].startswith("the process died (signal 6, SIGABRT)")
    assert solutions.reason[6] == "the simulator returned a value that is not finite"


def test_a_row_without_end_is_stopped() -> None:
    z = GOOD[:3].copy()
    z[2, 1] = 4
    assert list(model(time_limit=1).solve(z).reason) == ["", "", "time limit of 1 s"]


def test_a_program_that_writes_nothing_fails_row_by_row() -> None:
    assert set(model("silent").solve(GOOD[:3]).reason) == {"the program wrote no output file"}


@pytest.mark.parametrize(
    ("mode", "parts"),
    [
        ("words", ["output, line 1", "'big'"]),
        ("ragged", ["output, line 9", "has 2 columns", "have 3"]),
        ("short", ["shape (0, 0)", "(1, 3) is expected"]),
    ],
)
def test_an_output_that_is_no_table_is_refused(mode: str, parts: list[str]) -> None:
    with pytest.raises(SolverError) as caught:
        model(mode).solve(GOOD)
    for part in parts:
        assert part in str(caught.value)


def test_no_shell_reads_the_command() -> None:
    command = ["./program", "{input}", "{output}", "$(touch broken); `touch broken` *"]
    assert not model(command=command).solve(GOOD[:1]).failed.any()
    assert not Path("broken").exists()


def test_files_go_with_the_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import tempfile

    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    model().solve(GOOD)
    assert not os.listdir(folder)
