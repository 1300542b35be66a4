r"""Derivatives of damped elastodynamics with respect to its parameters.

A step of `popinv.forward.elastodynamics.kernels.march` solves

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
(`popinv.forward.elastodynamics.modes.vibrate_derivatives`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np
from scipy.sparse import csr_matrix

from popinv.forward import banded
from popinv.forward.banded import Factors, empty_factors, factorise, solve_factorised
from popinv.forward.checks import checked_rows
from popinv.forward.elastodynamics import kernels

if TYPE_CHECKING:
    from popinv.forward.elastodynamics.model import ElastodynamicsModel


def jvp(
    model: ElastodynamicsModel, z: np.ndarray, tangents: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return observations (n, d_y) and their derivatives along tangents (k, n, d_z)."""
    if model.modes is not None:
        values, of_each = model.vibration_derivatives(z)
        return values, np.einsum("nkp,tnp->tnk", of_each, tangents)
    values = model.solve(z).observations
    z, _ = checked_rows("elastodynamics", z, model.parameters)
    changes = np.full((len(tangents), *values.shape), np.nan)
    for i in np.flatnonzero(np.isfinite(values).all(axis=1)):
        system = _System.of(model, z[i : i + 1])
        for k, tangent in enumerate(tangents):
            changes[k, i] = system.tangent(tangent[i : i + 1])
    return values, changes


