"""Started by mpiexec: solve rows by all processes together, and save what each of them found.

Each folder that is given has a section and its rows.
"""

import sys
from pathlib import Path

import numpy as np
from mpi4py import MPI

from popinv_models.porous_flow.distributed import DistributedPorousFlow
from popinv_models.porous_flow.section import PorousFlow

comm = MPI.COMM_WORLD
for folder in map(Path, sys.argv[1:]):
    section = PorousFlow.model_validate_json((folder / "section").read_text())
    model = DistributedPorousFlow(section, 3, comm)
    z = np.load(folder / "z.npy")
    whole, part = model.solve(z), model.solve(z[2:])
    np.savez(
        folder / f"answers.{comm.rank}",
        observations=whole.observations,
        reason=whole.reason,
        part=part.observations,
    )
