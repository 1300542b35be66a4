r"""Derivatives of porous medium flow with respect to its parameters.

With the stiffness matrix ``A = sum_c kappa_c A_c``, ``kappa = exp(a)``, the solution
``v = A^{-1} b`` and observations ``y = K^{-1}(O v)``,

.. math::
    dv = -A^{-1} \sum_c \kappa_c\, da_c\, A_c v, \qquad
    \frac{\partial (c^T y)}{\partial a_c} = -\kappa_c\, \lambda^T A_c v, \qquad
    A \lambda = O^T \operatorname{diag}(dy/dv)\, c .

Either way a system costs one factorisation; a tangent costs one more solve with it, and the
adjoint one for all parameters together.

In one dimension ``A = D^T diag(g) D`` with the differences D between neighbours and the
conductances ``g_c = kappa_c / h_c``. From ``D^T (g D dv + g da D v) = 0`` follows that the flux
changes by the same f everywhere,

.. math:: (D\, dv)_c = f / g_c - da_c\, (D v)_c, \qquad f = \sum_c da_c (D v)_c / \sum_c 1 / g_c ,

so that a tangent is a sum along the interval, and needs no solve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np
from scipy.linalg import lapack

from popinv.forward.checks import checked_rows
from popinv.forward.porous_flow.kernels import aligned_rows, fill, invert_kirchhoff, observe
from popinv.forward.porous_flow.operators import PorousOperators

if TYPE_CHECKING:
    from popinv.forward.porous_flow.model import PorousFlow

__all__ = ["jvp", "vjp"]

# Matrices and right-hand sides that are in memory together.
_BUFFER_VALUES = 2**22


def jvp(model: PorousFlow, z: np.ndarray, tangents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return observations (n, d_y) and their derivatives along tangents (k, n, d_z)."""
    z, reasons = checked_rows("porous_flow", z, model.parameters)
    op, d_y = model.operators, len(model.sensors)
    values, changes = np.empty((len(z), d_y)), np.empty((len(tangents), len(z), d_y))
    for part in _parts(op, len(z), len(tangents)):
        kappa, solved = _solved(model, z[part], reasons[part])
        da = model.field.jvp(z[part], model._basis, tangents[:, part])
        # In the order of rows: the changes of one system lie together.
        dv = np.zeros((len(kappa), len(tangents), op.unknowns))
        if model.dimension == 1:
            _changes_along_chain(*op.chain, kappa, solved.solutions, da, dv)
        else:
            _stiffness_changes(
                np.ascontiguousarray(np.moveaxis(da, 0, 1)) * kappa[:, None],
                op.pointer,
                op.cells,
                op.weights,
                op.rows,
                op.columns,
                solved.solutions,
                dv,
            )
            solved.solve(dv)
        observed = np.empty((len(kappa), d_y))
        _observe(op, solved.solutions, observed)
        along = np.empty((len(kappa) * len(tangents), d_y))
        _observe(op, dv.reshape(-1, op.unknowns), along)
        invert_kirchhoff(observed, model.kirchhoff, model.exponent)
        values[part] = observed
        of_systems = along.reshape(len(kappa), len(tangents), d_y)
        changes[:, part] = np.moveaxis(of_systems, 1, 0) * _slope(model, observed)
    failed = reasons != ""
    values[failed], changes[:, failed] = np.nan, np.nan
    return values, changes


