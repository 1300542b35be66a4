r"""Derivatives of damped elastodynamics with respect to its parameters.

A step of `popinv.forward.elastodynamics.kernels.march` solves

    S w = M v + dt/2 (f - K u),    u' = u + dt w,    v' = 2 w - v,    S = M + dt/2 C + dt^2/4 K.

*Tangents* march beside it: dw solves ``S dw = M dv - dt/2 (K du + dK u) - dS w``.

*The adjoint* marches backwards. With (p, q) the derivative of the answer in (u', v'),

    S m = dt p + 2 q,    p <- p - dt/2 K m,    q <- M m - q,

and the step adds ``-m^T (dt/2 dK u + dS w)`` to the gradient. The initial shape
``u_0 = amplitude s / (e^T s)``, ``K s = e``, adds its own part. All parameters together cost one
march forward, of which every displacement is kept, and one back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np

from popinv.forward import banded
from popinv.forward.banded import Factors, empty_factors, factorise, solve_factorised
from popinv.forward.checks import checked_rows
from popinv.forward.elastodynamics import kernels

if TYPE_CHECKING:
    from popinv.forward.elastodynamics.model import Elastodynamics

__all__ = ["jvp", "vjp"]


def jvp(
    model: Elastodynamics, z: np.ndarray, tangents: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return observations (n, d_y) and their derivatives along tangents (k, n, d_z)."""
    values = model.solve(z).observations
    z, _ = checked_rows("elastodynamics", z, model.parameters)
    changes = np.full((len(tangents), *values.shape), np.nan)
    for i in np.flatnonzero(np.isfinite(values).all(axis=1)):
        system = _System.of(model, z[i : i + 1])
        for k, tangent in enumerate(tangents):
            changes[k, i] = system.tangent(tangent[i : i + 1])
    return values, changes


