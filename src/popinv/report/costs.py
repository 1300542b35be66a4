"""Resources of a study by stage, from the benchmark files of its jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from popinv.config.study import Study
from popinv.report.records import StageCosts
from popinv.workflow.benchmarks import Job, asked_and_taken

# Rules that write pages and draw the gallery do not count as cost of a study.
_PAGES = ("write_study_page", "draw_systems", "draw_noise")


def jobs_of(folder: Path, study: Study) -> list[Job]:
    """Return the jobs of :func:`asked_and_taken`, without those that write pages."""
    return [job for _, job in asked_and_taken(folder, study) if job.rule not in _PAGES]


def stages(jobs: Iterable[Job]) -> tuple[StageCosts, ...]:
    """Return the resources of the jobs of each rule together, the longest first."""
    by_rule: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_rule[job.rule].append(job)
    totals = [
        StageCosts(
            rule,
            len(own),
            sum(job.seconds for job in own),
            max(job.seconds for job in own),
            sum(job.processor_seconds or 0.0 for job in own),
            max((job.megabytes for job in own if job.megabytes is not None), default=None),
        )
        for rule, own in by_rule.items()
    ]
    return tuple(sorted(totals, key=lambda stage: -stage.seconds))
