"""Solve the forward model for one chunk of the proposals, each system by all processes together.

A program of its own, which the MPI launcher starts once for each process; the first one writes.
"""

import argparse
import json
import time

from mpi4py import MPI

from popinv.errors import PopinvError
from popinv.forward.datasets import solves
from popinv.forward.porous_flow.distributed import DistributedPorousFlow
from popinv.forward.porous_flow.section import PorousFlow
from popinv.store import storage
from popinv.workflow.ranks import communicator_of
from popinv.workflow.records import job_record

RULE = "solve_chunk_distributed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("proposals", "solves", "made"):
        parser.add_argument(name)
    for name in ("rule", "study", "round", "chunk"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument(
        "--settings", required=True, help="seed, study, chunk_size and simulator, as JSON"
    )
    for name in ("code", "program"):
        parser.add_argument(f"--{name}", required=True, help="fingerprint, for the record")
    asked, started = parser.parse_args(), time.monotonic()
    given = json.loads(asked.settings)
    section = PorousFlow.model_validate(given["study"]["forward"])
    comm = communicator_of(section.ranks)
    start = int(asked.chunk) * given["chunk_size"]
    rows = storage.load(asked.proposals).isel(sample=slice(start, start + given["chunk_size"]))
    model, z = DistributedPorousFlow(section, given["seed"], comm), rows["z"].values
    solutions = model.solve(z, f"solve/{asked.round}", start)
    if comm.rank == 0:
        print(f"{len(z)} solves by {comm.size} processes, {int(solutions.failed.sum())} failed")
        storage.save(
            solves(z, solutions, list(rows["parameter"].values), model.observations),
            asked.solves,
            # By this the job that collects the chunks knows its own.
            config={**given["study"], "simulator": given["simulator"], "code": asked.code},
            seed=given["seed"],
            created_by=asked.rule,
        )
        job_record(
            rule=asked.rule,
            wildcards={"study": asked.study, "round": asked.round, "chunk": asked.chunk},
            params={name: getattr(asked, name) for name in ("settings", "code", "program")},
            inputs=[asked.proposals],
            outputs=[asked.solves],
            seconds=time.monotonic() - started,
        ).write(asked.made)
    comm.Barrier()


try:
    main()
except PopinvError as error:
    print(f"\n{RULE}: {error}\n", flush=True)
    # The other processes may be waiting for this one.
    MPI.COMM_WORLD.Abort(1)
