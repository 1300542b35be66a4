"""Compiled loops of elastodynamics, one system at a time.

Every sum runs in an order that is fixed when the loop is compiled, over one system alone, so that
its result does not depend, in any bit, on the other systems of a batch.
"""

from __future__ import annotations

import numpy as np

from popinv.store.compiled import njit
from popinv_models.finite_elements.banded import Factors, solve_inside

_REORDERED = {"reassoc", "contract"}


@njit
def inner_product(first: np.ndarray, second: np.ndarray) -> float:
    """Return the sum of products, term after term."""
    total = 0.0
    for i in range(first.shape[0]):
        total += first[i] * second[i]
    return total


@njit
def quadratic_form(
    entries: np.ndarray, rows: np.ndarray, columns: np.ndarray, vector: np.ndarray
) -> float:
    """Return x^T A x for the lower triangle of A."""
    total = 0.0
    for s in range(entries.shape[0]):
        term = entries[s] * vector[rows[s]] * vector[columns[s]]
        total += term if rows[s] == columns[s] else 2.0 * term
    return total


@njit(fastmath=_REORDERED)
def _product(
    diagonals: np.ndarray, offsets: np.ndarray, padded: np.ndarray, product: np.ndarray
) -> None:
    """Set the product of a matrix by diagonals, four of them in a pass."""
    n = product.shape[0]
    product[:] = 0.0
    for d in range(0, offsets.shape[0], 4):
        m = diagonals[d : d + 4]
        x0, x1 = padded[offsets[d] :], padded[offsets[d + 1] :]
        x2, x3 = padded[offsets[d + 2] :], padded[offsets[d + 3] :]
        for i in range(n):
            product[i] += (m[0, i] * x0[i] + m[1, i] * x1[i]) + (m[2, i] * x2[i] + m[3, i] * x3[i])


@njit(fastmath=_REORDERED)
def step_forward(
    diagonals: np.ndarray,
    offsets: np.ndarray,
    factors: Factors,
    weights: tuple[float, float],
    load: np.ndarray,
    time_step: float,
    padded: np.ndarray,
    displacement: np.ndarray,
    velocity: np.ndarray,
) -> None:
    """Make one step of `march`; ``padded`` is zero outside its inner n entries."""
    n = displacement.shape[0]
    of_mass, of_stiffness = weights
    of_shape = time_step / (2.0 * of_stiffness)
    inside, right = padded[(padded.shape[0] - n) // 2 :], factors.vector
    for i in range(n):
        inside[i] = velocity[i] + of_mass * of_shape * displacement[i]
    _product(diagonals, offsets, padded, right[:n])
    for i in range(n):
        right[i] += 0.5 * time_step * load[i]
    solve_inside(factors)
    for i in range(n):
        mean_velocity = right[i] - of_shape * displacement[i]
        displacement[i] += time_step * mean_velocity
        velocity[i] = 2.0 * mean_velocity - velocity[i]


@njit
def march(
    diagonals: np.ndarray,
    offsets: np.ndarray,
    factors: Factors,
    weights: tuple[float, float],
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

        S w = M v_0 + dt / 2 (f - K u_0),    S = p M + q K,

    with f the mean of the loads at both ends, and
    u_1 = u_0 + dt w, v_1 = 2 w - v_0. With K = (S - p M) / q there is no product with K:

        w = S^{-1} (M (v_0 + p c u_0) + dt / 2 f) - c u_0,    c = dt / (2 q).

    Parameters
    ----------
    diagonals, offsets : ndarray
        The mass matrix by diagonals; see `popinv_models.elastodynamics.operators`.
    factors : Factors
        The factorised S.
    weights : (float, float)
        p and q.
    loads : ndarray of shape (n_steps or 1, n)
        Mean load of each step, or of all steps.
    displacement, velocity : ndarray of shape (n,)
        Initial state; on return, the last.
    observation_pointer, observation_columns, observation_weights : ndarray
        Observation matrix by compressed rows.
    steps : int
        Time steps from one observation to the next.
    observed : ndarray of shape (n_places, n_times)
        Receives the displacement at the places after every ``steps`` steps.
    """
    padded = np.zeros(displacement.shape[0] + offsets.max())
    step = 0
    for time in range(observed.shape[1]):
        for _ in range(steps):
            step_forward(
                diagonals,
                offsets,
                factors,
                weights,
                loads[min(step, loads.shape[0] - 1)],
                time_step,
                padded,
                displacement,
                velocity,
            )
            step += 1
        for place in range(observed.shape[0]):
            total = 0.0
            for t in range(observation_pointer[place], observation_pointer[place + 1]):
                total += observation_weights[t] * displacement[observation_columns[t]]
            observed[place, time] = total