def vjp(model: ElastodynamicsModel, z: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
    """Return the gradient in z of the observations' sum with cotangents (n, d_y)."""
    if model.modes is not None:
        _, of_each = model.vibration_derivatives(z)
        return np.einsum("nkp,nk->np", of_each, cotangents)
    solvable = np.isfinite(model.solve(z).observations).all(axis=1)
    z, _ = checked_rows("elastodynamics", z, model.parameters)
    gradient = np.full_like(z, np.nan)
    for i in np.flatnonzero(solvable):
        gradient[i] = _System.of(model, z[i : i + 1]).gradient(cotangents[i])
    return gradient


@dataclass(frozen=True)
class _System:
    """One system, its matrices factorised and its march done.

    Attributes
    ----------
    z : ndarray of shape (1, d_z)
    stiffness : ndarray of shape (n_cells,)
    entries : ndarray
        Lower triangle of K.
    static, moving : Factors
        K and S, factorised.
    shape : ndarray of shape (n,)
        s, the solution of K s = e.
    history : ndarray of shape (steps + 1, n)
        Displacements.
    """

    model: ElastodynamicsModel
    z: np.ndarray
    stiffness: np.ndarray
    entries: np.ndarray
    static: Factors
    moving: Factors
    shape: np.ndarray
    history: np.ndarray

    @classmethod
    def of(cls, model: ElastodynamicsModel, z: np.ndarray) -> _System:
        """Return the system of one row of z, which is known to be solvable."""
        op, lower = model.operators, model.operators.stiffness
        stiffness = model._stiffness(z)
        entries = kernels.assemble(stiffness, lower.pointer, lower.cells, lower.weights)
        static = empty_factors(lower.unknowns, lower.bandwidth)
        banded.place(entries, lower.rows, lower.columns, static)
        factorise(static)
        shape = op.end.copy()
        solve_factorised(static, shape)
        of_mass, of_stiffness = model.step_weights(float(z[0, -1]))
        moving = empty_factors(lower.unknowns, lower.bandwidth)
        of_step = of_mass * op.mass + of_stiffness * entries
        banded.place(of_step, lower.rows, lower.columns, moving)
        factorise(moving)
        plucked = model.excitation == "pluck"
        steps = model.steps * len(model.times)
        history = np.zeros((steps + 1, lower.unknowns))
        if plucked:
            history[0] = model.amplitude * op.end_size / (op.end @ shape) * shape
        _march(
            op.diagonals,
            op.offsets,
            moving,
            (of_mass, of_stiffness),
            op.sources if plucked else op.sources + model.amplitude * op.end,
            model.time_step,
            history,
        )
        return cls(model, z, stiffness, entries, static, moving, shape, history)

    def tangent(self, along: np.ndarray) -> np.ndarray:
        """Return the change of the observations (d_y,) along a tangent (1, d_z)."""
        model, op, lower = self.model, self.model.operators, self.model.operators.stiffness
        change = self._stiffness_change(along)
        d_entries = kernels.assemble(change, lower.pointer, lower.cells, lower.weights)
        start = np.zeros(lower.unknowns)
        if model.excitation == "pluck":
            right = -(self._matrix(d_entries) @ self.shape)
            solve_factorised(self.static, right)
            size = op.end @ self.shape
            start = right - self.shape * (op.end @ right) / size
            start *= model.amplitude * op.end_size / size
        half = model.time_step / 2
        before, mean = self._motion()
        weights = model.step_weights(float(self.z[0, -1]))
        loads = self._matrix(d_entries) @ (half * before + weights[1] * mean)
        loads += self._matrix(op.mass) @ (float(along[0, -1]) * half * mean)
        observed = np.empty((len(model.sensors), len(model.times)))
        kernels.march(
            op.diagonals,
            op.offsets,
            self.moving,
            weights,
            np.ascontiguousarray(-loads.T / half),
            model.time_step,
            start,
            np.zeros(lower.unknowns),
            *op.observing(),
            model.steps,
            observed,
        )
        return observed.reshape(-1)

    def gradient(self, cotangent: np.ndarray) -> np.ndarray:
        """Return the gradient (d_z,) of the observations' sum with a cotangent (d_y,)."""
        model, op, lower = self.model, self.model.operators, self.model.operators.stiffness
        half, weights = model.time_step / 2, model.step_weights(float(self.z[0, -1]))
        pointer, columns, observing = op.observing()
        shape = (len(model.sensors), lower.unknowns)
        at_times = cotangent.reshape(len(model.sensors), -1).T @ csr_matrix(
            (observing, columns, pointer), shape=shape
        )
        # In reversed time, an observation after step j is the load of step N - j.
        loads = np.zeros((len(self.history) - 1, lower.unknowns))
        loads[:: model.steps] = at_times[::-1] / half
        rates = np.zeros_like(self.history)
        _march(op.diagonals, op.offsets, self.moving, weights, loads, model.time_step, rates)
        rates = np.ascontiguousarray(rates[:0:-1].T)
        before, mean = self._motion()
        of_mean = _sum_outer(lower.rows, lower.columns, rates, mean)
        of_entries = -half * _sum_outer(lower.rows, lower.columns, rates, before)
        of_entries -= weights[1] * of_mean
        if model.excitation == "pluck":
            first = at_times.sum(axis=0) - half * (self._matrix(self.entries) @ rates.sum(axis=1))
            size = op.end @ self.shape
            right = first - op.end * (first @ self.shape) / size
            solve_factorised(self.static, right)
            right *= -model.amplitude * op.end_size / size
            of_entries += _sum_outer(
                lower.rows, lower.columns, right[:, None], self.shape[:, None].copy()
            )
        of_cells = np.zeros(len(self.stiffness))
        _spread(lower.pointer, lower.cells, lower.weights, of_entries, of_cells)
        return self._pulled_back(of_cells, -half * float(op.mass @ of_mean))

    def _matrix(self, entries: np.ndarray) -> csr_matrix:
        """Return the symmetric matrix with these entries in its lower triangle."""
        op = self.model.operators
        return csr_matrix((entries[op.entries], op.columns, op.pointer))

    def _motion(self) -> tuple[np.ndarray, np.ndarray]:
        """Return u before each step and w of each step, both (n, steps)."""
        history = self.history.T
        mean = np.diff(history, axis=1) / self.model.time_step
        return np.ascontiguousarray(history[:, :-1]), np.ascontiguousarray(mean)

    def _stiffness_change(self, along: np.ndarray) -> np.ndarray:
        if self.model.field is None:
            return np.full_like(self.stiffness, along[0, 0])
        change = self.model.field.jvp(self.z, self.model._basis, along[None])[0, 0]
        return self.stiffness * change

    def _pulled_back(self, of_cells: np.ndarray, of_damping: float) -> np.ndarray:
        if self.model.field is None:
            return np.array([of_cells.sum(), of_damping])
        scaled = (of_cells * self.stiffness)[None]
        gradient = self.model.field.vjp(self.z, self.model._basis, scaled)[0]
        gradient[-1] = of_damping
        return gradient


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
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


@numba.njit(nogil=True, cache=True)
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


@numba.njit(nogil=True, cache=True)
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
