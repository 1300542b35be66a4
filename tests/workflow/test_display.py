"""What `popinv run` prints: Snakemake's events as lines of steps."""

from __future__ import annotations

import io
import logging
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry
from tqdm import tqdm

from popinv.errors import DataError
from popinv.workflow.display import PLANNED, step_of
from popinv.workflow.job import PROGRESS, findings_of, job, progress_of, said_of
from popinv.workflow.stages import STAGES
from snakemake_logger_plugin_popinv import LogHandler

JOBS = [
    ("propose_parameters", {"study": "mine", "round": "0"}),
    ("solve_chunk", {"study": "mine", "round": "0", "chunk": "0"}),
    ("solve_chunk", {"study": "mine", "round": "0", "chunk": "1"}),
    ("collect_solves", {"study": "mine", "round": "0"}),
    ("deconvolve", {"study": "mine"}),
]


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> LogHandler:
    PLANNED.expect([(*each, 10.0) for each in JOBS], "5 jobs")
    return LogHandler(OutputSettings(), None)


def send(handler: LogHandler, event: LogEvent | None, level: int = logging.INFO, **fields: Any):
    fields.setdefault("msg", "")
    handler.emit(logging.makeLogRecord({"event": event, "levelno": level, **fields}))


def starts(handler: LogHandler, number: int, log: Path | str = "nowhere.log") -> None:
    rule, wildcards = JOBS[number]
    send(
        handler, LogEvent.JOB_INFO, jobid=number, rule_name=rule, wildcards=wildcards,
        rule_msg="mine, round 0: solving chunk 0", log=[str(log)],
    )  # fmt: skip


def ends(handler: LogHandler, number: int) -> None:
    send(handler, LogEvent.JOB_FINISHED, job_id=number)


def fails(handler: LogHandler, number: int, log: Path) -> None:
    # Snakemake names neither wildcards nor the message here.
    send(
        handler, LogEvent.JOB_ERROR, logging.ERROR, jobid=number, rule_name=JOBS[number][0],
        rule_msg=None, log=[str(log)],
    )  # fmt: skip


def logged(folder: Path, name: str, *lines: str) -> Path:
    file = folder / f"{name}.log"
    frame = f"{name}: started, process 1 on here", f"{name}: done in 1.0 s"
    file.write_text("\n".join([frame[0], *lines, frame[1]]) + "\n")
    return file


def test_snakemake_finds_the_plugin():
    assert LoggerPluginRegistry().get_plugin("popinv").log_handler is LogHandler


def test_a_step_is_one_line_with_what_it_found_and_its_time(handler, tmp_path, capsys):
    solved = logged(tmp_path, "solve_chunk", "500 solves, 0 failed")
    collected = logged(tmp_path, "collect_solves", "reading", "1000 solves, none failed", "")
    for number in (0, 1, 2):
        starts(handler, number, solved)
        ends(handler, number)
    starts(handler, 3, collected)
    assert capsys.readouterr().err == "5 jobs\n"
    ends(handler, 3)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "First solves           1000 solves, none failed (0 s)"


def test_a_step_waits_for_its_last_job(handler, capsys):
    for number in (0, 1):
        starts(handler, number)
    ends(handler, 0)
    ends(handler, 1)
    assert "First solves" not in capsys.readouterr().err


def test_several_studies_are_named_in_each_line(capsys):
    PLANNED.expect([("deconvolve", {"study": name}, 1.0) for name in ("one", "two")])
    handler = LogHandler(OutputSettings(), None)
    for number, name in enumerate(("one", "two")):
        send(
            handler, LogEvent.JOB_INFO, jobid=number, rule_name="deconvolve",
            wildcards={"study": name}, rule_msg=None, log=[],
        )  # fmt: skip
        ends(handler, number)
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == ["one:", "two:"]


def would_run(handler: LogHandler, rule: str, study: str, reason: str, **requests: int) -> None:
    threads = requests.pop("threads", 1)
    send(
        handler, LogEvent.JOB_INFO, jobid=1, rule_name=rule, wildcards={"study": study},
        rule_msg=None, log=[], resources={"tmpdir": "/tmp", **requests}, threads=threads,
        reason=reason,
    )  # fmt: skip


def test_a_dry_run_is_a_table_with_requests_and_reasons(capsys):
    handler = LogHandler(OutputSettings(dryrun=True), None)
    missing = "Missing output files: a; Input files updated by another job: b"
    would_run(handler, "solve_chunk", "one", missing, runtime=20, mem_mb=1900)
    would_run(handler, "solve_chunk", "one", missing, runtime=25, mem_mb=1800)
    changed = "Params have changed since last execution: before: {'a': 1}; now: {'a': 2}"
    would_run(handler, "run_3_rounds", "two", changed, runtime=10, mem_mb=1000, threads=2)
    would_run(handler, "deconvolve", "two", "Updated input files: y.csv, x.csv", mem_mb=1000)
    handler.close()
    assert [line.split(maxsplit=6) for line in capsys.readouterr().err.splitlines()[:4]] == [
        ["study", "rule", "jobs", "minutes", "MB", "cores", "why"],
        ["one", "solve_chunk", "2", "25", "1,900", "1", "not there yet"],
        ["two", "run_rounds", "1", "10", "1,000", "2", "its keys or files have changed"],
        ["two", "deconvolve", "1", "0", "1,000", "1", "newer: y.csv, x.csv"],
    ]


