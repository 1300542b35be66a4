"""What `popinv plan` and `popinv demand` print: what jobs take, and what they took."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from popinv.cli.solve_costs import duration
from popinv.config.study import Config, Study
from popinv.forward.solve_times import measured_times
from popinv.workflow.benchmarks import asked_and_taken
from popinv.workflow.preflight import Machine, check_fits, check_jobs, disk_megabytes, stages
from popinv.workflow.resources import memory_mb, runtime_minutes


def plan(config: Config) -> str:
    """Return tables of the jobs of all studies, and their sum beside this machine.

    Raises
    ------
    ConfigError
        If this machine cannot run them.
    """
    check_jobs(config)
    machine = Machine.here(Path(config.results))
    blocks, seconds, jobs, disk, most = [], 0.0, 0, 0.0, 0.0
    for name, study in config.studies.items():
        rows = [("stage", "jobs", "each", "memory")]
        for stage in stages(study, _measured(study, config)):
            each = duration(stage.seconds)
            rows.append((stage.rule, f"{stage.jobs:,}", each, f"{stage.megabytes:,.0f} MB"))
            seconds += stage.jobs * stage.seconds
            jobs += stage.jobs
            most = max(most, stage.megabytes)
        disk += disk_megabytes(study)
        lines = [
            f"{rule:<24}{count:>9}{each:>10}{memory:>14}" for rule, count, each, memory in rows
        ]
        heading = f"{name}: from nothing to the figures"
        blocks.append("\n".join(filter(None, [heading, *lines, _known_times(name, study, config)])))
    blocks.append(
        f"together: {jobs:,} jobs, {duration(seconds)} of one core, at most {most:,.0f} MB in a "
        f"job, about {disk:,.0f} MB of disk\n"
        f"here: {machine.cores} cores, {machine.megabytes:,.0f} MB of memory, "
        f"{machine.free_megabytes:,.0f} MB of disk left"
    )
    text = "\n\n".join(blocks)
    check_fits(config, machine)
    return text


@dataclass(frozen=True)
class AskedAndTaken:
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


def compared(config: Config) -> list[AskedAndTaken]:
    """Compare the jobs of the studies that have run here, rule by rule."""
    rows: dict[str, list[tuple[int, float, int, float]]] = defaultdict(list)
    for name, study in config.studies.items():
        folder = Path(config.results, name, "benchmarks")
        for row, job in asked_and_taken(folder, study, _measured(study, config)):
            taken = job.megabytes or 0.0, job.seconds / 60
            rows[job.rule].append((memory_mb(row), taken[0], runtime_minutes(row), taken[1]))
    found = []
    for rule in sorted(rows):
        memory = max(rows[rule], key=lambda row: row[1] / row[0])
        time = max(rows[rule], key=lambda row: row[3] / row[2])
        found.append(AskedAndTaken(rule, len(rows[rule]), *memory[:2], *time[2:]))
    return found


def demand(config: Config) -> str:
    """Return the comparison as text, with what is known of the time of solves."""
    header = ("rule", "jobs", "asked MB", "took MB", "share", "asked min", "took min")
    lines = ["{:24} {:>5} {:>9} {:>10} {:>6} {:>10} {:>11}".format(*header)]
    for row in compared(config):
        share = row.megabytes_taken / row.megabytes_asked
        lines.append(
            f"{row.rule:24} {row.jobs:5} {row.megabytes_asked:9} {row.megabytes_taken:10.0f} "
            f"{share:6.0%} {row.minutes_asked:10} {row.minutes_taken:11.1f}"
        )
    lines += [_known_times(name, study, config) for name, study in config.studies.items()]
    return "\n".join(filter(None, lines))


def _measured(study: Study, config: Config) -> float | None:
    times = measured_times(config.results, study.forward)
    return None if times is None else times.each


def _known_times(name: str, study: Study, config: Config) -> str:
    """Return whether a study's requests follow a measured or an assumed time of a solve.

    It is empty where the package knows the cost of the solver.
    """
    if not study.forward.cost().guess:
        return ""
    times = measured_times(config.results, study.forward)
    if times is not None:
        return (
            f"{name}: a solve takes {duration(times.each)}, the mean of {times.solves:,} measured "
            "solves; requests follow it"
        )
    return (
        f"{name}: a solve is assumed to take {duration(study.seconds_per_solve())}; requests "
        "follow the measured time once a chunk has run"
    )
