"""Solves that take long are kept as they end, and are not repeated."""

from __future__ import annotations

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

from popinv.forward.external.journal import Journal, simulator_key
from popinv.forward.section import ForwardSection, forward_section
from popinv.forward.stages.solve_chunk import solve_chunk
from popinv.store.variables import variable

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
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slow.py").write_text(SIMULATOR)
    return tmp_path


def section(**keys: Any) -> ForwardSection:
    return forward_section(
        {
            "kind": "python",
            "function": "slow:solve",
            "rows_per_call": 1,
            "parameters": ["a"],
            "observations": {"count": 2},
            **keys,
        }
    )


def proposals(count: int) -> xr.Dataset:
    z = np.linspace(0.01, 1.0, count)[:, None]
    coords = {"parameter": variable("parameter", np.array(["a"]), "parameter")}
    return xr.Dataset({"z": variable(("sample", "parameter"), z, "parameters")}, coords=coords)


def solved(count: int = 20, size: int | None = None, chunk: int = 0, **keys: Any) -> xr.Dataset:
    return solve_chunk(
        section(**keys),
        proposals(count),
        seed=1,
        round_name="0",
        chunk=chunk,
        chunk_size=size,
        journal=("journal", 0.001),
    )


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
        sys.path.insert(0, {folder!r})
        from test_journal import solved
        solved(60)
    """
    code = textwrap.dedent(code).format(folder=str(Path(__file__).parent))
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
    for seeded in (False, True):
        own = forward_section(
            {
                "kind": "executable",
                "command": ["./program"],
                "files": ["program"],
                "pass_seed": seeded,
                "parameters": ["a"],
                "observations": {"count": 2},
            }
        )
        journal = Journal("journal", own, 0.0)
        journal.keep(z, seeds, y, reasons, 1.0)
        journal.close()
        values, _, known = Journal("journal", own, 0.0).look_up(z, seeds, 2)
        assert known.all()
        np.testing.assert_array_equal(values, y)
        other = Journal("journal", own, 0.0).look_up(z, np.array([8]), 2)[2]
        assert other.all() != seeded