def test_a_dry_run_of_finished_studies_has_nothing_to_do(capsys):
    handler = LogHandler(OutputSettings(dryrun=True), None)
    send(handler, None, msg="Nothing to be done (all requested files are present).")
    handler.close()
    assert capsys.readouterr().err == "nothing to do: all results are up to date\n"


def test_a_failure_is_told_once_with_the_end_of_its_log(handler, tmp_path, capsys):
    log = logged(tmp_path, "solve_chunk", *(f"line {i}" for i in range(30)), "no root was found")
    starts(handler, 1, log)
    for _ in range(2):
        fails(handler, 1, log)
    send(handler, None, logging.ERROR, msg="Exiting because a job execution failed.")
    printed = capsys.readouterr().err
    assert printed.count("mine, round 0: solving chunk 0: failed") == 1
    assert printed.count("no root was found") == 1
    assert "line 9\n" not in printed
    assert str(log) in printed
    assert "Exiting" not in printed
    handler.close()
    assert "one job has failed" in capsys.readouterr().err


def test_other_errors_of_snakemake_are_printed(handler, capsys):
    send(handler, None, logging.ERROR, msg="Error: the directory cannot be locked")
    send(handler, None, logging.INFO, msg="Select jobs to execute...")
    assert "cannot be locked" in capsys.readouterr().err


def test_a_run_without_jobs_says_so(handler, capsys):
    send(handler, None, msg="Nothing to be done (all requested files are present).")
    assert "all results are up to date" in capsys.readouterr().err


def test_a_terminal_shows_what_is_at_work_and_the_time_left(handler, monkeypatch):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(handler.display._terminal, "_console", console)
    starts(handler, 0)
    ends(handler, 0)
    starts(handler, 1)
    monkeypatch.setattr(handler.display, "_began", time.monotonic() - 60)
    # A fifth of the planned seconds took a minute.
    assert handler.display._left() == pytest.approx(240, abs=1)
    console.print(handler.display._terminal._table())
    handler.close()
    shown = screen.getvalue()
    assert "solve chunk" in shown
    assert "1 of 5 jobs" in shown
    assert "about 4:00 left" in shown


@pytest.mark.parametrize(
    ("rule", "wildcards", "step"),
    [
        ("solve_chunk", {"round": "truth"}, "Observations"),
        ("collect_solves", {"round": "check"}, "Check of the surrogate"),
        ("run_3_rounds", {}, "Rounds of solves"),
        ("use_withdrawal", {}, "Withdrawal"),
        ("collect_solves", {"round": "systems_100"}, "Collect solves"),
    ],
)
def test_jobs_belong_to_steps(rule, wildcards, step):
    assert step_of(rule, {"study": "mine", **wildcards}) == ("mine", step)


def test_every_stage_has_a_step_of_its_own_or_that_of_its_round():
    of_rounds = {
        "propose_parameters", "solve_chunk", "solve_chunk_distributed", "collect_solves",
        "train_surrogate", "update_population",
    }  # fmt: skip
    # Their rules are the steps, as those of methods are.
    of_rules = {
        "descend_with_policy", "measure_error", "fit_error_slope", "train_fixed_design",
        "compare_designs",
    }  # fmt: skip
    assert {name for name, stage in STAGES.items() if not stage.step} == of_rounds | of_rules


def test_what_a_job_found_that_is_for_its_log_is_not_told(handler, tmp_path, capsys):
    log = logged(tmp_path, "deconvolve", "a distance")
    starts(handler, 4, log)
    ends(handler, 4)
    *_, line = capsys.readouterr().err.splitlines()
    assert line.split() == ["Estimate", "(0", "s)"]


# --- the jobs' side -----------------------------------------------------------------------------


class Rule(SimpleNamespace):
    rule, threads = "solve_chunk", 1

    def __init__(self, log: Path) -> None:
        super().__init__(log=[str(log)], output={})


@pytest.fixture
def shown(tmp_path, monkeypatch) -> Path:
    """Let a program show the progress, and return the log of a job."""
    folder = tmp_path / "progress"
    folder.mkdir()
    monkeypatch.setenv(PROGRESS, str(folder))
    return tmp_path / "logs" / "job.log"


def test_a_job_that_is_shown_prints_into_its_log_alone(shown, capsys):
    with job(Rule(shown)):
        print("500 solves")
        print("a warning", file=sys.stderr)
    assert capsys.readouterr() == ("", "")
    assert said_of(str(shown)) == ["500 solves", "a warning"]
    assert findings_of(str(shown)) == "a warning"


def test_the_bar_of_a_job_is_read_while_it_runs_and_is_then_gone(shown):
    bar = {"desc": "integrals", "unit": "block", "ascii": True}
    with job(Rule(shown)), tqdm(total=8, file=sys.stderr, **bar) as loop:
        loop.update(2)
        loop.refresh()
        found = progress_of(str(shown))
        assert found.share == 0.25
        assert found.text.startswith("integrals: 2/8, ")
        assert found.text.endswith(" left")
    assert progress_of(str(shown)) is None
    assert said_of(str(shown)) == []


@pytest.mark.parametrize("error", [DataError("bad data"), ValueError("a mistake")])
def test_an_error_of_a_job_that_is_shown_is_in_its_log(shown, capsys, error):
    with pytest.raises(SystemExit) as ended, job(Rule(shown)):
        raise error
    assert ended.value.code == 1
    assert str(error) in said_of(str(shown))[-1]
    assert capsys.readouterr() == ("", "")


def test_a_log_that_is_not_there_says_nothing(tmp_path):
    assert said_of(str(tmp_path / "none.log")) == []
    assert findings_of("") == ""
