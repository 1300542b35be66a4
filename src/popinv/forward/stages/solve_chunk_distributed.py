"""Solve the forward model for one chunk of the proposals, each system by all ranks together."""

from __future__ import annotations

import xarray as xr

from popinv.forward.datasets import origin_of, solves
from popinv.forward.section import SharedSection
from popinv.workers import WorkerError, communicator


def solve_chunk_distributed(
    forward: SharedSection,
    proposals: xr.Dataset,
    *,
    seed: int,
    round_name: str,
    chunk: int,
    chunk_size: int,
) -> xr.Dataset:
    """Return the solves of one chunk of the proposals, the same on every rank.

    The parameters are those of :func:`popinv.forward.stages.solve_chunk.solve_chunk`.

    Raises
    ------
    WorkerError
        If the job has another number of ranks than the section.
    """
    comm, first = communicator(), chunk * chunk_size
    started = 1 if comm is None else comm.size
    if comm is None or started != forward.ranks:
        raise WorkerError(
            f"forward.ranks is {forward.ranks}, but the job has {started} ranks: leave its "
            "resource 'tasks' as it is"
        )
    rows = proposals.isel(sample=slice(first, first + chunk_size))
    model, z = forward.distributed_model(seed, comm), rows["z"].values
    solutions = model.solve(z, f"solve/{round_name}", first)
    print(f"{len(z)} solves by {comm.size} processes, {int(solutions.failed.sum())} failed")
    origin = origin_of(rows)
    return solves(z, solutions, list(rows["parameter"].values), model.observations, origin)
