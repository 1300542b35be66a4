"""Started by mpiexec: estimates that the ranks share, and what each rank has found."""

from __future__ import annotations

import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np

from popinv.errors import DivergenceError
from popinv.workers import Tally, parallel, ranks


def estimates() -> np.ndarray:
    """Return likelihoods, scores and an estimate of a small population, in small blocks."""
    # Imported here: the loops alone do without torch.
    from linear_population import TRUTH, linear_problem

    from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
    from popinv.inference.integrate import marginal, model_moments
    from popinv.threads import fixed_threads

    problem = linear_problem(60)
    with (
        fixed_threads(),
        patch.multiple(marginal, _BLOCK_VALUES=3000, _FEW_IN_A_BLOCK=2),
        patch.object(model_moments, "_ROWS", 2000),
    ):
        found = marginal.evaluate(problem, TRUTH + 0.1, marginal.MarginalSettings(draws=16))
        p = fit_pseudo_likelihood(problem, [TRUTH + 0.1]).p
    return np.concatenate([found.log_likelihood, found.scores.ravel(), p])


def squares() -> np.ndarray:
    """Return what turns have made of arrays."""
    return np.concatenate([*parallel(np.square, np.split(np.sqrt(np.arange(60)), 12), "squares")])


def main() -> None:
    from mpi4py import MPI

    comm, tally = MPI.COMM_WORLD, Tally()

    def turn(number: int) -> int:
        tally.add(number)
        if number == 13 and comm.size > 1:
            raise DivergenceError(f"of rank {comm.rank}")
        return comm.rank

    with ranks(comm):
        found = globals()[sys.argv[2]]()
        places = list(parallel(turn, range(9), "places"))
        counted = tally.value
        try:
            list(parallel(turn, range(12, 16), "failing"))
            told = ""
        except DivergenceError as error:
            told = str(error)
    np.savez(Path(sys.argv[1]) / f"{comm.rank}.npz", found=found, places=places, told=told,
             tally=counted)  # fmt: skip


if __name__ == "__main__":
    main()
