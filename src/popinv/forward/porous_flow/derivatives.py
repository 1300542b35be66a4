r"""Derivatives of porous medium flow with respect to its parameters.

With the stiffness matrix ``A = sum_c kappa_c A_c``, ``kappa = exp(a)``, the solution
``v = A^{-1} b`` and observations ``y = K^{-1}(O v)``,

.. math::
    dv = -A^{-1} \sum_c \kappa_c\, da_c\, A_c v, \qquad
    \frac{\partial (c^T y)}{\partial a_c} = -\kappa_c\, \lambda^T A_c v, \qquad
    A \lambda = O^T \operatorname{diag}(dy/dv)\, c .

Either way a system costs one factorisation; a tangent costs one more solve with it, and the
adjoint one for all parameters together. In one dimension a tangent needs no solve
(:mod:`popinv.forward.porous_flow.chain`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np
from scipy.linalg import lapack

from popinv.forward.checks import checked_rows
from popinv.forward.porous_flow import chain
from popinv.forward.porous_flow.design import FixedSensors, Loaded
from popinv.forward.porous_flow.kernels import aligned_rows, assemble, fill, invert_kirchhoff
from popinv.forward.porous_flow.operators import PorousOperators

if TYPE_CHECKING:
    from popinv.forward.porous_flow.model import PorousFlowModel


# Matrices and right-hand sides that are in memory together.
_BUFFER_VALUES = 2**22


def jvp(
    model: PorousFlowModel, z: np.ndarray, tangents: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return observations (n, d_y) and their derivatives along tangents (k, n, d_z)."""
    z, reasons = checked_rows("porous_flow", z, model.parameters)
    op, d_y = model.operators, len(model.sensors)
    values, changes = np.empty((len(z), d_y)), np.empty((len(tangents), len(z), d_y))
    for part in _parts(op, len(z), len(tangents)):
        kappa, solved = _solved(model, z[part], reasons[part])
        da = model.field.jvp(z[part], model._basis, tangents[:, part])
        loaded = solved.loaded
        observed = np.empty((len(kappa), d_y))
        loaded.sensors.observe(solved.solutions, observed)
        loaded.scale(observed)
        invert_kirchhoff(observed, model.kirchhoff, model.exponent)
        values[part] = observed
        along = changes[:, part]
        if model.dimension == 1:
            _observed_along(op, kappa, solved, da, along)
        else:
            along[:] = _observed_changes(op, kappa, solved, da, d_y)
        loaded.scale(along)
        along *= _slope(model, observed)
    failed = reasons != ""
    values[failed], changes[:, failed] = np.nan, np.nan
    return values, changes


def _observed_along(
    op: PorousOperators, kappa: np.ndarray, solved: _Solved, da: np.ndarray, along: np.ndarray
) -> None:
    """Write the changes (k, n, d_y) of the observations of v in one dimension."""
    sensors = solved.loaded.sensors
    if isinstance(sensors, FixedSensors):
        chain.observed_changes(*op.chain, kappa, solved.solutions, da, *sensors.matrix, along)
        return
    everywhere = np.empty((*along.shape[:2], op.unknowns))
    every = np.arange(op.unknowns + 1), np.arange(op.unknowns), np.ones(op.unknowns)
    chain.observed_changes(*op.chain, kappa, solved.solutions, da, *every, everywhere)
    for changes, observed in zip(everywhere, along, strict=True):
        sensors.observe(changes, observed)


def _observed_changes(
    op: PorousOperators, kappa: np.ndarray, solved: _Solved, da: np.ndarray, d_y: int
) -> np.ndarray:
    """Return the changes (k, n, d_y) of the observations of v, for changes da (k, n, n_cells)."""
    n, k = len(kappa), len(da)
    # The order is the order of rows: the sides of one system lie together.
    right = np.zeros((n, k, op.unknowns))
    _stiffness_changes(
        np.ascontiguousarray(np.moveaxis(da, 0, 1)) * kappa[:, None],
        op.pointer,
        op.cells,
        op.weights,
        op.rows,
        op.columns,
        solved.solutions,
        right,
    )
    solved.solve(right)
    along = np.empty((n * k, d_y))
    solved.loaded.sensors.repeated(k).observe(right.reshape(-1, op.unknowns), along)
    return np.moveaxis(along.reshape(n, k, d_y), 1, 0)


