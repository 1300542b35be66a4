"""A program of one's own: files in and out, and what becomes of its failures."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from external_sections import refused, section
from tiers import patient

from popinv.errors import SolverError
from popinv.forward.executable.model import read_output
from popinv.forward.external import messages

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
def _files(in_folder: Path) -> None:
    for name, code in (("program", PROGRAM), ("npy", NPY)):
        Path(name).write_text(f"#!{sys.executable}\n" + textwrap.dedent(code))
        Path(name).chmod(0o755)


def model(mode: str = "plain", seed: int = 1, **keys: Any):
    command = ["./program", "{input}", "{output}", mode]
    keys = {"command": command, "time_limit": 20, **keys}
    return section(kind="executable", **keys).model(seed)


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
    header, first, *_ = Path("input_seen.csv").read_text().splitlines()
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
    assert list(model(time_limit=1).solve(z).reason) == ["", "", "time limit of a solve: 1 s"]


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
    with refused(SolverError, *parts):
        model(mode).solve(GOOD)


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


# --- limits -------------------------------------------------------------------------------------


def shell(script: str, **keys: Any):
    """Return a model whose program is a shell script, with the output file as $2."""
    Path("script").write_text(f"#!/bin/sh\n{script}\n")
    Path("script").chmod(0o755)
    return model(command=["./script", "{input}", "{output}"], **keys)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until_gone(target: int | Path, seconds: float = 20.0) -> None:
    """Wait for the end of a process, or for a folder to be deleted."""
    deadline = time.monotonic() + patient(seconds)
    while target.exists() if isinstance(target, Path) else is_running(target):
        assert time.monotonic() < deadline, f"{target} is still there"
        time.sleep(0.05)


def test_a_pipe_in_the_place_of_the_output_is_not_waited_for() -> None:
    with pytest.raises(SolverError, match="not a regular file"):
        shell('mkfifo "$2"').solve(GOOD[:1])


def test_an_output_beyond_all_measure_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "LARGEST_ANSWER", 1000)
    with pytest.raises(SolverError, match=r"2000 bytes, but at most 1000.*rows_per_call"):
        shell('head -c 2000 /dev/zero > "$2"').solve(GOOD[:1])


def test_an_output_may_have_64_characters_for_each_number_and_a_megabyte() -> None:
    with pytest.raises(SolverError, match=r"2000000 bytes, but at most 1048768 .* for 3 numbers"):
        shell('head -c 2000000 /dev/zero > "$2"').solve(GOOD[:1])
    assert not shell('printf "%060d,2,3\\n" 1 > "$2"').solve(GOOD[:1]).failed.any()


def test_an_npy_file_that_promises_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    head = io.BytesIO()
    promised = {"descr": "<f8", "fortran_order": False, "shape": (10**15, 3)}
    np.lib.format.write_array_header_1_0(head, promised)
    (tmp_path / "output.npy").write_bytes(head.getvalue() + bytes(80))
    with pytest.raises(SolverError, match=r"not a \.npy file of numbers"):
        read_output(tmp_path / "output.npy")


def test_what_a_program_leaves_in_the_background_ends_with_the_call() -> None:
    solve = shell('sleep 600 & echo $! >> pids; echo "1,2,3" > "$2"').solve
    assert not solve(GOOD[:1]).failed.any()
    for pid in map(int, Path("pids").read_text().split()):
        wait_until_gone(pid)


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM])
def test_a_program_what_it_started_and_its_files_go_when_the_job_is_killed(
    tmp_path: Path, way: signal.Signals
) -> None:
    shell("sleep 600 & echo $! $$ > pids; wait", time_limit=600)
    Path("temporary").mkdir()
    code = """
        import numpy as np, sys
        from popinv.forward.executable.model import Program
        command = ["./script", "{input}", "{output}"]
        Program(command, ["a"], "csv", False).call(np.ones((1, 1)), np.ones(1), 600.0)
    """
    job = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
    )
    deadline = time.monotonic() + patient(60)
    while not Path("pids").exists() or len(Path("pids").read_text().split()) < 2:
        assert time.monotonic() < deadline
        assert job.poll() is None
        time.sleep(0.05)
    # The watchman has been told by then, a moment after the start.
    time.sleep(0.5)
    pids = [int(pid) for pid in Path("pids").read_text().split()]
    assert all(map(is_running, pids))
    (folder,) = Path("temporary").iterdir()
    assert [file.name for file in folder.iterdir()] == ["input.csv"]
    if way == signal.SIGTERM:
        # As a cluster does: the watchman is asked to leave too.
        for child in Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split():
            if b"killpg" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(int(child), way)
    job.send_signal(way)
    job.wait()
    for gone in (*pids, folder):
        wait_until_gone(gone)


def test_no_process_stays_behind() -> None:
    assert not model(parallel=2, rows_per_call=3).solve(GOOD).failed.any()
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert not [pid for pid in children if b"killpg" in Path(f"/proc/{pid}/cmdline").read_bytes()]
