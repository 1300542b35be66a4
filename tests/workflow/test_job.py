"""The frame of a script: what is in its log, however it ends."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import pytest
from tiny_study import ROOT

from popinv.errors import DataError
from popinv.workflow.job import job, killed_jobs

SCRIPTS = sorted((ROOT / "workflow" / "scripts").glob("*.py"))


def rule(folder, name: str = "solve") -> SimpleNamespace:
    log = str(folder / "study" / "logs" / f"{name}.log")
    return SimpleNamespace(log=[log], rule=name, output={}, threads=1)


def log_of(folder, name: str = "solve") -> list[str]:
    return (folder / "study" / "logs" / f"{name}.log").read_text().splitlines()


def test_a_log_has_a_beginning_what_was_said_and_an_end(tmp_path):
    with job(rule(tmp_path)):
        print("half way")
    first, said, last = log_of(tmp_path)
    assert first.startswith(f"solve: started, process {os.getpid()}")
    assert said == "half way"
    assert last.startswith("solve: done in ")
    assert killed_jobs(tmp_path, since=0) == ""


def test_the_collector_waits_for_imports_and_leaves_modules_alone(tmp_path):
    code = """
        import gc, sys
        from types import SimpleNamespace
        from popinv.workflow.script import stage
        assert not gc.isenabled()
        rule = SimpleNamespace(
            log=[sys.argv[1]], rule="solve", output={}, threads=1, params={}, wildcards={}
        )
        with stage(rule):
            assert gc.isenabled()
            assert gc.get_freeze_count() > 10_000
    """
    log = str(tmp_path / "solve.log")
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), log], check=True)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_of_stages_import_their_frame_first(script):
    modules = [
        node.module
        for node in ast.parse(script.read_text()).body
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("popinv")
    ]
    frames = {"popinv.workflow.stage", "popinv.workflow.script"} & set(modules)
    assert not frames or modules[0] == "popinv.workflow.script"


def test_an_error_of_the_package_is_its_message_alone(tmp_path, capsys):
    with pytest.raises(SystemExit), job(rule(tmp_path)):
        raise DataError("x.zarr: is damaged")
    assert "solve: x.zarr: is damaged" in capsys.readouterr().err
    assert "solve: x.zarr: is damaged" in log_of(tmp_path)
    assert log_of(tmp_path)[-1].startswith("solve: failed after ")
    assert killed_jobs(tmp_path, since=0) == ""


def test_another_error_leaves_its_traceback_in_the_log(tmp_path):
    with pytest.raises(ZeroDivisionError), job(rule(tmp_path)):
        print(1 // 0)
    assert any("ZeroDivisionError" in line for line in log_of(tmp_path))
    assert log_of(tmp_path)[-1].startswith("solve: failed after ")


def test_memory_that_is_refused_is_told_with_advice(tmp_path, capsys):
    import numpy as np

    with pytest.raises(SystemExit), job(rule(tmp_path)):
        np.empty(2**56)
    said = capsys.readouterr().err
    assert "out of memory (Unable to allocate" in said
    assert "--set-resources" in said


def test_a_killed_job_is_found_by_its_log(tmp_path):
    code = """
        import os, signal, sys
        from types import SimpleNamespace
        from popinv.workflow.job import job
        with job(SimpleNamespace(log=[sys.argv[1]], rule="train", output={}, threads=1)):
            print("half way")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    path = tmp_path / "study" / "logs" / "train.log"
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(path)])
    assert done.returncode == -signal.SIGKILL
    # What it had said is there, though it could not close its log.
    assert log_of(tmp_path, "train")[1:] == ["half way"]
    with job(rule(tmp_path)):
        pass
    said = killed_jobs(tmp_path, since=0)
    for part in ("1 job was killed", "lack of memory", f"  {path}\n", "--set-resources"):
        assert part in said
    assert "solve.log" not in said
    # One that was killed before it opened its log is known from Snakemake alone.
    (tmp_path / "snakemake.log").write_text(
        "Command 'set -euo pipefail;  python tmp1.draw.py' died with <Signals.SIGKILL: 9>.\n"
        "Error in rule draw:\n    jobid: 5\n    log: results/study/logs/draw.log (check log file)\n"
    )
    said = killed_jobs(tmp_path, 0, [tmp_path / "snakemake.log", tmp_path / "none.log"])
    for part in ("2 jobs were killed", "  results/study/logs/draw.log\n", f"  {path}\n"):
        assert part in said
    assert killed_jobs(tmp_path, since=time.time() + 60) == ""


def test_jobs_that_were_interrupted_from_the_keyboard_are_no_riddle(tmp_path):
    told = tmp_path / "snakemake.log"
    text = "died with <Signals.{}>.\nError in rule a:\n    log: results/study/logs/a.log\n"
    told.write_text(text.format("SIGINT: 2"))
    assert killed_jobs(tmp_path, 0, [told]) == ""
    told.write_text(text.format("SIGTERM: 15"))
    assert "results/study/logs/a.log" in killed_jobs(tmp_path, 0, [told])


def test_a_log_that_cannot_be_written_does_not_stop_the_job(tmp_path, capsys):
    done = []
    with job(rule(tmp_path)):
        # As on a full disk, where opening a file still works.
        def full(text: str) -> int:
            raise OSError(28, "No space left on device")

        sys.stdout._log = SimpleNamespace(write=full, flush=lambda: full(""))
        print("heard")
        sys.stdout.flush()
        done.append(True)
    assert done
    assert "heard" in capsys.readouterr().out
