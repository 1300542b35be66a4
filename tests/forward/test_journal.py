"""Solves that take long are kept as they end, and are not repeated."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from tiers import parameters

from popinv.forward.external.journal import FOLDER, Journal, simulator_key
from popinv.forward.section import ForwardSection, forward_section
from popinv.forward.stages.solve_chunk import solve_chunk
from popinv.store.variables import variable
from popinv.workflow.comparison import verify

# It notes each call, is slow, and fails for large parameters.
SIMULATOR = """
import time
from pathlib import Path
import numpy as np

def solve(z):
    with Path("calls").open("a") as file:
        file.write(f"{z[0, 0]!r}\\n")
    time.sleep(0.02)
    if z[0, 0] > 0.9:
        raise ValueError("too large")
    return np.stack([z[:, 0], z[:, 0] ** 2], axis=1)
"""


@pytest.fixture(autouse=True)
def here(in_folder: Path) -> Path:
    (in_folder / "slow.py").write_text(SIMULATOR)
    return in_folder


ONE = {"parameters": ["a"], "observations": {"count": 2}}
SLOW = {"kind": "python", "function": "slow:solve", "rows_per_call": 1, **ONE}


def section(**keys: Any) -> ForwardSection:
    return forward_section({**SLOW, **keys})


def proposals(count: int) -> xr.Dataset:
    z = np.linspace(0.01, 1.0, count)[:, None]
    coords = {"parameter": variable("parameter", np.array(["a"]), "parameter")}
    return xr.Dataset({"z": variable(("sample", "parameter"), z, "parameters")}, coords=coords)


def solved(count: int = 20, size: int | None = None, chunk: int = 0, **keys: Any) -> xr.Dataset:
    part = {"chunk": chunk, "chunk_size": size, "journal": ("journal", 0.001)}
    return solve_chunk(section(**keys), proposals(count), seed=1, round_name="0", **part)


# A job of several systems that has any to solve solves two of them twice.
TWICE = 2


def calls() -> int:
    return len(Path("calls").read_text().splitlines()) if Path("calls").exists() else 0


def test_what_was_solved_is_not_solved_again_and_is_the_same():
    first = solved()
    assert calls() == 20 + TWICE
    xr.testing.assert_identical(solved(), first)
    assert calls() == 20 + TWICE
    # Failures are kept too, with their reasons.
    assert int(np.isnan(first["y"].values).any(axis=1).sum()) == 2


def test_chunks_of_another_size_repeat_none():
    whole = solved()
    parts = xr.concat([solved(size=8, chunk=k) for k in range(3)], "sample", data_vars="minimal")
    assert calls() == 20 + TWICE
    np.testing.assert_array_equal(parts["y"].values, whole["y"].values)


def test_a_changed_simulator_or_section_starts_anew():
    solved()
    Path("slow.py").write_text(SIMULATOR.replace("** 2", "** 3"))
    changed = solved()
    assert calls() == 2 * (20 + TWICE)
    np.testing.assert_allclose(changed["y"].values[0, 1], 0.01**3)
    # What has no part in the answer changes nothing.
    solved(parallel=2, retries=3)
    assert calls() == 2 * (20 + TWICE)


def test_a_module_that_was_moved_is_the_same_simulator(here):
    (here / "rates.csv").write_text("1\n")
    solved(files=["rates.csv"])
    before = calls()
    (here / "models").mkdir()
    (here / "slow.py").rename(here / "models" / "slow.py")
    first = solved(files=["rates.csv"], path="models")
    assert calls() == before
    xr.testing.assert_identical(first, solved(files=["rates.csv"], path="models"))
    (here / "rates.csv").write_text("2\n")
    solved(files=["rates.csv"], path="models")
    assert calls() > before


def test_a_failure_is_tried_again_under_a_longer_limit():
    solved(time_limit=5.0)
    solved(time_limit=4.0)
    assert calls() == 20 + TWICE
    solved(time_limit=6.0)
    # The two that failed, and one of the others, whose answer is compared with the one kept.
    assert calls() == 20 + TWICE + 3


def test_solves_that_take_less_are_not_kept():
    solve_chunk(section(), proposals(3), seed=1, round_name="0", journal=("journal", 10.0))
    assert not Path("journal").exists()
    solved(3)
    assert calls() == 2 * (3 + TWICE)


def test_a_killed_job_loses_the_solve_under_way_alone():
    code = """
        import sys
        sys.path[:0] = {folders!r}
        from test_journal import solved
        solved(60)
    """
    folders = [str(folder) for folder in Path(__file__).parents[:2]]
    code = textwrap.dedent(code).format(folders=folders)
    job = subprocess.Popen([sys.executable, "-c", code])
    while calls() < 10:
        assert job.poll() is None
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    job.wait()
    begun = calls()
    assert begun < 60
    # The simulator's own process may have gone on to the end of its call.
    time.sleep(0.2)
    again = solved(60)
    assert calls() <= 61 + 2 * TWICE
    assert int(np.isfinite(again["y"].values).all(axis=1).sum()) == 54


def test_a_line_that_was_cut_off_is_not_read(here):
    whole = solved(5)
    (file,) = (here / "journal" / simulator_key(section())).iterdir()
    text = file.read_text()
    file.write_text(text[: len(text) - 30])
    before = calls()
    xr.testing.assert_identical(solved(5), whole)
    # One was solved again, and the answers of two were compared.
    assert calls() <= before + 1 + TWICE


def test_the_seed_counts_where_the_simulator_takes_one(here):
    program = here / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    z, y = np.array([[0.5]]), np.array([[1.0, 2.0]])
    reasons, seeds = np.array([""], dtype=object), np.array([7])
    given = {"kind": "executable", "command": ["./program"], "files": ["program"], **ONE}
    for seeded in (False, True):
        own = forward_section({**given, "pass_seed": seeded})
        journal = Journal("journal", own, 0.0)
        journal.keep(z, seeds, y, reasons, 1.0)
        journal.close()
        values, _, known = Journal("journal", own, 0.0).look_up(z, seeds, 2)
        assert known.all()
        np.testing.assert_array_equal(values, y)
        other = Journal("journal", own, 0.0).look_up(z, np.array([8]), 2)[2]
        assert other.all() != seeded


@pytest.fixture
def one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute the key of the simulator once, for which its files are read."""
    key = simulator_key(section())
    monkeypatch.setattr("popinv.forward.external.journal.simulator_key", lambda section: key)


