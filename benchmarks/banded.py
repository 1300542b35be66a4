"""Banded Cholesky factorisation: the package's loop beside LAPACK's, on the same matrices.

The matrices come from two-dimensional porous flow. Both sides begin with the entries of the lower
triangle in memory, the package's as a list and LAPACK's as a band. Both keep them: the package puts
them into its panels, and LAPACK's side copies the band.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from scipy.linalg import lapack

from benchmarks.porous_flow import model
from benchmarks.rows import Contest, Row
from popinv.seeds import generator
from popinv_models.finite_elements.banded import empty_factors
from popinv_models.porous_flow.kernels import fill, solve_banded

__all__ = ["FLOPS", "rows"]

_SYSTEMS = 100
_UNKNOWNS, _BANDWIDTH = 31 * 31, 31

# Multiplications and additions of Cholesky's factorisation and of two triangular solves.
FLOPS = _UNKNOWNS * (_BANDWIDTH * (_BANDWIDTH + 1) + 4 * _BANDWIDTH)

Solve = Callable[[np.ndarray, np.ndarray], np.ndarray]


def rows() -> list[Row]:
    """Return the rows of LAPACK's driver, and of its two routines in turn."""
    work = f"factorising and solving one matrix, {_UNKNOWNS} unknowns, {_BANDWIDTH} subdiagonals"
    return [
        Row(
            name=f"banded_cholesky/{name}",
            work=work,
            peer=f"LAPACK, {words}, by SciPy",
            packages=("scipy",),
            target=1.5,
            prepare=functools.partial(_contest, peer),
        )
        for name, words, peer in (
            ("dpbsv", "dpbsv", _by_driver),
            ("dpbtrf", "dpbtrf and dpbtrs", _in_turn),
        )
    ]


def _by_driver(band: np.ndarray, load: np.ndarray) -> np.ndarray:
    return lapack.dpbsv(band, load, lower=1, overwrite_ab=1, overwrite_b=1)[1]


def _in_turn(band: np.ndarray, load: np.ndarray) -> np.ndarray:
    factor, _ = lapack.dpbtrf(band, lower=1, overwrite_ab=1)
    return lapack.dpbtrs(factor, load, lower=1, overwrite_b=1)[0]


def _contest(peer: Solve) -> Contest:
    flow = model("cosine", 2)
    op, lower = flow.operators, flow.operators.stiffness
    assert (lower.unknowns, lower.bandwidth) == (_UNKNOWNS, _BANDWIDTH)
    z = 0.3 * generator(0, "benchmarks/banded").standard_normal((_SYSTEMS, len(flow.parameters)))
    kappa = np.exp(flow.field.evaluate(z, flow.field.basis(op.midpoints)))
    entries, _ = lower.assembled(kappa)
    matrices = np.empty((_SYSTEMS, op.buffer_length))
    fill(entries, op.slots, matrices)
    factors, scratch = empty_factors(lower.unknowns, lower.bandwidth), np.empty(op.buffer_length)
    # LAPACK's lower band: about six times faster than the upper one.
    band = scratch.reshape(lower.unknowns, lower.bandwidth + 1).T

    def ours() -> np.ndarray:
        solutions = np.tile(op.load, (_SYSTEMS, 1))
        for row, solution in zip(entries, solutions, strict=True):
            solve_banded(row, lower.rows, lower.columns, factors, solution)
        return solutions

    def theirs() -> np.ndarray:
        solutions = np.tile(op.load, (_SYSTEMS, 1))
        for matrix, solution in zip(matrices, solutions, strict=True):
            scratch[:] = matrix
            solution[:] = peer(band, solution)
        return solutions

    return Contest(
        ours=ours,
        peer=theirs,
        ours_units=_SYSTEMS,
        peer_units=_SYSTEMS,
        tolerance=1e-12,
        repeats=11,
    )
