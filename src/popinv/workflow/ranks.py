"""A stage that the ranks of an MPI communicator run together, on one machine or several.

The job of a rule whose resource ``tasks`` is larger than 1 starts its own script once more for each
rank. All ranks run the stage, and share its loops (:func:`popinv.workers.ranks`) or divide its
systems (:mod:`popinv.inference.density.division`). The first one writes the outputs. What the
others write goes to folders of their own, and is removed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from popinv.errors import PopinvError
from popinv.workers import ranks

_STARTED = "POPINV_RANKS"
"""Variable of the environment of a rank: their number."""

_OF_STEP = ("SLURM_JOB_NODELIST", "SLURM_NNODES")
"""Variables that name the one node of a step in a Slurm job, to which srun would keep."""


class RanksError(PopinvError):
    """The ranks could not be started, or one of them has failed."""


def wants_ranks(snakemake: Any) -> bool:
    """Return whether a job requests several ranks, and is not one of them."""
    return int(snakemake.resources.get("tasks", 1)) > 1 and _STARTED not in os.environ


def default_launcher() -> str:
    """Return the launcher of MPI processes, within a Slurm job and elsewhere."""
    # The plugin runs the script in a step that holds the job's resources. Without --overlap, the
    # ranks would wait for the end of that step.
    return "srun --overlap --mpi=pmix" if "SLURM_JOB_ID" in os.environ else "mpiexec --bind-to none"


def start_ranks(snakemake: Any) -> None:
    """Start the ranks of a job, and wait for them.

    Raises
    ------
    RanksError
        If there is no such launcher, or one of the ranks fails, after its own message.
    """
    count = int(snakemake.resources.tasks)
    launcher = shlex.split(str(snakemake.resources.get("mpi", "")) or default_launcher())
    start = [*launcher, "-n", str(count)]
    command = [*start, sys.executable, "-m", "mpi4py", sys.argv[0]]
    try:
        done = subprocess.run(command, env=_environment(count), check=False)
    except FileNotFoundError:
        raise RanksError(
            f"the launcher `{launcher[0]}` of the {count} ranks is not found. Another one is named "
            f"by --set-resources {snakemake.rule}:mpi=..."
        ) from None
    if done.returncode:
        raise RanksError(
            f"the {count} ranks, started by `{shlex.join(start)} ...`, ended with status "
            f"{done.returncode}"
        )


def _environment(count: int) -> dict[str, str]:
    """Return the environment of ``count`` ranks, which are to use all nodes of a Slurm job."""
    within_step = "SLURM_STEP_ID" in os.environ
    kept = {
        name: value for name, value in os.environ.items() if not (within_step and name in _OF_STEP)
    }
    return {**kept, _STARTED: str(count)}


@contextmanager
def as_rank(snakemake: Any) -> Iterator[None]:
    """Run a job as one of the ranks that were started, or as it is.

    Raises
    ------
    RanksError
        If the ranks have no communicator in common.
    """
    if _STARTED not in os.environ:
        yield
        return
    from mpi4py import MPI

    comm, count = MPI.COMM_WORLD, int(os.environ[_STARTED])
    if comm.size != count:
        # A launcher of another MPI starts that many processes with a communicator of one each.
        raise RanksError(
            f"{count} processes were requested, but the launcher's communicator has {comm.size}"
        )
    with tempfile.TemporaryDirectory() as folder:
        if comm.rank:
            _write_elsewhere(snakemake, Path(folder))
        # Nobody writes a checkpoint before all have read it.
        comm.Barrier()
        with ranks(comm):
            yield
        comm.Barrier()


def _write_elsewhere(snakemake: Any, folder: Path) -> None:
    """Let a rank that is not the first write to a folder of its own."""

    def elsewhere(path: Any) -> str:
        place = folder / str(path).lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        return str(place)

    for name in ("output", "log"):
        given = getattr(snakemake, name)
        setattr(snakemake, name, type(given)(toclone=given, custom_map=elsewhere))
    kept = snakemake.params.get("checkpoint")
    if kept:
        own = elsewhere(kept)
        # All ranks go on from the same state.
        if Path(kept).exists():
            shutil.copy(kept, own)
        snakemake.params.checkpoint = own
    # It stays open until the process ends.
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
