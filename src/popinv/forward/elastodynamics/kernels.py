"""Compiled loops of elastodynamics, one system at a time.

Every sum runs in a fixed order over one system alone, so that its result does not depend, in any
bit, on the other systems of a batch. The lower triangle of a matrix lies in ``band`` of shape
(unknowns, bandwidth + 1), LAPACK's lower band storage: ``band[j, k]`` is entry (j + k, j).
"""

from __future__ import annotations

import math

import numba
import numpy as np

__all__ = [
    "assemble",
    "empty_factors",
    "factorise",
    "inner_product",
    "march",
    "quadratic_form",
    "solve_factorised",
]


def empty_factors(unknowns: int, bandwidth: int) -> tuple[np.ndarray, np.ndarray]:
    """Return arrays for the results of `factorise`."""
    return np.empty((unknowns, bandwidth + 1)), np.empty((unknowns, bandwidth))


@numba.njit(nogil=True, cache=True)
def assemble(
    coefficient: np.ndarray, pointer: np.ndarray, cells: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Entries of a `LowerTriangle` for one coefficient per cell."""
    entries = np.empty(pointer.shape[0] - 1)
    for s in range(entries.shape[0]):
        total = 0.0
        for t in range(pointer[s], pointer[s + 1]):
            total += weights[t] * coefficient[cells[t]]
        entries[s] = total
    return entries


@numba.njit(nogil=True, cache=True)
def _subtract_multiple(factor: float, source: np.ndarray, target: np.ndarray) -> None:
    # No reduction: vectorised without a change in the order of summation.
    for k in range(target.shape[0]):
        target[k] -= factor * source[k]


@numba.njit(nogil=True, cache=True)
def factorise(
    entries: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    band: np.ndarray,
    transposed: np.ndarray,
) -> int:
    """Factorise A = L D L^T, Cholesky's factorisation without square roots.

    Parameters
    ----------
    entries, rows, columns : ndarray of shape (n_entries,)
        Lower triangle of A.
    band : ndarray of shape (n, bandwidth + 1)
        Receives 1 / D in its first column and L in the others.
    transposed : ndarray of shape (n, bandwidth)
        Receives L by rows: entry (j, k) is L[j, j - bandwidth + k].

    Returns
    -------
    int
        0, or the number (from 1) of the first pivot that is not positive and finite.
    """
    n, width = band.shape[0], band.shape[1]
    bandwidth = width - 1
    band[:] = 0.0
    transposed[:] = 0.0
    for s in range(entries.shape[0]):
        band[columns[s], rows[s] - columns[s]] = entries[s]
    for j in range(n):
        pivot = band[j, 0]
        if not (pivot > 0.0 and pivot < math.inf):
            return j + 1
        last = min(bandwidth, n - 1 - j)
        for k in range(1, last + 1):
            multiplier = band[j, k] / pivot
            if multiplier != 0.0:
                _subtract_multiple(multiplier, band[j, k : last + 1], band[j + k, : last + 1 - k])
            transposed[j + k, bandwidth - k] = multiplier
        for k in range(1, last + 1):
            band[j, k] = transposed[j + k, bandwidth - k]
        band[j, 0] = 1.0 / pivot
    return 0


@numba.njit(nogil=True, cache=True)
def solve_factorised(band: np.ndarray, transposed: np.ndarray, vector: np.ndarray) -> None:
    """Replace a right-hand side by the solution, given the results of `factorise`."""
    n, bandwidth = band.shape[0], band.shape[1] - 1
    for j in range(n):
        last = min(bandwidth, n - 1 - j)
        _subtract_multiple(vector[j], band[j, 1 : last + 1], vector[j + 1 : j + 1 + last])
    for j in range(n):
        vector[j] *= band[j, 0]
    for j in range(n - 1, 0, -1):
        first = max(0, j - bandwidth)
        _subtract_multiple(vector[j], transposed[j, first - j + bandwidth :], vector[first:j])


@numba.njit(nogil=True, cache=True)
def inner_product(first: np.ndarray, second: np.ndarray) -> float:
    """Return the sum of products, term after term."""
    total = 0.0
    for i in range(first.shape[0]):
        total += first[i] * second[i]
    return total


@numba.njit(nogil=True, cache=True)
def quadratic_form(
    entries: np.ndarray, rows: np.ndarray, columns: np.ndarray, vector: np.ndarray
) -> float:
    """Return x^T A x for the lower triangle of A."""
    total = 0.0
    for s in range(entries.shape[0]):
        term = entries[s] * vector[rows[s]] * vector[columns[s]]
        total += term if rows[s] == columns[s] else 2.0 * term
    return total


@numba.njit(nogil=True, cache=True)
def march(
    mass: np.ndarray,
    stiffness: np.ndarray,
    pointer: np.ndarray,
    columns: np.ndarray,
    band: np.ndarray,
    transposed: np.ndarray,
    loads: np.ndarray,
    time_step: float,
    displacement: np.ndarray,
    velocity: np.ndarray,
    observation_pointer: np.ndarray,
    observation_columns: np.ndarray,
    observation_weights: np.ndarray,
    steps: int,
    observed: np.ndarray,
) -> None:
    r"""Advance M u'' + C u' + K u = f by Newmark's method with average acceleration.

    With beta = 1/4, gamma = 1/2 and an initial acceleration that satisfies the equation, the
    method is the trapezoidal rule for (u, u'). Its mean velocity over a step,
    w = (v_0 + v_1) / 2, solves

        (M + dt / 2 C + dt^2 / 4 K) w = M v_0 + dt / 2 (f - K u_0),

    with f the mean of the loads at both ends, and u_1 = u_0 + dt w, v_1 = 2 w - v_0. In this
    form a step costs one solve, one product with M and one with K, and no acceleration is kept.

    Parameters
    ----------
    mass, stiffness : ndarray
        Values of M and K by compressed rows, of ``pointer`` and ``columns``.
    band, transposed : ndarray
        The factorised matrix of the step.
    loads : ndarray of shape (n_steps or 1, n)
        Mean load of each step, or of all steps.
    time_step : float
    displacement, velocity : ndarray of shape (n,)
        Initial state; on return, the last.
    observation_pointer, observation_columns, observation_weights : ndarray
        Observation matrix by compressed rows.
    steps : int
        Time steps from one observation to the next.
    observed : ndarray of shape (n_places, n_times)
        Receives the displacement at the places after every ``steps`` steps.
    """
    n = displacement.shape[0]
    mean_velocity = np.empty(n)
    step = 0
    for time in range(observed.shape[1]):
        for _ in range(steps):
            load = loads[min(step, loads.shape[0] - 1)]
            for i in range(n):
                momentum, force = 0.0, 0.0
                for t in range(pointer[i], pointer[i + 1]):
                    momentum += mass[t] * velocity[columns[t]]
                    force += stiffness[t] * displacement[columns[t]]
                mean_velocity[i] = momentum + 0.5 * time_step * (load[i] - force)
            solve_factorised(band, transposed, mean_velocity)
            for i in range(n):
                displacement[i] += time_step * mean_velocity[i]
                velocity[i] = 2.0 * mean_velocity[i] - velocity[i]
            step += 1
        for place in range(observed.shape[0]):
            total = 0.0
            for t in range(observation_pointer[place], observation_pointer[place + 1]):
                total += observation_weights[t] * displacement[observation_columns[t]]
            observed[place, time] = total
