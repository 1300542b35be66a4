r"""Derivatives of damped elastodynamics with respect to its parameters.

A step of `popinv_models.elastodynamics.kernels.march` solves

    S w = M v + dt/2 (f - K u),    u' = u + dt w,    v' = 2 w - v,    S = M + dt/2 C + dt^2/4 K.

*Tangents* are marches of the same kind: dw solves ``S dw = M dv - dt/2 K du + g`` with the load
``g = -dt/2 dK u - dS w`` of each step.

*The adjoint* is one as well, since M, K and S are symmetric in every product that occurs. Let
``m_k`` be the derivative of the answer with respect to g of step k. The march from rest whose loads
g are the cotangents at their places, in reversed time, has the displacements ``m_k``, the last
first. The gradient is the sum of ``-m_k^T (dt/2 dK u_k + dS w_k)``, and the derivative with respect
to the first displacement is the sum of the cotangents less ``dt/2 K`` times the sum of ``m_k``.
The initial shape ``u_0 = amplitude s / (e^T s)``, ``K s = e``, adds its own part. All parameters
together cost two marches, of which every displacement is kept.

Bodies of uniform stiffness have derivatives mode by mode
(`popinv_models.elastodynamics.modes.vibrate_derivatives`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from popinv.store.compiled import njit
from popinv_models.elastodynamics import kernels
from popinv_models.elastodynamics.operators import ElasticOperators
from popinv_models.finite_elements import banded
from popinv_models.finite_elements.banded import Factors, empty_factors, factorise, solve_factorised


@dataclass(frozen=True)
class Scheme:
    """What all systems of a march have in common.

    Parameters
    ----------
    time_step : float
    steps, times : int
        Time steps from one observation to the next, and number of observation times.
    plucked : bool
        True if the body starts from a static shape, instead of being loaded.
    amplitude : float
        Deflection of the end, or traction.
    """

    time_step: float
    steps: int
    times: int
    plucked: bool
    amplitude: float


@dataclass(frozen=True)
class MarchedSystem:
    """One system, its matrices factorised and its march done.

    Attributes
    ----------
    weights : (float, float)
        The weights of M and K in S.
    entries : ndarray
        Lower triangle of K.
    static, moving : Factors
        K and S, factorised.
    shape : ndarray of shape (n,)
        s, the solution of K s = e.
    history : ndarray of shape (steps + 1, n)
        Displacements.
    """

    operators: ElasticOperators
    scheme: Scheme
    weights: tuple[float, float]
    entries: np.ndarray
    static: Factors
    moving: Factors
    shape: np.ndarray
    history: np.ndarray

    @classmethod
    def of(
        cls,
        operators: ElasticOperators,
        scheme: Scheme,
        stiffness: np.ndarray,
        weights: tuple[float, float],
    ) -> MarchedSystem:
        """Return the system with a stiffness (n_cells,), which is known to be solvable."""
        op, lower = operators, operators.stiffness
        (entries,), _ = lower.assembled(stiffness[None])
        static = empty_factors(lower.unknowns, lower.bandwidth)
        banded.place(entries, lower.rows, lower.columns, static)
        factorise(static)
        shape = op.end.copy()
        solve_factorised(static, shape)
        moving = empty_factors(lower.unknowns, lower.bandwidth)
        of_step = weights[0] * op.mass + weights[1] * entries
        banded.place(of_step, lower.rows, lower.columns, moving)
        factorise(moving)
        history = np.zeros((scheme.steps * scheme.times + 1, lower.unknowns))
        if scheme.plucked:
            history[0] = scheme.amplitude * op.end_size / (op.end @ shape) * shape
        _march(
            op.diagonals,
            op.offsets,
            moving,
            weights,
            op.sources if scheme.plucked else op.sources + scheme.amplitude * op.end,
            scheme.time_step,
            history,
        )
        return cls(op, scheme, weights, entries, static, moving, shape, history)

    def tangent(self, of_stiffness: np.ndarray, of_damping: float) -> np.ndarray:
        """Return the change of the observations (d_y,) for changes of stiffness and damping.

        Parameters
        ----------
        of_stiffness : ndarray of shape (n_cells,)
        """
        op, lower, scheme = self.operators, self.operators.stiffness, self.scheme
        (d_entries,), _ = lower.assembled(of_stiffness[None])
        start = np.zeros(lower.unknowns)
        if scheme.plucked:
            right = -(self._matrix(d_entries) @ self.shape)
            solve_factorised(self.static, right)
            size = op.end @ self.shape
            start = right - self.shape * (op.end @ right) / size
            start *= scheme.amplitude * op.end_size / size
        half = scheme.time_step / 2
        before, mean = self._motion()
        loads = self._matrix(d_entries) @ (half * before + self.weights[1] * mean)
        loads += self._matrix(op.mass) @ (of_damping * half * mean)
        observed = np.empty((len(op.observation_pointer) - 1, scheme.times))
        kernels.march(
            op.diagonals,
            op.offsets,
            self.moving,
            self.weights,
            np.ascontiguousarray(-loads.T / half),
            scheme.time_step,
            start,
            np.zeros(lower.unknowns),
            *op.observing(),
            scheme.steps,
            observed,
        )
        return observed.reshape(-1)

    def gradient(self, cotangent: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the gradient of the observations' sum with a cotangent (d_y,).

        Returns
        -------
        ndarray of shape (n_cells,), float
            In the stiffness of each cell, and in the damping.
        """
        op, lower, scheme = self.operators, self.operators.stiffness, self.scheme
        half = scheme.time_step / 2
        pointer, columns, observing = op.observing()
        shape = (len(pointer) - 1, lower.unknowns)
        at_times = cotangent.reshape(shape[0], -1).T @ csr_matrix(
            (observing, columns, pointer), shape=shape
        )
        # In reversed time, an observation after step j is the load of step N - j.
        loads = np.zeros((len(self.history) - 1, lower.unknowns))
        loads[:: scheme.steps] = at_times[::-1] / half
        rates = np.zeros_like(self.history)
        _march(op.diagonals, op.offsets, self.moving, self.weights, loads, scheme.time_step, rates)
        rates = np.ascontiguousarray(rates[:0:-1].T)
        before, mean = self._motion()
        of_mean = _sum_outer(lower.rows, lower.columns, rates, mean)
        of_entries = -half * _sum_outer(lower.rows, lower.columns, rates, before)
        of_entries -= self.weights[1] * of_mean
        if scheme.plucked:
            first = at_times.sum(axis=0) - half * (self._matrix(self.entries) @ rates.sum(axis=1))
            size = op.end @ self.shape
            right = first - op.end * (first @ self.shape) / size
            solve_factorised(self.static, right)
            right *= -scheme.amplitude * op.end_size / size
            of_entries += _sum_outer(
                lower.rows, lower.columns, right[:, None], self.shape[:, None].copy()
            )
        of_cells = np.zeros(len(op.midpoints))
        _spread(lower.pointer, lower.cells, lower.weights, of_entries, of_cells)
        return of_cells, -half * float(op.mass @ of_mean)

    def _matrix(self, entries: np.ndarray) -> csr_matrix:
        """Return the symmetric matrix with these entries in its lower triangle."""
        op = self.operators
        return csr_matrix((entries[op.entries], op.columns, op.pointer))

    def _motion(self) -> tuple[np.ndarray, np.ndarray]:
        """Return u before each step and w of each step, both (n, steps)."""
        history = self.history.T
        mean = np.diff(history, axis=1) / self.scheme.time_step
        return np.ascontiguousarray(history[:, :-1]), np.ascontiguousarray(mean)


