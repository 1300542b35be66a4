"""What a study took, by stage, from the benchmark files of its jobs."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from popinv.report.records import Job, Stage
from popinv.resources import RULES, NotAsked, demand, sizes
from popinv.workflow import chunk_count, last_round

__all__ = ["jobs_of", "read_job", "stages"]

# What writes pages and draws the gallery is not part of what the study took.
_PAGES = ("write_study_page", "draw_systems", "draw_noise")
# Rules whose benchmark files have a round, and a chunk, in their names.
_ROUNDS = (
    "draw_population", "propose_parameters", "solve_chunk", "solve_chunk_distributed",
    "collect_solves", "train_surrogate", "update_population",
)  # fmt: skip
_WILDCARDS = {"measure_error": "systems", "train_fixed_design": "solves"}


def read_job(file: Path) -> Job:
    """Return what a benchmark file says of a job; its rule is the first part of its name.

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


def jobs_of(folder: Path, study: Mapping[str, Any]) -> list[Job]:
    """Return the jobs of a study whose benchmark files are in a folder.

    Files that an earlier configuration has left, of rounds, chunks or methods that the study no
    longer has, are passed over.

    Parameters
    ----------
    folder : Path
        ``results/{study}/benchmarks``.
    study : mapping
        The study's section of a checked configuration.
    """
    of = sizes(study)
    found = []
    for file in sorted(folder.glob("*.tsv")):
        rule, *parts = file.stem.split(".")
        if rule not in RULES or rule in _PAGES or not _has(study, rule, parts):
            continue
        wildcards = {"round": parts[0]} if rule in _ROUNDS else {}
        if rule in _WILDCARDS:
            wildcards = {_WILDCARDS[rule]: parts[0]}
        try:
            demand(rule, of, wildcards)
        except NotAsked:
            continue
        found.append(read_job(file))
    return found


def _has(study: Mapping[str, Any], rule: str, parts: list[str]) -> bool:
    if rule not in _ROUNDS or not parts:
        return True
    name = parts[0]
    if name.isdigit() and int(name) > last_round(study):
        return False
    return len(parts) < 2 or int(parts[1]) < chunk_count(study, name)


def stages(jobs: Iterable[Job]) -> tuple[Stage, ...]:
    """Return what the jobs of each rule took together, the longest first."""
    by_rule: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_rule[job.rule].append(job)
    found = [
        Stage(
            rule,
            len(own),
            sum(job.seconds for job in own),
            max(job.seconds for job in own),
            sum(job.processor_seconds or 0.0 for job in own),
            max((job.megabytes for job in own if job.megabytes is not None), default=None),
        )
        for rule, own in by_rule.items()
    ]
    return tuple(sorted(found, key=lambda stage: -stage.seconds))
