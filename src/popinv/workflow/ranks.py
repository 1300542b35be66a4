"""A stage that the ranks of an MPI communicator run together, on one machine or several.

The job of a rule whose resource ``tasks`` is larger than 1 starts this module once for each rank.
All ranks run the stage, and share its loops (:func:`popinv.workers.ranks`). The first one writes
the outputs. What the others write goes to folders of their own, and is removed.
"""

from __future__ import annotations

import os
import pickle
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from popinv.errors import PopinvError

_STARTED = "POPINV_RANKS"
"""Variable of the environment of a rank."""


class RanksError(PopinvError):
    """The ranks could not be started, or one of them has failed."""


def wants_ranks(snakemake: Any) -> bool:
    """Return whether a job asks for several ranks, and is not one of them."""
    return int(snakemake.resources.get("tasks", 1)) > 1 and _STARTED not in os.environ


def default_launcher() -> str:
    """Return the launcher of MPI processes, within a Slurm job and elsewhere."""
    return "srun --mpi=pmix" if "SLURM_JOB_ID" in os.environ else "mpiexec --bind-to none"


def start_ranks(snakemake: Any) -> None:
    """Start the ranks of a job, and wait for them.

    Raises
    ------
    RanksError
        If one of them fails. It has told why.
    """
    count = int(snakemake.resources.tasks)
    launcher = shlex.split(str(snakemake.resources.get("mpi", "")) or default_launcher())
    # The ranks may be on other machines, which share the folder of the results.
    folder = Path(snakemake.output[0]).parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".ranks_", suffix=".pickle") as file:
        pickle.dump(snakemake, file)
        file.flush()
        command = [*launcher, "-n", str(count), sys.executable, "-m", "mpi4py"]
        command += ["-m", __name__, file.name, str(count)]
        done = subprocess.run(command, env={**os.environ, _STARTED: str(count)}, check=False)
    if done.returncode:
        raise RanksError(
            f"the {count} ranks, started by `{shlex.join(command[:4])} ...`, ended with status "
            f"{done.returncode}"
        )


def _of_other_rank(snakemake: Any, folder: Path) -> None:
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


def main(file: str, count: int) -> None:
    """Run the stage of a pickled job as one of ``count`` ranks."""
    from mpi4py import MPI

    from popinv.workers import ranks
    from popinv.workflow.stage import run_stage

    comm = MPI.COMM_WORLD
    if comm.size != count:
        # A launcher of another MPI starts that many processes with a communicator of one each.
        sys.exit(f"{count} ranks were requested, but the launcher's communicator has {comm.size}")
    snakemake = pickle.loads(Path(file).read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        if comm.rank:
            _of_other_rank(snakemake, Path(folder))
            # It stays open until the process ends.
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        # Nobody writes a checkpoint before all have read it.
        comm.Barrier()
        with ranks(comm):
            run_stage(snakemake)
        comm.Barrier()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
