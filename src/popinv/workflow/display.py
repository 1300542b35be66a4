"""What ``popinv run`` prints: one line for each step of a study.

Snakemake hands its events to a logger plugin (``--logger popinv``), which prints this in the place
of Snakemake's own messages. A step is a group of jobs, such as a round of solves. Its line is
printed when its last job has ended: what the step found, and the time that it took. On a terminal
the steps at work are shown below, with their progress and the time left.

What a step found is the last line that its jobs printed, which is in their logs. The time left
follows from the planned seconds of the jobs: those that have ended took the time so far.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from logging import ERROR, LogRecord
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

from popinv.workflow.job import findings_of, progress_of, said_of
from popinv.workflow.resources import row_of
from popinv.workflow.stages import STAGES, Stage
from popinv.workflow.terminal import StepLine, Terminal

NOTHING_TO_DO = "nothing to do: all results are up to date"
"""The message of a run without jobs."""

_ROUNDS = {"truth": "Observations", "0": "First solves", "check": "Check of the surrogate"}
# Lines of a log that are printed where a job has failed.
_LINES_OF_FAILURE = 20
_OF_FAILED_JOBS = re.compile(r"Exiting because|WorkflowError:\s*At least|Error in rule")
# Seconds before the time left is printed, and the share of the work that has ended by then.
_FIRST_SECONDS, _FIRST_SHARE = 5.0, 0.02


@dataclass
class Planned:
    """The jobs of a run, as the workflow has planned them.

    Attributes
    ----------
    jobs : dict
        Their number by study and step.
    seconds : dict
        Seconds of a job by study, step and rule.
    whole : float
        Seconds of all jobs together.
    announced : str
        What is printed before the first job.
    """

    jobs: dict[tuple[str, str], int] = field(default_factory=dict)
    seconds: dict[tuple[str, str, str], float] = field(default_factory=dict)
    whole: float = 0.0
    announced: str = ""

    def expect(
        self, jobs: Iterable[tuple[str, Mapping[str, str], float]], announced: str = ""
    ) -> None:
        """State the jobs of a run: the rule, the wildcards and the planned seconds of each."""
        self.jobs, self.seconds, self.whole, self.announced = {}, {}, 0.0, announced
        for rule, wildcards, planned in jobs:
            step = step_of(rule, wildcards)
            self.jobs[step] = self.jobs.get(step, 0) + 1
            self.seconds[*step, rule] = planned
            self.whole += planned


PLANNED = Planned()
"""The jobs of the run of this process. The workflow states them before the first one starts."""


def step_of(rule: str, wildcards: Mapping[str, str]) -> tuple[str, str]:
    """Return the study and the step of a job.

    Examples
    --------
    >>> step_of("solve_chunk", {"study": "mine", "round": "2", "chunk": "0"})
    ('mine', 'Round 2')
    >>> step_of("use_posterior", {"study": "mine"})
    ('mine', 'Posterior')
    """
    study, round_name = wildcards.get("study", ""), wildcards.get("round", "")
    plain = row_of(rule)
    if plain in STAGES and STAGES[plain].step:
        return study, STAGES[plain].step
    if round_name.isdigit() or round_name in _ROUNDS:
        return study, _ROUNDS.get(round_name, f"Round {round_name}")
    return study, plain.removeprefix("use_").replace("_", " ").capitalize()


@dataclass(frozen=True)
class _Job:
    step: tuple[str, str]
    rule: str
    log: str
    told: str


@dataclass
class _Step:
    began: float
    done: int = 0
    found: dict[str, str] = field(default_factory=dict)


class Display:
    """Snakemake's events as lines of steps."""

    def __init__(self) -> None:
        self._terminal = Terminal(self._lines)
        self._began = time.monotonic()
        self._jobs: dict[int, _Job] = {}
        self._steps: dict[tuple[str, str], _Step] = {}
        self._ended, self._seconds = 0, 0.0
        self._failed: set[int] = set()

    def take(self, record: LogRecord) -> None:
        """Take an event."""
        event, fields = getattr(record, "event", None), vars(record)
        if event == LogEvent.JOB_INFO and fields["rule_name"] != "all":
            self._starts(fields)
        elif event == LogEvent.JOB_FINISHED:
            self._ends(int(fields["job_id"]))
        elif event == LogEvent.JOB_ERROR:
            self._fails(fields)
        elif event is None:
            message = record.getMessage()
            if record.levelno >= ERROR:
                self._is_wrong(message)
            elif says_nothing_to_do(record):
                self._terminal.say(NOTHING_TO_DO)

    def close(self) -> None:
        """Leave the terminal as it was, and say how to go on after failures."""
        self._terminal.close()
        if self._failed:
            count = len(self._failed)
            jobs = "one job has" if count == 1 else f"{count} jobs have"
            self._terminal.say(
                f"{jobs} failed. What is finished is kept: mend the cause, and run the same command"
            )
            self._failed.clear()

    # --- events ---------------------------------------------------------------------------------

    def _starts(self, fields: Mapping[str, Any]) -> None:
        if PLANNED.announced:
            self._terminal.say(PLANNED.announced)
            PLANNED.announced = ""
        rule, now = fields["rule_name"], time.monotonic()
        step = step_of(rule, fields["wildcards"])
        self._jobs[int(fields["jobid"])] = _Job(
            step, rule, _log_of(fields), fields["rule_msg"] or rule
        )
        self._steps.setdefault(step, _Step(now))
        self._terminal.show()

    def _ends(self, number: int) -> None:
        job = self._jobs.pop(number, None)
        if job is None:
            return
        step = self._steps[job.step]
        step.done += 1
        self._ended += 1
        self._seconds += PLANNED.seconds.get((*job.step, job.rule), 0.0)
        told = STAGES.get(row_of(job.rule), Stage()).told
        if told and (found := findings_of(job.log)):
            step.found[job.rule] = found
        others = any(each.step == job.step for each in self._jobs.values())
        if not others and step.done >= PLANNED.jobs.get(job.step, 0):
            del self._steps[job.step]
            # The estimate of a round comes before the solves that it needed.
            found = "; ".join(reversed(step.found.values()))
            self._terminal.end_step(_title(job.step), found, time.monotonic() - step.began)

    def _fails(self, fields: Mapping[str, Any]) -> None:
        number = int(fields["jobid"])
        job = self._jobs.pop(number, None)
        if number in self._failed:
            # Snakemake repeats all failures at its end.
            return
        self._failed.add(number)
        log, what = _log_of(fields), job.told if job else fields["rule_name"]
        self._terminal.fail(f"{what}: failed", said_of(log)[-_LINES_OF_FAILURE:], log)

    def _is_wrong(self, message: str) -> None:
        # What Snakemake says about jobs that have failed was printed already.
        if not (self._failed and _OF_FAILED_JOBS.match(message)):
            self._terminal.say(message.strip())

    # --- what is shown while jobs run -------------------------------------------------------------

    def _left(self) -> float | None:
        """Return the seconds left, None if too little is known."""
        spent = time.monotonic() - self._began
        share = self._seconds / max(1.0, PLANNED.whole)
        if spent < _FIRST_SECONDS or not _FIRST_SHARE <= share < 1:
            return None
        return spent * (1 - share) / share

    def _lines(self) -> tuple[list[StepLine], str, float | None, float]:
        """Return the steps at work, the number of jobs, the seconds left and those so far."""
        now, lines = time.monotonic(), []
        all_jobs = list(self._jobs.values())
        for name, step in list(self._steps.items()):
            jobs = [each for each in all_jobs if each.step == name]
            if jobs:
                planned = max(PLANNED.jobs.get(name, 0), step.done + len(jobs))
                inner = next(filter(None, (progress_of(job.log) for job in jobs)), None)
                share = (step.done + (inner.share if inner else 0.0)) / planned
                rules = ", ".join(sorted({job.rule.replace("_", " ") for job in jobs}))
                lines.append(
                    StepLine(_title(name), share, inner.text if inner else rules, now - step.began)
                )
        total = sum(PLANNED.jobs.values())
        told = f"{self._ended} of {total} jobs" if total else f"{self._ended} jobs"
        return lines, told, self._left(), now - self._began


def says_nothing_to_do(record: LogRecord) -> bool:
    """Return whether Snakemake's message says that no job would run."""
    return record.getMessage().startswith("Nothing to be done")


def _log_of(fields: Mapping[str, Any]) -> str:
    return str(next(iter(fields["log"] or ()), ""))


def _title(step: tuple[str, str]) -> str:
    """Return the name of a step, with its study if there are several."""
    study, name = step
    several = len({study for study, _ in PLANNED.jobs} - {""}) > 1
    return f"{study}: {name}" if several and study else name
