"""What ``popinv run -n`` prints: the jobs that would run, what they request, and why.

Snakemake hands its events to a logger plugin, as in a run (:mod:`popinv.workflow.display`). In a
dry run it names each job once, with its resources and a reason.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from logging import ERROR, LogRecord
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

from popinv.workflow.display import NOTHING_TO_DO, says_nothing_to_do
from popinv.workflow.resources import row_of
from popinv.workflow.terminal import aligned

# Snakemake's reasons for a job, in the order in which they count, and what is printed for each.
# Reasons of one job are divided by semicolons; the names of files may follow.
_REASONS = (
    ("Forced execution", "asked for"),
    ("Missing output files", "not there yet"),
    ("Params have changed", "its keys or files have changed"),
    ("Code has changed", "its code has changed"),
    ("Set of input files has changed", "it has other inputs"),
    ("Software environment", "its software has changed"),
    ("Updated input files", "newer"),
    ("Input files updated by another job", "after the jobs above"),
)
_FILES_OF_NEWER = re.compile(r"Updated input files: ([^;]*)")


@dataclass
class _Rule:
    """The jobs of a rule of a study, and the most that one of them requests."""

    jobs: int = 0
    minutes: int = 0
    megabytes: int = 0
    cores: int = 1
    whys: list[str] = field(default_factory=list)

    def add(self, fields: Mapping[str, Any]) -> None:
        """Count a job."""
        resources = fields["resources"]
        self.jobs += 1
        self.minutes = max(self.minutes, _number(resources, "runtime"))
        self.megabytes = max(self.megabytes, _number(resources, "mem_mb"))
        self.cores = max(self.cores, int(fields["threads"]))
        if (why := reason(str(fields["reason"]))) not in self.whys:
            self.whys.append(why)


class DryRun:
    """Snakemake's events of a dry run, as a table of the jobs that would run."""

    def __init__(self) -> None:
        self._rules: dict[tuple[str, str], _Rule] = {}
        self._faults: list[str] = []
        self._done = False

    def take(self, record: LogRecord) -> None:
        """Take an event."""
        event, fields = getattr(record, "event", None), vars(record)
        if event == LogEvent.JOB_INFO and fields["rule_name"] != "all":
            study = fields["wildcards"].get("study", "")
            rule = self._rules.setdefault((study, row_of(fields["rule_name"])), _Rule())
            rule.add(fields)
        elif event is None and record.levelno >= ERROR:
            self._faults.append(record.getMessage().strip())
        elif event is None and says_nothing_to_do(record):
            self._done = True

    def close(self) -> None:
        """Print the table, once."""
        lines = [*self._faults, *table(self._rules)]
        if self._done and not lines:
            lines = [NOTHING_TO_DO]
        if lines:
            print("\n".join(lines), file=sys.stderr)
        self._rules, self._faults, self._done = {}, [], False


def reason(stated: str) -> str:
    """Return in a few words why Snakemake would run a job.

    Examples
    --------
    >>> reason("Missing output files: a.zarr.zip; Input files updated by another job: b.zarr.zip")
    'not there yet'
    >>> reason("Updated input files: y.csv")
    'newer: y.csv'
    """
    for beginning, told in _REASONS:
        if beginning not in stated:
            continue
        files = _FILES_OF_NEWER.search(stated)
        return f"{told}: {files[1].strip()}" if told == "newer" and files else told
    return stated


def table(rules: Mapping[tuple[str, str], _Rule]) -> list[str]:
    """Return the lines of a table of the rules of studies."""
    if not rules:
        return []
    rows, whys = [["study", "rule", "jobs", "minutes", "MB", "cores"]], ["why"]
    for (study, rule), each in rules.items():
        numbers = (each.jobs, each.minutes, each.megabytes, each.cores)
        rows.append([study, rule, *map("{:,}".format, numbers)])
        whys.append(", ".join(each.whys))
    count = sum(each.jobs for each in rules.values())
    return [
        *(f"{line}   {why}" for line, why in zip(aligned(rows, names=2), whys, strict=True)),
        f"{count:,} {'job' if count == 1 else 'jobs'} would run; nothing was run. Minutes, memory "
        "and cores are what a job requests at most, and a job takes less",
    ]


def _number(resources: Any, name: str) -> int:
    """Return a resource of a job; 0 if it is not known before the job is ready."""
    value = resources.get(name)
    return value if isinstance(value, int) else 0
