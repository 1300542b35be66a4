"""What a study takes before it is run: jobs, time, memory and disk, against a machine.

Numbers of jobs belong to a run from nothing to the assessment and the figures. Time and memory
come from :mod:`popinv.workflow.resources`.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from popinv.config.study import Config, Study
from popinv.errors import ConfigError
from popinv.regular_files import walk
from popinv.workflow.resources import Demand, demand, processes_of
from popinv.workflow.rounds import chunk_count, rounds_of, solve_count
from popinv.workflow.sizes import Sizes
from popinv.workflow.stages import jobs_of, shares_loops

# Folders in the folder of a study.
_FOLDERS = {"made", "rounds", "chunks", "figures", "logs", "benchmarks"}
# More jobs than this take Snakemake hours to plan.
_MOST_CHUNKS = 200_000
# A smaller study is not refused: the job that finds the disk full says so.
_LEAST_DISK = 100.0
# Keys whose values make a study large.
_LARGE = (
    "observations.count",
    "active_learning.first_design",
    "active_learning.solves_per_round",
    "surrogate.width",
    "surrogate.batch_size",
    "descent.model_samples",
    "descent.directions",
    "polish.draws",
    "forward.elements",
)


@dataclass(frozen=True)
class JobsOfRule:
    """The number of a rule's jobs, what the largest of them takes, and the cores of each."""

    rule: str
    jobs: int
    demand: Demand
    cores: int


@dataclass(frozen=True)
class Machine:
    """Cores, memory, and free disk at the place of the results."""

    cores: int
    megabytes: float
    free_megabytes: float

    @classmethod
    def here(cls, results: str | Path) -> Machine:
        """Return this machine."""
        folder = Path(results).absolute()
        while not folder.exists():
            folder = folder.parent
        memory = psutil.virtual_memory().total / 1e6
        free = shutil.disk_usage(folder).free / 1e6
        return cls(psutil.cpu_count() or 1, memory, free)


def stages(study: Study, measured: float | None = None) -> list[JobsOfRule]:
    """Return what a study takes, rule by rule.

    Parameters
    ----------
    measured : float, optional
        Mean seconds of a solve; without it they are assumed.
    """
    found = []
    for rule, jobs in jobs_of(study).items():
        needed = demand(rule, study, measured)
        found.append(JobsOfRule(rule, jobs, needed, _cores(rule, study, needed)))
    return found


def _cores(rule: str, study: Study, needed: Demand) -> int:
    if rule == "solve_chunk_distributed":
        return study.ranks()
    return processes_of(needed) if shares_loops(rule) else 1


def disk_megabytes(study: Study) -> float:
    """Return the disk that the stores of a study take, about.

    Solves are in their chunks and in the record of each later round.
    """
    return Sizes(study).tables * (2 + study.active_learning.rounds)


def check_results_folder(results: str | os.PathLike[str]) -> None:
    """Stop before any work if the folder of the results is not writable.

    Raises
    ------
    ConfigError
        Naming the folder, and what is in the way.
    """
    folder = Path(results)
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        fault = "leads nowhere" if folder.is_symlink() else "is not a folder"
        raise ConfigError(f"results: {folder} {fault}. Delete it, or name another folder.")
    # On a read-only file system this fails for root too.
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(
            f"results: {folder} cannot be written to (a read-only file system, or another's "
            "folder). Make it writable, or name another folder."
        )


def check_entries(results: str | os.PathLike[str], studies: Iterable[str]) -> None:
    """Refuse what stands in the place of a folder, and links that lead to themselves.

    Snakemake would end with a traceback.

    Raises
    ------
    ConfigError
        Naming the entry.
    """

    def refuse(entry: Path, fault: str) -> None:
        raise ConfigError(f"{entry} {fault}. Delete it; what was there is made again.")

    for entry in (Path(results), *(Path(results, name) for name in studies)):
        if os.path.lexists(entry) and not entry.is_dir():
            refuse(entry, "is not a folder")
    for place, inner, names in walk(results):
        for entry in (Path(place, name) for name in (*inner, *names)):
            try:
                is_folder = stat.S_ISDIR(entry.stat().st_mode)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    refuse(entry, "is a link that leads to itself")
                is_folder = False
            if entry.name in _FOLDERS and not is_folder:
                refuse(entry, "is not a folder")


def check_jobs(config: Config) -> None:
    """Refuse studies of more jobs than can be planned; this check precedes the plan.

    Raises
    ------
    ConfigError
        Naming the study, the number of jobs and the key.
    """
    for name, study in config.studies.items():
        chunks = sum(chunk_count(study, each) for each in rounds_of(study))
        if chunks > _MOST_CHUNKS:
            size = study.active_learning.chunk_size
            solves = [solve_count(study, each) for each in rounds_of(study)]
            # The last chunk of each round may be small.
            least = -(-sum(solves) // (_MOST_CHUNKS - len(solves)))
            raise ConfigError(
                f"studies.{name}: {chunks:,} jobs would solve {size:,} systems each, and at most "
                f"{_MOST_CHUNKS:,} can be planned. Raise active_learning.chunk_size to {least:,} "
                f"or more, or take fewer systems ({_largest_key(study, disk_megabytes)})."
            )


def check_fits(config: Config, machine: Machine) -> None:
    """Refuse studies that a machine cannot run.

    Raises
    ------
    ConfigError
        With each study and stage, what it takes, what there is, and the key to lower.
    """
    faults = []
    for name, study in config.studies.items():
        largest = max(stages(study), key=lambda stage: stage.demand.megabytes)
        megabytes = largest.demand.megabytes
        if megabytes > machine.megabytes:
            key = _largest_key(study, partial(_memory, largest.rule))
            faults.append(
                f"studies.{name}: {largest.rule} would take {_size(megabytes)} of memory, "
                f"and this machine has {_size(machine.megabytes)}. Lower {key}."
            )
        if disk_megabytes(study) > max(machine.free_megabytes, _LEAST_DISK):
            faults.append(
                f"studies.{name}: the results would take {_size(disk_megabytes(study))}, and the "
                f"disk has {_size(machine.free_megabytes)} left. Lower "
                f"{_largest_key(study, disk_megabytes)}, or have 'results' on another disk."
            )
    if faults:
        raise ConfigError("\n".join(faults))


def _size(megabytes: float) -> str:
    return f"{megabytes / 1000:,.0f} GB" if megabytes >= 10_000 else f"{megabytes:,.0f} MB"


def _memory(rule: str, study: Study) -> float:
    return demand(rule, study).megabytes


def _largest_key(study: Study, taken: Callable[[Study], float]) -> str:
    """Return the key, with its value, whose half saves most of what is taken."""
    given, saved = taken(study), dict[str, tuple[float, int]]()
    for key in _LARGE:
        *sections, last = key.split(".")
        section: Any = getattr(study, sections[0], None)
        value = getattr(section, last, None)
        if isinstance(value, int) and value > 1:
            halved = section.model_copy(update={last: value // 2})
            less = given - taken(study.model_copy(update={sections[0]: halved}))
            # Of the factors of a product, each of which saves as much, the largest.
            saved[f"{key} ({value:,})"] = float(f"{less:.2g}"), value
    return max(saved, key=lambda key: saved[key])
