"""Compare the memory and time that the jobs of finished studies requested with what they used."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from popinv.cli.solve_costs import known_times
from popinv.config.study import Config
from popinv.workflow.benchmarks import asked_and_taken
from popinv.workflow.resources import memory_mb, runtime_minutes
from popinv.workflow.study_sizes import measured_solves


@dataclass(frozen=True)
class Comparison:
    """The memory and the time that a rule's jobs requested at their first attempt, and used.

    ``megabytes_taken`` is 0 where no job was long enough to be measured. The memory and the time
    are each those of the rule's job that came nearest to its demand.
    """

    rule: str
    jobs: int
    megabytes_asked: int
    megabytes_taken: float
    minutes_asked: int
    minutes_taken: float


def comparison(config: Config) -> list[Comparison]:
    """Compare the jobs of finished studies, rule by rule.

    Parameters
    ----------
    config : Config
        The configuration of studies that have run here.
    """
    rows: dict[str, list[tuple[int, float, int, float]]] = defaultdict(list)
    for name, study in config.studies.items():
        times = measured_solves(study, config.results)
        measured = None if times is None else times.each
        folder = Path(config.results, name, "benchmarks")
        for row, job in asked_and_taken(folder, study, measured):
            taken = job.megabytes or 0.0, job.seconds / 60
            rows[job.rule].append((memory_mb(row), taken[0], runtime_minutes(row), taken[1]))
    compared = []
    for rule in sorted(rows):
        memory = max(rows[rule], key=lambda row: row[1] / row[0])
        time = max(rows[rule], key=lambda row: row[3] / row[2])
        compared.append(Comparison(rule, len(rows[rule]), *memory[:2], *time[2:]))
    return compared


def table(config: Config) -> str:
    """Return the comparison as text, with what is known of the time of solves."""
    header = ("rule", "jobs", "asked MB", "took MB", "share", "asked min", "took min")
    lines = ["{:24} {:>5} {:>9} {:>10} {:>6} {:>10} {:>11}".format(*header)]
    for row in comparison(config):
        share = row.megabytes_taken / row.megabytes_asked
        lines.append(
            f"{row.rule:24} {row.jobs:5} {row.megabytes_asked:9} {row.megabytes_taken:10.0f} "
            f"{share:6.0%} {row.minutes_asked:10} {row.minutes_taken:11.1f}"
        )
    lines += [known_times(name, study, config.results) for name, study in config.studies.items()]
    return "\n".join(filter(None, lines))
