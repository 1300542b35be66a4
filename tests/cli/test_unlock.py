"""A lock that was left behind goes; one that protects a running workflow stays."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time

import pytest

from popinv.cli import run
from popinv.cli import unlock as module
from popinv.cli.unlock import at_work, main, rule_of, why_locked


@pytest.fixture
def folder(in_folder):
    (in_folder / ".snakemake" / "locks").mkdir(parents=True)
    return in_folder


def lock(folder) -> None:
    (folder / ".snakemake" / "locks" / "0.output.lock").write_text("x\n")


def test_there_is_nothing_to_do_without_a_lock(folder, capsys):
    assert main() == 0
    assert "not locked" in capsys.readouterr().out


def test_a_stale_lock_is_taken_away(folder):
    lock(folder)
    assert main() == 0
    locks = folder / ".snakemake" / "locks"
    assert not locks.exists() or not list(locks.iterdir())


def test_a_lock_stays_while_something_is_at_work(folder, capsys):
    lock(folder)
    # A script's process, as an orphan of a killed Snakemake is seen.
    code = "import time; time.sleep(600)"
    script = folder / ".snakemake" / "scripts" / "tmp1.solve_chunk.py"
    script.parent.mkdir()
    script.write_text(code)
    process = subprocess.Popen([sys.executable, str(script)])
    try:
        for _ in range(100):
            if process.pid in at_work():
                break
            time.sleep(0.05)
        assert main() == 1
        assert process.pid not in at_work(folder.parent)
    finally:
        process.kill()
        process.wait()
    said = capsys.readouterr().err
    assert "The lock stays" in said
    assert f"  {process.pid}  a job of the rule solve_chunk\n" in said
    assert list((folder / ".snakemake" / "locks").iterdir())
    assert main() == 0


def test_a_job_is_known_by_its_rule_where_several_rules_have_one_script(tmp_path):
    script = tmp_path / "tmp1.stage.py"
    asked = {
        "input": ["results/tiny/rounds/1/solves.zarr.zip"],
        "log": ["results/tiny/logs/train_surrogate.1.log"],
        "config": {"results": "results"},
    }
    script.write_text(f"snakemake = pickle.loads({pickle.dumps(asked, protocol=4)!r})\n")
    assert rule_of(script) == "train_surrogate"
    script.write_text("from popinv.workflow.script import run_stage\n")
    assert rule_of(script) == "stage"
    assert rule_of(tmp_path / "tmp2.report.py") == "report"


def test_a_run_that_did_not_begin_says_why(folder, monkeypatch):
    assert why_locked(folder) == ""
    lock(folder)
    assert "killed or by one on another machine" in why_locked(folder)
    monkeypatch.setattr(module, "at_work", lambda folder: {7: "python -m snakemake"})
    assert "another run is at work in this directory: 7 (Snakemake)" in why_locked(folder)


def test_popinv_run_says_that_another_run_is_at_work(folder, monkeypatch, capfd):
    lock(folder)
    failed = [sys.executable, "-c", "raise SystemExit(1)"]
    started = subprocess.Popen
    monkeypatch.setattr(run.subprocess, "Popen", lambda *a, **k: started(failed, **k))
    assert run.run(None, []) == 1
    assert "popinv unlock, and run again" in capfd.readouterr().err