def vjp(model: PorousFlow, z: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
    """Return the gradient in z of the observations' sum with cotangents (n, d_y)."""
    z, reasons = checked_rows("porous_flow", z, model.parameters)
    op, gradient = model.operators, np.empty_like(z)
    for part in _parts(op, len(z), 1):
        kappa, solved = _solved(model, z[part], reasons[part])
        observed = np.empty((len(kappa), len(model.sensors)))
        _observe(op, solved.solutions, observed)
        invert_kirchhoff(observed, model.kirchhoff, model.exponent)
        right = np.zeros((len(kappa), 1, op.unknowns))
        _spread(
            op.observation_pointer,
            op.observation_columns,
            op.observation_weights,
            cotangents[part] * _slope(model, observed),
            right[:, 0],
        )
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
        # Rows that are not answered may hold infinities.
        with np.errstate(invalid="ignore"):
            gradient[part] = model.field.vjp(z[part], model._basis, -kappa * of_kappa)
    gradient[reasons != ""] = np.nan
    return gradient


def _parts(op: PorousOperators, count: int, sides: int) -> list[slice]:
    rows = max(1, _BUFFER_VALUES // (op.buffer_length + 2 * (sides + 1) * op.unknowns))
    return [slice(start, start + rows) for start in range(0, count, rows)]


class _Solved:
    """Factorised matrices of some systems, and their solutions (n, unknowns)."""

    def __init__(self, op: PorousOperators, matrices: np.ndarray, reasons: np.ndarray) -> None:
        self._op, self._matrices, self._reasons = op, matrices, reasons
        for i in range(len(matrices)):
            if not reasons[i] and self._factorise(matrices[i]):
                reasons[i] = "the stiffness matrix is not positive definite"
        self.solutions = np.tile(op.load, (len(matrices), 1))
        self.solve(self.solutions[:, None])

    def _factorise(self, matrix: np.ndarray) -> int:
        n, width = self._op.unknowns, self._op.bandwidth + 1
        if self._op.midpoints.shape[1] == 1:
            *_, info = lapack.dpttrf(
                matrix[:n], matrix[n : 2 * n - 1], overwrite_d=1, overwrite_e=1
            )
        else:
            band = matrix[: self._op.buffer_length].reshape(n, width).T
            _, info = lapack.dpbtrf(band, lower=1, overwrite_ab=1)
        return int(info)

    def solve(self, sides: np.ndarray) -> None:
        """Replace right-hand sides (n, k, unknowns) by the solutions."""
        n, width = self._op.unknowns, self._op.bandwidth + 1
        one_dimension = self._op.midpoints.shape[1] == 1
        for i in np.flatnonzero(self._reasons == ""):
            matrix, right = self._matrices[i], sides[i].T
            if one_dimension:
                diagonal, below = matrix[:n], matrix[n : 2 * n - 1]
                lapack.dpttrs(diagonal, below, right, overwrite_b=1)
            else:
                band = matrix[: self._op.buffer_length].reshape(n, width).T
                lapack.dpbtrs(band, right, lower=1, overwrite_b=1)


def _solved(model: PorousFlow, z: np.ndarray, reasons: np.ndarray) -> tuple[np.ndarray, _Solved]:
    """Return permeabilities (n, n_cells) and the solved systems."""
    op = model.operators
    kappa = model._permeability(z, reasons)
    matrices, entries = aligned_rows(len(z), op.buffer_length), np.empty((len(z), len(op.slots)))
    finite = fill(kappa, op.slots, op.pointer, op.cells, op.weights, matrices, entries)
    for i in np.flatnonzero(~finite):
        reasons[i] = reasons[i] or "the stiffness matrix overflows: log-permeability too high"
    return kappa, _Solved(op, matrices, reasons)


def _observe(op: PorousOperators, vectors: np.ndarray, values: np.ndarray) -> None:
    observe(
        vectors,
        op.observation_pointer,
        op.observation_columns,
        op.observation_weights,
        values,
    )


def _slope(model: PorousFlow, u: np.ndarray) -> np.ndarray | float:
    """Return dy / dv = 1 / kappa(u) at the observed u."""
    if model.nonlinearity == "none":
        return 1.0
    if model.nonlinearity == "quadratic":
        return 1 / (1 + u**2)
    with np.errstate(divide="ignore"):
        return np.abs(u) ** -model.exponent


# Permeabilities of zero are those of rows that are not answered: their changes are not numbers.
@numba.njit(nogil=True, cache=True, error_model="numpy")
def _changes_along_chain(
    cells: np.ndarray,
    weights: np.ndarray,
    kappa: np.ndarray,
    solutions: np.ndarray,
    da: np.ndarray,
    dv: np.ndarray,
) -> None:
    """Write dv (n, k, unknowns) for changes da (k, n, n_cells) of the logarithm of kappa."""
    n, unknowns = solutions.shape
    drop, resistance = np.empty(unknowns + 1), np.empty(unknowns + 1)
    for i in range(n):
        total, before = 0.0, 0.0
        for c in range(unknowns + 1):
            here = solutions[i, c] if c < unknowns else 0.0
            drop[c] = here - before
            before = here
            resistance[c] = 1.0 / (kappa[i, cells[c]] * weights[c])
            total += resistance[c]
        for k in range(da.shape[0]):
            flux = 0.0
            for c in range(unknowns + 1):
                flux += da[k, i, cells[c]] * drop[c]
            flux /= total
            change = 0.0
            for c in range(unknowns):
                change += flux * resistance[c] - da[k, i, cells[c]] * drop[c]
                dv[i, k, c] = change


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


@numba.njit(nogil=True, cache=True)
def _spread(
    pointer: np.ndarray,
    columns: np.ndarray,
    weights: np.ndarray,
    values: np.ndarray,
    right: np.ndarray,
) -> None:
    """Add O^T values to ``right`` (n, unknowns)."""
    for i in range(values.shape[0]):
        for s in range(values.shape[1]):
            for t in range(pointer[s], pointer[s + 1]):
                right[i, columns[t]] += weights[t] * values[i, s]
