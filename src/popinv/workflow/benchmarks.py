"""The time and the memory of finished jobs, from their benchmark files, with their requests."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from popinv.config.study import Study
from popinv.workflow.resources import COUNTS, RULES, Demand, NotAsked, demand
from popinv.workflow.rounds import chunk_count
from popinv.workflow.stages import STAGES, Stage, Wildcards


@dataclass(frozen=True)
class Job:
    """The time and the memory of one job; None where it was too short to be measured."""

    rule: str
    seconds: float
    processor_seconds: float | None
    megabytes: float | None


def read_job(file: Path) -> Job:
    """Return the contents of a job's benchmark file; the rule is the first part of its name.

    A job that ended before it was looked at has no memory and no processor time.
    """
    with file.open(encoding="utf-8") as lines:
        row = next(csv.DictReader(lines, delimiter="\t"))
    rule = file.name.split(".")[0]
    return Job(rule, float(row["s"]), _number(row.get("cpu_time")), _number(row.get("max_rss")))


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def asked_and_taken(
    folder: Path, study: Study, measured: float | None = None
) -> Iterator[tuple[Demand, Job]]:
    """Yield what each finished job of a study takes by the table, and what it has taken.

    Files that an earlier configuration has left, of rounds, chunks or methods that the study no
    longer has, are passed over.

    Parameters
    ----------
    folder : Path
        ``results/{study}/benchmarks``.
    measured : float, optional
        Mean seconds of a solve.
    """
    for file in sorted(folder.glob("*.tsv")):
        rule, *parts = file.stem.split(".")
        # The wildcards follow the name of the rule.
        wildcards = dict(zip(STAGES.get(rule, Stage()).wildcards, parts, strict=False))
        if rule not in RULES or not _has(study, wildcards):
            continue
        counts = {name: int(wildcards[name]) for name in COUNTS if name in wildcards}
        try:
            row = demand(rule, study, measured, **counts)
        except NotAsked:
            continue
        yield row, read_job(file)


def _has(study: Study, wildcards: Wildcards) -> bool:
    round_name, chunk = wildcards.get("round", ""), wildcards.get("chunk")
    if round_name.isdigit() and int(round_name) > study.last_round():
        return False
    return chunk is None or int(chunk) < chunk_count(study, round_name)