@njit(fastmath={"reassoc", "contract"})
def _sum_outer(
    rows: np.ndarray, columns: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """Return the sum over k of the derivatives of ``first[:, k]^T A second[:, k]``.

    They are those with respect to the entries of the lower triangle of A.
    """
    sums = np.empty(rows.shape[0])
    for s in range(rows.shape[0]):
        r, c = rows[s], columns[s]
        total = 0.0
        for k in range(first.shape[1]):
            total += first[r, k] * second[c, k]
        if r != c:
            for k in range(first.shape[1]):
                total += first[c, k] * second[r, k]
        sums[s] = total
    return sums


@njit
def _spread(
    pointer: np.ndarray,
    cells: np.ndarray,
    weights: np.ndarray,
    of_entries: np.ndarray,
    of_cells: np.ndarray,
) -> None:
    for s in range(of_entries.shape[0]):
        for t in range(pointer[s], pointer[s + 1]):
            of_cells[cells[t]] += weights[t] * of_entries[s]


@njit
def _march(
    diagonals: np.ndarray,
    offsets: np.ndarray,
    factors: Factors,
    weights: tuple[float, float],
    loads: np.ndarray,
    time_step: float,
    history: np.ndarray,
) -> None:
    """Fill in the displacements after the first, from rest."""
    n = history.shape[1]
    velocity, padded = np.zeros(n), np.zeros(n + offsets.max())
    for step in range(history.shape[0] - 1):
        load, displacement = loads[min(step, loads.shape[0] - 1)], history[step + 1]
        displacement[:] = history[step]
        kernels.step_forward(
            diagonals, offsets, factors, weights, load, time_step, padded, displacement, velocity
        )
