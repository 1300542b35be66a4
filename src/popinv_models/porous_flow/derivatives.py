r"""Derivatives of porous medium flow with respect to its parameters.

With the stiffness matrix ``A = sum_c kappa_c A_c``, ``kappa = exp(a)``, the solution
``v = A^{-1} b`` and observations ``y = K^{-1}(O v)``,

.. math::
    dv = -A^{-1} \sum_c \kappa_c\, da_c\, A_c v, \qquad
    \frac{\partial (c^T y)}{\partial a_c} = -\kappa_c\, \lambda^T A_c v, \qquad
    A \lambda = O^T \operatorname{diag}(dy/dv)\, c .

Either way a system costs one factorisation; a tangent costs one more solve with it, and the
adjoint one for all parameters together.

In one dimension the cells are a chain between two ends that are held at zero: ``A = D^T diag(g) D``
with the differences D between neighbours and the conductances ``g_c = kappa_c / h_c``. From
``D^T (g D dv + g da D v) = 0`` follows that the flux changes by the same f everywhere,

.. math:: (D\, dv)_c = f / g_c - da_c\, (D v)_c, \qquad f = \sum_c da_c (D v)_c / \sum_c 1 / g_c ,

so that a tangent is a sum along the interval, and needs no solve.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from popinv.store.compiled import njit
from popinv_models.porous_flow.design import FixedSensors, Loaded
from popinv_models.porous_flow.kernels import aligned_rows, fill
from popinv_models.porous_flow.operators import PorousOperators


class Factorised:
    """Some systems, their matrices factorised and solved.

    Parameters
    ----------
    operators : PorousOperators
    kappa : ndarray of shape (n, n_cells)
        Permeabilities.
    entries : ndarray of shape (n, n_entries)
        Lower triangles of the matrices.
    loaded : Loaded
    reasons : ndarray of object, shape (n,)
        Why a system cannot be solved, or "". Is filled in. Numbers of such a system, here and in
        the results, have no meaning.

    Attributes
    ----------
    solutions : ndarray of shape (n, unknowns)
        v.
    """

    def __init__(
        self,
        operators: PorousOperators,
        kappa: np.ndarray,
        entries: np.ndarray,
        loaded: Loaded,
        reasons: np.ndarray,
    ) -> None:
        self._op, self._lower, self._reasons = operators, operators.stiffness, reasons
        self.kappa, self.loaded = kappa, loaded
        self._one_dimension = operators.midpoints.shape[1] == 1
        self._matrices = aligned_rows(len(kappa), operators.buffer_length)
        fill(entries, operators.slots, self._matrices)
        for i in np.flatnonzero(self._factorise()):
            reasons[i] = reasons[i] or "the stiffness matrix is not positive definite"
        shape = len(kappa), self._lower.unknowns
        self.solutions = np.array(np.broadcast_to(loaded.loads, shape), order="C")
        self._solve(self.solutions[:, None])

    def changes(self, da: np.ndarray, along: np.ndarray) -> None:
        """Write the changes (k, n, d_y) of the observations of v, for changes da (k, n, n_cells).

        da are changes of the logarithm of kappa.
        """
        if self._one_dimension:
            self._changes_in_line(da, along)
            return
        (k, n, d_y), lower = along.shape, self._lower
        # The order is the order of rows: the sides of one system lie together.
        right = np.zeros((n, k, lower.unknowns))
        _stiffness_changes(
            np.ascontiguousarray(np.moveaxis(da, 0, 1)) * self.kappa[:, None],
            lower.pointer,
            lower.cells,
            lower.weights,
            lower.rows,
            lower.columns,
            self.solutions,
            right,
        )
        self._solve(right)
        observed = np.empty((n * k, d_y))
        self.loaded.sensors.repeated(k).observe(right.reshape(-1, lower.unknowns), observed)
        along[:] = np.moveaxis(observed.reshape(n, k, d_y), 1, 0)

    def _changes_in_line(self, da: np.ndarray, along: np.ndarray) -> None:
        """Write the same in one dimension."""
        sensors, cells = self.loaded.sensors, self._op.chain
        if isinstance(sensors, FixedSensors):
            _changes_of_chain(*cells, self.kappa, self.solutions, da, *sensors.matrix, along)
            return
        unknowns = self._lower.unknowns
        everywhere = np.empty((*along.shape[:2], unknowns))
        every = np.arange(unknowns + 1), np.arange(unknowns), np.ones(unknowns)
        _changes_of_chain(*cells, self.kappa, self.solutions, da, *every, everywhere)
        for changes, observed in zip(everywhere, along, strict=True):
            sensors.observe(changes, observed)

    def gradient(self, weights: np.ndarray) -> np.ndarray:
        """Return lambda^T A_c v of every cell (n, n_cells), for weights (n, d_y) of observed v."""
        lower = self._lower
        right = np.zeros((len(self.kappa), 1, lower.unknowns))
        self.loaded.sensors.spread(weights, right[:, 0])
        self._solve(right)
        of_kappa = np.zeros_like(self.kappa)
        _cell_products(
            lower.pointer,
            lower.cells,
            lower.weights,
            lower.rows,
            lower.columns,
            right[:, 0],
            self.solutions,
            of_kappa,
        )
        return of_kappa

    def _factorise(self) -> np.ndarray:
        """Return which matrices are not positive definite."""
        if self._one_dimension:
            return _factorise_chain(self._matrices, self._lower.unknowns)
        failed = np.zeros(len(self._matrices), dtype=bool)
        for i in np.flatnonzero(self._reasons == "").tolist():
            failed[i] = lapack.dpbtrf(self._band(i), lower=1, overwrite_ab=1)[1] != 0
        return failed

    def _band(self, i: int) -> np.ndarray:
        shape = self._lower.unknowns, self._lower.bandwidth + 1
        return self._matrices[i, : self._op.buffer_length].reshape(shape).T

    def _solve(self, sides: np.ndarray) -> None:
        """Replace right-hand sides (n, k, unknowns) by the solutions."""
        if self._one_dimension:
            _solve_chain(self._matrices, sides)
            return
        for i in np.flatnonzero(self._reasons == "").tolist():
            lapack.dpbtrs(self._band(i), sides[i].T, lower=1, overwrite_b=1)


@njit
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


@njit
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


@njit(error_model="numpy")
def _factorise_chain(matrices: np.ndarray, unknowns: int) -> np.ndarray:
    """Replace each matrix by the factors of L D L^T; return which are not positive definite.

    Parameters
    ----------
    matrices : ndarray of shape (n, at least 2 unknowns)
        Diagonal, then subdiagonal, of each. Becomes D, then the subdiagonal of L.
    """
    failed = np.zeros(matrices.shape[0], dtype=np.bool_)
    for i in range(matrices.shape[0]):
        matrix = matrices[i]
        for c in range(unknowns - 1):
            below = matrix[unknowns + c]
            matrix[unknowns + c] = below / matrix[c]
            matrix[c + 1] -= matrix[unknowns + c] * below
        for c in range(unknowns):
            if not matrix[c] > 0.0:
                failed[i] = True
    return failed


@njit(error_model="numpy")
def _solve_chain(matrices: np.ndarray, sides: np.ndarray) -> None:
    """Replace right-hand sides (n, k, unknowns) by the solutions, with the factors from above."""
    unknowns = sides.shape[2]
    for i in range(sides.shape[0]):
        matrix = matrices[i]
        for k in range(sides.shape[1]):
            side = sides[i, k]
            for c in range(1, unknowns):
                side[c] -= matrix[unknowns + c - 1] * side[c - 1]
            side[unknowns - 1] /= matrix[unknowns - 1]
            for c in range(unknowns - 2, -1, -1):
                side[c] = side[c] / matrix[c] - matrix[unknowns + c] * side[c + 1]


@njit(error_model="numpy")
def _changes_of_chain(
    cells: np.ndarray,
    weights: np.ndarray,
    kappa: np.ndarray,
    solutions: np.ndarray,
    da: np.ndarray,
    pointer: np.ndarray,
    columns: np.ndarray,
    observation_weights: np.ndarray,
    along: np.ndarray,
) -> None:
    """Write the changes of the observations of v.

    Parameters
    ----------
    cells, weights : ndarray of shape (unknowns + 1,)
        :attr:`popinv_models.porous_flow.operators.PorousOperators.chain`.
    kappa : ndarray of shape (n, n_cells)
    solutions : ndarray of shape (n, unknowns)
    da : ndarray of shape (k, n, n_cells)
        Changes of the logarithm of kappa.
    pointer, columns, observation_weights : ndarray
        The observation matrix by compressed rows.
    along : ndarray of shape (k, n, d_y)
        The output.
    """
    n, unknowns = solutions.shape
    drop, resistance = np.empty(unknowns + 1), np.empty(unknowns + 1)
    dv = np.empty(unknowns)
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
                dv[c] = change
            for s in range(pointer.shape[0] - 1):
                value = 0.0
                for t in range(pointer[s], pointer[s + 1]):
                    value += observation_weights[t] * dv[columns[t]]
                along[k, i, s] = value
