"""Solve the forward model for one chunk of the proposals, each system by all processes together.

A program of its own, which the MPI launcher starts once for each process; the first one writes.
"""

import argparse
import json

from mpi4py import MPI

from popinv.errors import PopinvError
from popinv.forward.datasets import solves
from popinv.forward.porous_flow.distributed import DistributedPorousFlow
from popinv.forward.porous_flow.section import PorousFlow
from popinv.store import storage

RULE = "solve_chunk_distributed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("proposals", "solves"):
        parser.add_argument(name)
    parser.add_argument("--settings", type=json.loads, help="seed, forward and chunk_size")
    parser.add_argument("--round")
    parser.add_argument("--chunk", type=int)
    asked, comm = parser.parse_args(), MPI.COMM_WORLD
    given, first = asked.settings, comm.rank == 0
    section = PorousFlow.model_validate(given["forward"])
    if comm.size != section.ranks:
        # A launcher of another MPI, for example, starts that many processes with a communicator of
        # one each.
        raise PopinvError(
            f"{section.ranks} processes were requested, but the launcher's communicator has "
            f"{comm.size}"
        )
    start = asked.chunk * given["chunk_size"]
    rows = storage.load(asked.proposals).isel(sample=slice(start, start + given["chunk_size"]))
    model, z = DistributedPorousFlow(section, given["seed"], comm), rows["z"].values
    solutions = model.solve(z, f"solve/{asked.round}", start)
    if first:
        print(f"{len(z)} solves by {comm.size} processes, {int(solutions.failed.sum())} failed")
        storage.save(
            solves(z, solutions, list(rows["parameter"].values), model.observations),
            asked.solves,
            config={"forward": given["forward"]},
            seed=given["seed"],
            created_by=RULE,
        )
    comm.Barrier()


try:
    main()
except PopinvError as error:
    print(f"\n{RULE}: {error}\n", flush=True)
    # The other processes may be waiting for this one.
    MPI.COMM_WORLD.Abort(1)