def vjp(model: PorousFlowModel, z: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
    """Return the gradient in z of the observations' sum with cotangents (n, d_y)."""
    z, reasons = checked_rows("porous_flow", z, model.parameters)
    op, gradient = model.operators, np.empty_like(z)
    for part in _parts(op, len(z), 1):
        kappa, solved = _solved(model, z[part], reasons[part])
        loaded = solved.loaded
        observed = np.empty((len(kappa), len(model.sensors)))
        loaded.sensors.observe(solved.solutions, observed)
        loaded.scale(observed)
        invert_kirchhoff(observed, model.kirchhoff, model.exponent)
        right = np.zeros((len(kappa), 1, op.unknowns))
        weights = cotangents[part] * _slope(model, observed)
        loaded.scale(weights)
        loaded.sensors.spread(weights, right[:, 0])
        solved.solve(right)
        of_kappa = np.zeros_like(kappa)
        _cell_products(
            op.pointer,
            op.cells,
            op.weights,
            op.rows,
            op.columns,
            right[:, 0],
            solved.solutions,
            of_kappa,
        )
        # Failed rows may hold infinities.
        with np.errstate(invalid="ignore"):
            gradient[part] = model.field.vjp(z[part], model._basis, -kappa * of_kappa)
    gradient[reasons != ""] = np.nan
    return gradient


def _parts(op: PorousOperators, count: int, sides: int) -> list[slice]:
    rows = max(1, _BUFFER_VALUES // (op.buffer_length + 2 * (sides + 1) * op.unknowns))
    return [slice(start, start + rows) for start in range(0, count, rows)]


class _Solved:
    """Factorised matrices of some systems, and their solutions (n, unknowns)."""

    def __init__(
        self, op: PorousOperators, matrices: np.ndarray, loaded: Loaded, reasons: np.ndarray
    ) -> None:
        self._op, self._matrices, self._reasons = op, matrices, reasons
        self.loaded = loaded
        self._one_dimension = op.midpoints.shape[1] == 1
        for i in np.flatnonzero(self._factorise()):
            reasons[i] = reasons[i] or "the stiffness matrix is not positive definite"
        shape = len(matrices), op.unknowns
        self.solutions = np.array(np.broadcast_to(loaded.loads, shape), order="C")
        self.solve(self.solutions[:, None])

    def _factorise(self) -> np.ndarray:
        """Return which matrices are not positive definite."""
        if self._one_dimension:
            return chain.factorise(self._matrices, self._op.unknowns)
        failed = np.zeros(len(self._matrices), dtype=bool)
        for i in np.flatnonzero(self._reasons == "").tolist():
            failed[i] = lapack.dpbtrf(self._band(i), lower=1, overwrite_ab=1)[1] != 0
        return failed

    def _band(self, i: int) -> np.ndarray:
        shape = self._op.unknowns, self._op.bandwidth + 1
        return self._matrices[i, : self._op.buffer_length].reshape(shape).T

    def solve(self, sides: np.ndarray) -> None:
        """Replace right-hand sides (n, k, unknowns) by the solutions."""
        if self._one_dimension:
            chain.solve(self._matrices, sides)
            return
        for i in np.flatnonzero(self._reasons == "").tolist():
            lapack.dpbtrs(self._band(i), sides[i].T, lower=1, overwrite_b=1)


def _solved(
    model: PorousFlowModel, z: np.ndarray, reasons: np.ndarray
) -> tuple[np.ndarray, _Solved]:
    """Return permeabilities (n, n_cells) and the solved systems."""
    op = model.operators
    kappa, loaded = model._permeability(z, reasons), model.loaded(z, reasons)
    matrices, entries = aligned_rows(len(z), op.buffer_length), np.empty((len(z), len(op.slots)))
    finite = assemble(kappa, op.pointer, op.cells, op.weights, entries)
    fill(entries, op.slots, matrices)
    for i in np.flatnonzero(~finite):
        reasons[i] = reasons[i] or "the stiffness matrix overflows: log-permeability too high"
    return kappa, _Solved(op, matrices, loaded, reasons)


def _slope(model: PorousFlowModel, u: np.ndarray) -> np.ndarray | float:
    """Return dy / dv = 1 / kappa(u) at the observed u."""
    if model.nonlinearity == "none":
        return 1.0
    if model.nonlinearity == "quadratic":
        return 1 / (1 + u**2)
    with np.errstate(divide="ignore"):
        return np.abs(u) ** -model.exponent


@numba.njit(nogil=True, cache=True)
def _stiffness_changes(
    change: np.ndarray,
    pointer: np.ndarray,
    cells: np.ndarray,
    weights: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    solutions: np.ndarray,
    right: np.ndarray,
) -> None:
    """Write -dA v into ``right`` (n, k, unknowns) for changes of kappa (n, k, n_cells)."""
    for i in range(right.shape[0]):
        for k in range(right.shape[1]):
            for s in range(rows.shape[0]):
                entry = 0.0
                for t in range(pointer[s], pointer[s + 1]):
                    entry += weights[t] * change[i, k, cells[t]]
                right[i, k, rows[s]] -= entry * solutions[i, columns[s]]
                if rows[s] != columns[s]:
                    right[i, k, columns[s]] -= entry * solutions[i, rows[s]]


@numba.njit(nogil=True, cache=True)
def _cell_products(
    pointer: np.ndarray,
    cells: np.ndarray,
    weights: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    adjoint: np.ndarray,
    solutions: np.ndarray,
    of_kappa: np.ndarray,
) -> None:
    """Add lambda^T A_c v of every cell to ``of_kappa`` (n, n_cells)."""
    for i in range(of_kappa.shape[0]):
        for s in range(rows.shape[0]):
            product = adjoint[i, rows[s]] * solutions[i, columns[s]]
            if rows[s] != columns[s]:
                product += adjoint[i, columns[s]] * solutions[i, rows[s]]
            for t in range(pointer[s], pointer[s + 1]):
                of_kappa[i, cells[t]] += weights[t] * product