def kept(folder: Path, count: int = 12) -> tuple[Path, dict[str, np.ndarray]]:
    """Return the file of a journal, and what it was given."""
    rng = np.random.default_rng(5)
    given = {
        "z": rng.standard_normal((count, 1)),
        "seeds": np.arange(count),
        "values": rng.standard_normal((count, 2)),
        "reasons": np.array(["" if i % 4 else f"no root {i}" for i in range(count)], dtype=object),
    }
    given["values"][given["reasons"] != ""] = np.nan
    journal = Journal(folder, section(), 0.0)
    journal.keep(**given, seconds=60.0)
    journal.close()
    (file,) = (folder / simulator_key(section())).iterdir()
    return file, given


def damaged(content: bytes, rng: random.Random) -> tuple[bytes, int]:
    """Return the content of a journal with one thing changed, and the lines that may be lost."""
    kind, lines = rng.randrange(7), content.splitlines(keepends=True)
    one, other = rng.sample(range(len(lines)), 2)
    if kind <= 1:
        changed = bytearray(content)
        changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        # The end of a line may be hit, which belongs to two.
        return bytes(changed), 2
    if kind == 2:
        return content[: rng.randrange(len(content))], len(lines)
    if kind == 3:
        cut = rng.randrange(len(content))
        return content[:cut] + content[cut + rng.randrange(1, 40) :], 3
    if kind == 4:
        return b"".join([*lines, lines[one]]), 0
    if kind == 5:
        lines[one], lines[other] = lines[other], lines[one]
        return b"".join(lines), 0
    # What a line says of one system is said of another.
    changed = json.loads(lines[one])
    lines[one] = json.dumps(changed | {"key": json.loads(lines[other])["key"]}).encode() + b"\n"
    return b"".join(lines), 1


