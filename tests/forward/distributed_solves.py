"""Started by mpiexec: solve rows by all processes together, and save what each of them found."""

import sys

import numpy as np
from mpi4py import MPI

from popinv.forward.porous_flow.distributed import DistributedPorousFlow
from popinv.forward.porous_flow.section import PorousFlow

section, rows, answers = sys.argv[1:]
comm = MPI.COMM_WORLD
with open(section) as file:
    model = DistributedPorousFlow(PorousFlow.model_validate_json(file.read()), 3, comm)
z = np.load(rows)
whole, part = model.solve(z), model.solve(z[2:])
np.savez(
    f"{answers}.{comm.rank}",
    observations=whole.observations,
    reason=whole.reason,
    part=part.observations,
)
