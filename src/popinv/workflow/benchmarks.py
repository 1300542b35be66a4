"""The time and the memory of finished jobs, from their benchmark files, with their requests."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from popinv.config.study import Study
from popinv.workflow.questions import chunk_count, last_round
from popinv.workflow.resources import ROWS, Demand, NotAsked, demand, sizes

# The relevant wildcards in the name of a benchmark file, after the name of the rule.
_WILDCARDS = {
    "draw_population": ("round",),
    "propose_parameters": ("round",),
    "solve_chunk": ("round", "chunk"),
    "solve_chunk_distributed": ("round", "chunk"),
    "collect_solves": ("round",),
    "solve_population": ("round",),
    "solve_round": ("round",),
    "train_surrogate": ("round",),
    "update_population": ("round",),
    "measure_error": ("systems",),
    "train_fixed_design": ("solves",),
}


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
    """Yield the row of each finished job of a study, and the time and memory that the job used.

    Files that an earlier configuration has left, of rounds, chunks or methods that the study no
    longer has, are passed over.

    Parameters
    ----------
    folder : Path
        ``results/{study}/benchmarks``.
    measured : float, optional
        Mean seconds of a solve, from which the rows follow.
    """
    study_sizes = sizes(study, measured)
    for file in sorted(folder.glob("*.tsv")):
        rule, *parts = file.stem.split(".")
        wildcards = dict(zip(_WILDCARDS.get(rule, ()), parts, strict=False))
        if rule not in ROWS or not _has(study, wildcards):
            continue
        try:
            row = demand(rule, study_sizes, wildcards)
        except NotAsked:
            continue
        yield row, read_job(file)


def _has(study: Study, wildcards: Mapping[str, str]) -> bool:
    name = wildcards.get("round", "0")
    if name.isdigit() and int(name) > last_round(study):
        return False
    return "chunk" not in wildcards or int(wildcards["chunk"]) < chunk_count(study, name)
