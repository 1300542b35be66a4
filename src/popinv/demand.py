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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from popinv.config.loading import as_mapping, load_file
from popinv.errors import PopinvError
from popinv.resources import RULES, NotAsked, demand, memory_mb, runtime_minutes, sizes

__all__ = ["comparison", "main"]

# What the parts of a benchmark file's name are, after that of the rule, where it matters.
_WILDCARDS = {
    "draw_population": ("round",),
    "propose_parameters": ("round",),
    "collect_solves": ("round",),
    "measure_error": ("systems",),
    "train_fixed_design": ("solves",),
}
_HEADER = ("rule", "jobs", "asked MB", "needed MB", "share", "asked min", "needed min")


def _measured(file: Path) -> tuple[float, float]:
    """Return megabytes and seconds; jobs too short to be sampled have no memory."""
    with file.open() as lines:
        row = next(csv.DictReader(lines, delimiter="\t"))
    try:
        return float(row["max_rss"]), float(row["s"])
    except ValueError:
        return 0.0, float(row["s"])


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
        of = sizes(study)
        for file in sorted(Path(config["results"], name, "benchmarks").glob("*.tsv")):
            rule, *parts = file.stem.split(".")
            if rule not in RULES:
                continue
            names = _WILDCARDS.get(rule, ())
            try:
                needed = demand(rule, of, dict(zip(names, parts, strict=False)))
            except NotAsked:  # left by an earlier run
                continue
            megabytes, seconds = _measured(file)
            asked = memory_mb(needed), runtime_minutes(needed)
            found[rule].append((asked[0], megabytes, asked[1], seconds / 60))
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
