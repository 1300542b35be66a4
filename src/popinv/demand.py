"""What jobs asked of the machine, beside what they needed.

``python -m popinv.demand --configfile my_study.yaml`` reads the benchmark files that the jobs of
its studies left and prints, rule by rule, the memory and time that are asked for at the first
attempt and the most that a job needed. Snakemake samples memory, so a short peak may be missed.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from popinv.config.loading import as_mapping, load_file
from popinv.errors import PopinvError
from popinv.resources import RULES, Demand, NotAsked, demand, memory_mb, runtime_minutes, sizes
from popinv.workflow import chunk_count, last_round

__all__ = ["Job", "asked_and_taken", "comparison", "main", "read_job"]

# What the parts of a benchmark file's name are, after that of the rule, where it matters.
_WILDCARDS = {
    "draw_population": ("round",),
    "propose_parameters": ("round",),
    "solve_chunk": ("round", "chunk"),
    "solve_chunk_distributed": ("round", "chunk"),
    "collect_solves": ("round",),
    "train_surrogate": ("round",),
    "update_population": ("round",),
    "measure_error": ("systems",),
    "train_fixed_design": ("solves",),
}
_HEADER = ("rule", "jobs", "asked MB", "needed MB", "share", "asked min", "needed min")


@dataclass(frozen=True)
class Job:
    """What one job took, from its benchmark file; None where it was too short to be measured."""

    rule: str
    seconds: float
    processor_seconds: float | None
    megabytes: float | None


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


def asked_and_taken(folder: Path, study: Mapping[str, Any]) -> Iterator[tuple[Demand, Job]]:
    """Yield what each job of a study asked for and took, by the benchmark files in a folder.

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
    for file in sorted(folder.glob("*.tsv")):
        rule, *parts = file.stem.split(".")
        wildcards = dict(zip(_WILDCARDS.get(rule, ()), parts, strict=False))
        if rule not in RULES or not _has(study, wildcards):
            continue
        try:
            asked = demand(rule, of, wildcards)
        except NotAsked:
            continue
        yield asked, read_job(file)


def _has(study: Mapping[str, Any], wildcards: Mapping[str, str]) -> bool:
    name = wildcards.get("round", "0")
    if name.isdigit() and int(name) > last_round(study):
        return False
    return "chunk" not in wildcards or int(wildcards["chunk"]) < chunk_count(study, name)


def comparison(config: Mapping[str, Any]) -> list[tuple[str, int, float, float, float, float]]:
    """Return rule, number of jobs, megabytes asked and needed, minutes asked and needed.

    Of all jobs of a rule, the one that came nearest to what it asked for, in memory and in time.

    Parameters
    ----------
    config : mapping
        A checked configuration, whose studies have run.
    """
    found: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
    for name, study in config["studies"].items():
        folder = Path(config["results"], name, "benchmarks")
        for asked, job in asked_and_taken(folder, study):
            # Jobs too short to be sampled have no memory.
            row = memory_mb(asked), job.megabytes or 0.0, runtime_minutes(asked), job.seconds / 60
            found[job.rule].append(row)
    table = []
    for rule in sorted(found):
        rows = found[rule]
        memory = max(rows, key=lambda row: row[1] / row[0])
        time = max(rows, key=lambda row: row[3] / row[2])
        table.append((rule, len(rows), memory[0], memory[1], time[2], time[3]))
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--configfile", default="config/config.yaml", help="of the studies")
    asked = parser.parse_args(arguments)
    try:
        config = as_mapping(load_file(asked.configfile))
    except PopinvError as error:
        print(f"\n{error}\n", file=sys.stderr)
        return 1
    print("{:24} {:>5} {:>9} {:>10} {:>6} {:>10} {:>11}".format(*_HEADER))
    for rule, jobs, asked_mb, mb, asked_minutes, minutes in comparison(config):
        share = mb / asked_mb
        print(
            f"{rule:24} {jobs:5} {asked_mb:9.0f} {mb:10.0f} {share:6.0%} "
            f"{asked_minutes:10.0f} {minutes:11.1f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