def read_again(own: ForwardSection, given: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return Journal("journal", own, 0.0).look_up(given["z"], given["seeds"], 2)


@pytest.mark.usefixtures("one_key")
@parameters("cases", [200], full=[1000])
def test_a_damaged_journal_gives_what_was_kept_or_nothing(here, cases):
    file, given = kept(here / "journal")
    content, rng, own = file.read_bytes(), random.Random(cases), section()
    for _ in range(cases):
        changed, lost = damaged(content, rng)
        file.write_bytes(changed)
        values, reasons, known = read_again(own, given)
        np.testing.assert_array_equal(values[known], given["values"][known])
        np.testing.assert_array_equal(reasons[known], given["reasons"][known])
        assert np.isnan(values[~known]).all()
        assert (~known).sum() <= lost


@pytest.mark.full
@pytest.mark.usefixtures("one_key")
def test_no_single_bit_gives_another_value(here):
    file, given = kept(here / "journal", 3)
    content, own = file.read_bytes(), section()
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        values, _, known = read_again(own, given)
        np.testing.assert_array_equal(values[known], given["values"][known])
        assert 1 <= known.sum() < 3 or changed.count(b"\n") == 2


def test_damaged_lines_are_told_once_and_their_solves_are_repeated(here, capsys):
    whole = solved(5)
    (file,) = (here / "journal" / simulator_key(section())).iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"reason": ""', b'"reason": " "')
    lines[3] = b"\xff\xfe\n"
    file.write_bytes(b"".join(lines))
    capsys.readouterr()
    xr.testing.assert_identical(solved(5), whole)
    # Each of the two jobs solves two systems again, to compare their answers.
    assert calls() == 5 + 2 + 2 * 2
    told = capsys.readouterr().out
    assert told.count("2 lines are damaged, or without the checksum") == 1


def test_a_journal_without_checksums_is_solved_again(here, capsys):
    whole = solved(5)
    (file,) = (here / "journal" / simulator_key(section())).iterdir()
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    for entry in entries:
        del entry["sha256"]
    file.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    xr.testing.assert_identical(solved(5), whole)
    # Each of the two jobs solves two systems again, to compare their answers.
    assert calls() == 5 + 5 + 2 * 2
    assert "5 lines are damaged, or without the checksum" in capsys.readouterr().out


def test_a_file_of_another_simulator_is_not_believed(here):
    file, given = kept(here / "journal")
    other = section(observations={"count": 2, "logarithm": True})
    folder = here / "journal" / simulator_key(other)
    folder.mkdir()
    file.rename(folder / file.name)
    known = Journal(here / "journal", other, 0.0).look_up(given["z"], given["seeds"], 2)[2]
    assert not known.any()


def test_a_file_that_cannot_be_read_is_told(here, capsys):
    _, given = kept(here / "journal")
    (here / "journal" / simulator_key(section()) / "folder.jsonl").mkdir()
    known = Journal(here / "journal", section(), 0.0).look_up(given["z"], given["seeds"], 2)[2]
    assert known.all()
    assert "folder.jsonl: cannot be read (it is not a file)" in capsys.readouterr().out


def test_an_answer_is_found_whatever_failed_before_or_after_it(here):
    z, seeds, none = np.array([[0.5]]), np.array([7]), np.array([[np.nan, np.nan]])
    answers = {3.0: (none, "time"), 6.0: (np.array([[1.0, 2.0]]), ""), 4.0: (none, "time")}
    for limit, (y, reason) in answers.items():
        journal = Journal("journal", section(time_limit=limit), 0.0)
        journal.keep(z, seeds, y, np.array([reason], dtype=object), 1.0)
        journal.close()
    values, _, known = Journal("journal", section(time_limit=5.0), 0.0).look_up(z, seeds, 2)
    assert known.all()
    np.testing.assert_array_equal(values, [[1.0, 2.0]])


def test_verification_names_the_damaged_lines(here):
    file, _ = kept(here / "results" / FOLDER)
    assert [verdict.state for verdict in verify("results")] == ["whole"]
    lines = file.read_bytes().splitlines(keepends=True)
    lines[1], lines[4] = lines[1][1:], lines[4].upper()
    # The last one is that of a job that was killed.
    file.write_bytes(b"".join(lines)[:-5])
    (verdict,) = verify("results")
    assert (verdict.state, verdict.path) == ("damaged", str(file.relative_to(here)))
    assert verdict.why.startswith("lines 2, 5 without their checksum. These solves are repeated")
