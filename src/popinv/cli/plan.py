"""What `popinv plan` prints: the jobs of the studies, and what they take."""

from __future__ import annotations

from pathlib import Path

from popinv.cli.solve_costs import duration, known_times
from popinv.config.study import Config
from popinv.workflow.preflight import Machine, check_fits, check_jobs, disk_megabytes, stages
from popinv.workflow.study_sizes import measured_solves


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
        times = measured_solves(study, config.results)
        for stage in stages(study, None if times is None else times.each):
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
        known = known_times(name, study, config.results)
        blocks.append("\n".join(filter(None, [heading, *lines, known])))
    blocks.append(
        f"together: {jobs:,} jobs, {duration(seconds)} of one core, at most {most:,.0f} MB in a "
        f"job, about {disk:,.0f} MB of disk\n"
        f"here: {machine.cores} cores, {machine.megabytes:,.0f} MB of memory, "
        f"{machine.free_megabytes:,.0f} MB of disk left"
    )
    text = "\n\n".join(blocks)
    check_fits(config, machine)
    return text
