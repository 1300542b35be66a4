"""What `popinv plan` prints: what jobs take, and what those that have run took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from popinv.cli.solve_costs import duration
from popinv.config.study import Config, Study
from popinv.forward.solve_times import measured_times
from popinv.workflow.benchmarks import asked_and_taken
from popinv.workflow.preflight import Machine, check_fits, check_jobs, disk_megabytes, stages
from popinv.workflow.resources import memory_mb, runtime_minutes
from popinv.workflow.terminal import aligned


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
        rows = [["stage", "jobs", "each", "memory", "requests: minutes", "MB", "cores"]]
        for stage in stages(study, _measured(study, config)):
            needed = stage.demand
            takes = duration(needed.seconds), f"{needed.megabytes:,.0f} MB"
            requests = (
                runtime_minutes(needed),
                memory_mb(needed, processes=stage.cores),
                stage.cores,
            )
            rows.append([stage.rule, f"{stage.jobs:,}", *takes, *map("{:,}".format, requests)])
            seconds += stage.jobs * needed.seconds
            jobs += stage.jobs
            most = max(most, needed.megabytes)
        disk += disk_megabytes(study)
        heading, times = f"{name}: from nothing to the figures", _known_times(name, study, config)
        more = _not_counted(study)
        blocks.append("\n".join(filter(None, [heading, *aligned(rows), times, more])))
    blocks.append(
        f"together: {jobs:,} jobs, at most {duration(seconds)} of one core and often a quarter of "
        f"that, at most {most:,.0f} MB in a job, about {disk:,.0f} MB of disk\n"
        f"here: {machine.cores} cores, {machine.megabytes:,.0f} MB of memory, "
        f"{machine.free_megabytes:,.0f} MB of disk left"
    )
    if used := compared(config):
        heading = (
            "requested and used by the jobs that have run, of each rule the nearest to its limit"
        )
        blocks.append("\n".join([heading, *_of_used(used)]))
    check_fits(config, machine)
    return "\n\n".join(blocks)


@dataclass(frozen=True)
class AskedAndTaken:
    """The memory and the time that a rule's jobs requested at their first attempt, and used.

    ``megabytes_taken`` is 0 where no job was long enough to be measured. The memory and
    the time each belong to the rule's job that came nearest to its demand.
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


def _of_used(used: Sequence[AskedAndTaken]) -> list[str]:
    rows = [["rule", "jobs", "requested MB", "used MB", "share", "requested min", "used min"]]
    for row in used:
        share = f"{row.megabytes_taken / row.megabytes_asked:.0%}"
        memory = [str(row.megabytes_asked), f"{row.megabytes_taken:.0f}", share]
        time = [str(row.minutes_asked), f"{row.minutes_taken:.1f}"]
        rows.append([row.rule, str(row.jobs), *memory, *time])
    return aligned(rows)


def _not_counted(study: Study) -> str:
    """Return what a study requests beyond the figures, in a line; "" for nothing."""
    keys = ("system_counts", "design_counts", "calibration")
    more = [f"evidence.{key}" for key in keys if getattr(study.evidence, key)]
    more += [f"downstream.{name}" for name in study.downstream.asked()]
    return f"not counted: {', '.join(more)}" if more else ""


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