def vjp(model: Elastodynamics, z: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
    """Return the gradient in z of the observations' sum with cotangents (n, d_y)."""
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
    model : Elastodynamics
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

    model: Elastodynamics
    z: np.ndarray
    stiffness: np.ndarray
    entries: np.ndarray
    static: Factors
    moving: Factors
    shape: np.ndarray
    history: np.ndarray

    @classmethod
    def of(cls, model: Elastodynamics, z: np.ndarray) -> _System:
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
            right = -_product(d_entries, lower.rows, lower.columns, self.shape)
            solve_factorised(self.static, right)
            size = op.end @ self.shape
            start = right - self.shape * (op.end @ right) / size
            start *= model.amplitude * op.end_size / size
        _, of_stiffness = model.step_weights(float(self.z[0, -1]))
        observed = np.empty((len(model.sensors), len(model.times)))
        _march_tangent(
            op.mass[op.entries],
            self.entries[op.entries],
            d_entries[op.entries],
            op.pointer,
            op.columns,
            self.moving,
            model.time_step,
            float(along[0, -1]) * model.time_step / 2,
            of_stiffness,
            self.history,
            start,
            *op.observing(),
            model.steps,
            observed,
        )
        return observed.reshape(-1)

    def gradient(self, cotangent: np.ndarray) -> np.ndarray:
        """Return the gradient (d_z,) of the observations' sum with a cotangent (d_y,)."""
        model, op, lower = self.model, self.model.operators, self.model.operators.stiffness
        _, of_stiffness = model.step_weights(float(self.z[0, -1]))
        of_entries, of_mass, first = _march_back(
            op.mass[op.entries],
            self.entries[op.entries],
            op.pointer,
            op.columns,
            lower.rows,
            lower.columns,
            self.moving,
            model.time_step,
            of_stiffness,
            self.history,
            *op.observing(),
            model.steps,
            np.ascontiguousarray(cotangent.reshape(len(model.sensors), len(model.times))),
        )
        if model.excitation == "pluck":
            size = op.end @ self.shape
            right = first - op.end * (first @ self.shape) / size
            solve_factorised(self.static, right)
            right *= -model.amplitude * op.end_size / size
            _add_outer(lower.rows, lower.columns, right, self.shape, of_entries)
        of_cells = np.zeros(len(self.stiffness))
        _spread(lower.pointer, lower.cells, lower.weights, of_entries, of_cells)
        return self._pulled_back(of_cells, of_mass * model.time_step / 2)

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


@numba.njit(nogil=True, cache=True)
def _rows_product(
    values: np.ndarray, pointer: np.ndarray, columns: np.ndarray, x: np.ndarray, i: int
) -> float:
    total = 0.0
    for t in range(pointer[i], pointer[i + 1]):
        total += values[t] * x[columns[t]]
    return total


@numba.njit(nogil=True, cache=True)
def _product(
    entries: np.ndarray, rows: np.ndarray, columns: np.ndarray, x: np.ndarray
) -> np.ndarray:
    """Return A x for the lower triangle of A."""
    result = np.zeros_like(x)
    for s in range(entries.shape[0]):
        result[rows[s]] += entries[s] * x[columns[s]]
        if rows[s] != columns[s]:
            result[columns[s]] += entries[s] * x[rows[s]]
    return result


@numba.njit(nogil=True, cache=True)
def _add_outer(
    rows: np.ndarray, columns: np.ndarray, x: np.ndarray, y: np.ndarray, of_entries: np.ndarray
) -> None:
    """Add the derivative of x^T A y in the entries of the lower triangle of A."""
    for s in range(rows.shape[0]):
        of_entries[s] += x[rows[s]] * y[columns[s]]
        if rows[s] != columns[s]:
            of_entries[s] += x[columns[s]] * y[rows[s]]


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


@numba.njit(nogil=True, cache=True)
def _march_tangent(
    mass: np.ndarray,
    stiffness: np.ndarray,
    d_stiffness: np.ndarray,
    pointer: np.ndarray,
    columns: np.ndarray,
    factors: Factors,
    time_step: float,
    d_of_mass: float,
    of_stiffness: float,
    history: np.ndarray,
    displacement: np.ndarray,
    observation_pointer: np.ndarray,
    observation_columns: np.ndarray,
    observation_weights: np.ndarray,
    steps: int,
    observed: np.ndarray,
) -> None:
    """Advance the change ``displacement`` of the first displacement, and observe it."""
    n = history.shape[1]
    velocity, mean_velocity = np.zeros(n), np.empty(n)
    mean, moved = np.empty(n), np.empty(n)
    step = 0
    for time in range(observed.shape[1]):
        for _ in range(steps):
            for i in range(n):
                mean[i] = (history[step + 1, i] - history[step, i]) / time_step
                moved[i] = 0.5 * time_step * history[step, i] + of_stiffness * mean[i]
            for i in range(n):
                mean_velocity[i] = (
                    _rows_product(mass, pointer, columns, velocity, i)
                    - d_of_mass * _rows_product(mass, pointer, columns, mean, i)
                    - 0.5 * time_step * _rows_product(stiffness, pointer, columns, displacement, i)
                    - _rows_product(d_stiffness, pointer, columns, moved, i)
                )
            solve_factorised(factors, mean_velocity)
            for i in range(n):
                displacement[i] += time_step * mean_velocity[i]
                velocity[i] = 2.0 * mean_velocity[i] - velocity[i]
            step += 1
        for place in range(observed.shape[0]):
            observed[place, time] = _rows_product(
                observation_weights, observation_pointer, observation_columns, displacement, place
            )


@numba.njit(nogil=True, cache=True)
def _march_back(
    mass: np.ndarray,
    stiffness: np.ndarray,
    pointer: np.ndarray,
    columns: np.ndarray,
    entry_rows: np.ndarray,
    entry_columns: np.ndarray,
    factors: Factors,
    time_step: float,
    of_stiffness: float,
    history: np.ndarray,
    observation_pointer: np.ndarray,
    observation_columns: np.ndarray,
    observation_weights: np.ndarray,
    steps: int,
    cotangent: np.ndarray,
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return the gradients in K's entries, in M's weight in S, and in the first displacement."""
    n = history.shape[1]
    of_entries, of_mass = np.zeros(entry_rows.shape[0]), 0.0
    p, q, m, moved, mean = np.zeros(n), np.zeros(n), np.empty(n), np.empty(n), np.empty(n)
    step = history.shape[0] - 1
    for time in range(cotangent.shape[1] - 1, -1, -1):
        for place in range(cotangent.shape[0]):
            for t in range(observation_pointer[place], observation_pointer[place + 1]):
                p[observation_columns[t]] += observation_weights[t] * cotangent[place, time]
        for _ in range(steps):
            step -= 1
            for i in range(n):
                m[i] = time_step * p[i] + 2.0 * q[i]
                mean[i] = (history[step + 1, i] - history[step, i]) / time_step
                moved[i] = -(0.5 * time_step * history[step, i] + of_stiffness * mean[i])
            solve_factorised(factors, m)
            _add_outer(entry_rows, entry_columns, m, moved, of_entries)
            for i in range(n):
                of_mass -= m[i] * _rows_product(mass, pointer, columns, mean, i)
            for i in range(n):
                p[i] -= 0.5 * time_step * _rows_product(stiffness, pointer, columns, m, i)
                q[i] = _rows_product(mass, pointer, columns, m, i) - q[i]
    return of_entries, of_mass, p
