r"""Vibration of bodies of uniform stiffness, mode by mode.

The matrices of all bodies of uniform stiffness E are E K and M, where K is for stiffness 1. The
modes K phi_j = lambda_j M phi_j, with phi_j^T M phi_j = 1, are therefore the same for all of them.
In these coordinates Newmark's method falls apart into one recurrence for each mode:

    S w = v - dt/2 E lambda_j u,    u' = u + dt w,    v' = 2 w - v,
    S = 1 + dt/2 (a + b E lambda_j) + dt^2/4 E lambda_j.

All modes are kept, so that the answer is the answer of
`popinv_models.elastodynamics.kernels.march` up to rounding. A step is a
matrix of 2 x 2 numbers, and its power leads from one observation time to the next. Derivatives with
respect to E and a follow from these matrices and their products.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from popinv.store.compiled import njit
from popinv_models.elastodynamics.accuracy import stiffest
from popinv_models.elastodynamics.operators import ElasticOperators


@dataclass(frozen=True)
class UniformModes:
    """The modes of a body of stiffness 1 as far as observations depend on them.

    Parameters
    ----------
    eigenvalues : ndarray of shape (n,)
        lambda_j, the squares of the frequencies, in increasing order.
    deflections : ndarray of shape (n_places, n)
        The part of each mode in the deflection of the places under a static traction 1.
    end : float
        e^T K^{-1} e, with e the load of a traction 1: the deflection of the end, times its size.
    frequency : float
        The lowest frequency by Rayleigh's quotient of the static shape; see
        `popinv_models.elastodynamics.accuracy`.
    stiffest : float
        Largest K_ii / M_ii.
    largest : float
        Largest absolute entry of K.
    """

    eigenvalues: np.ndarray
    deflections: np.ndarray
    end: float
    frequency: float
    stiffest: float
    largest: float


def decompose(operators: ElasticOperators) -> UniformModes:
    """Return the modes of a body of stiffness 1.

    M phi = (1 / lambda) K phi is solved, whose largest eigenvalues belong to the lowest
    frequencies. The motion consists of these, which are then as accurate as the arithmetic.
    """
    op, lower = operators, operators.stiffness
    entries = np.add.reduceat(lower.weights, lower.pointer[:-1])
    stiffness, mass = (
        csr_matrix((values[op.entries], op.columns, op.pointer)).toarray()
        for values in (entries, op.mass)
    )
    # The last digits depend on the number of threads.
    with threadpool_limits(limits=1, user_api="blas"):
        inverse, vectors = eigh(mass, stiffness)
    # Scaled so that phi^T K phi = 1: K^{-1} e is the sum of phi (phi^T e).
    inverse, vectors = inverse[::-1], vectors[:, ::-1]
    loaded = op.end @ vectors
    pointer, columns, weights = op.observing()
    observe = csr_matrix((weights, columns, pointer), shape=(len(pointer) - 1, lower.unknowns))
    return UniformModes(
        eigenvalues=1 / inverse,
        deflections=np.ascontiguousarray((observe @ vectors) * loaded),
        end=float(loaded @ loaded),
        frequency=float(np.sqrt(loaded @ loaded / (loaded @ (inverse * loaded)))),
        stiffest=stiffest(op, entries),
        largest=float(np.max(np.abs(entries))),
    )


@njit
def _step_matrices(
    eigenvalues: np.ndarray,
    stiffness: float,
    damping: tuple,
    time_step: float,
    matrices: np.ndarray,
) -> None:
    """Set the matrices of one step, (4, n): rows (u from u, u from v, v from u, v from v)."""
    of_mass, of_stiffness = damping
    for j in range(eigenvalues.shape[0]):
        square = stiffness * eigenvalues[j]
        inverse = 1.0 / (
            1.0
            + 0.5 * time_step * (of_mass + of_stiffness * square)
            + 0.25 * time_step * time_step * square
        )
        slowed = -0.5 * time_step * square * inverse
        matrices[0, j] = 1.0 + time_step * slowed
        matrices[1, j] = time_step * inverse
        matrices[2, j] = 2.0 * slowed
        matrices[3, j] = 2.0 * inverse - 1.0


@njit
def _multiply(first: np.ndarray, second: np.ndarray, product: np.ndarray) -> None:
    """Set the products (4, n) of the modes' matrices."""
    for j in range(first.shape[1]):
        product[0, j] = first[0, j] * second[0, j] + first[1, j] * second[2, j]
        product[1, j] = first[0, j] * second[1, j] + first[1, j] * second[3, j]
        product[2, j] = first[2, j] * second[0, j] + first[3, j] * second[2, j]
        product[3, j] = first[2, j] * second[1, j] + first[3, j] * second[3, j]


@njit
def _advance(matrices: np.ndarray, state: np.ndarray) -> None:
    for j in range(state.shape[1]):
        u, v = state[0, j], state[1, j]
        state[0, j] = matrices[0, j] * u + matrices[1, j] * v
        state[1, j] = matrices[2, j] * u + matrices[3, j] * v


@njit(fastmath={"reassoc"})
def _sum_of_products(first: np.ndarray, second: np.ndarray) -> float:
    # The compiler may order this sum for its vectors; the order is the same in all systems.
    total = 0.0
    for j in range(first.shape[0]):
        total += first[j] * second[j]
    return total


@njit
def vibrate(
    eigenvalues: np.ndarray,
    deflections: np.ndarray,
    stiffness: np.ndarray,
    damping: np.ndarray,
    stiffness_damping: float,
    time_step: float,
    steps: int,
    observed: np.ndarray,
) -> None:
    """Let bodies go at rest from their static deflection under a traction 1 at stiffness 1.

    Parameters
    ----------
    eigenvalues, deflections : ndarray
        Of `UniformModes`.
    stiffness, damping : ndarray of shape (n_systems,)
        E and a of each body.
    stiffness_damping : float
        b.
    steps : int
        Time steps from one observation to the next.
    observed : ndarray of shape (n_systems, n_places, n_times)
        Receives the displacement at the places after every ``steps`` steps.
    """
    n = eigenvalues.shape[0]
    power, square, product = np.empty((4, n)), np.empty((4, n)), np.empty((4, n))
    state = np.empty((2, n))
    for i in range(observed.shape[0]):
        _step_matrices(
            eigenvalues, stiffness[i], (damping[i], stiffness_damping), time_step, square
        )
        power[0, :], power[1, :], power[2, :], power[3, :] = 1.0, 0.0, 0.0, 1.0
        left = steps
        while left > 0:
            if left % 2 == 1:
                _multiply(power, square, product)
                power, product = product, power
            left //= 2
            if left > 0:
                _multiply(square, square, product)
                square, product = product, square
        state[0, :], state[1, :] = 1.0, 0.0
        for time in range(observed.shape[2]):
            _advance(power, state)
            for place in range(observed.shape[1]):
                observed[i, place, time] = _sum_of_products(deflections[place], state[0])


@njit
def _step_derivatives(
    eigenvalues: np.ndarray,
    stiffness: float,
    damping: tuple,
    time_step: float,
    changes: np.ndarray,
) -> None:
    """Set the derivatives (2, 4, n) of `_step_matrices` with respect to E and a."""
    of_mass, of_stiffness = damping
    half, quarter = 0.5 * time_step, 0.25 * time_step * time_step
    for j in range(eigenvalues.shape[0]):
        square = stiffness * eigenvalues[j]
        inverse = 1.0 / (1.0 + half * (of_mass + of_stiffness * square) + quarter * square)
        for k in range(2):
            d_square = eigenvalues[j] if k == 0 else 0.0
            d_sum = (half * of_stiffness + quarter) * d_square if k == 0 else half
            d_inverse = -inverse * inverse * d_sum
            d_slowed = -half * (d_square * inverse + square * d_inverse)
            changes[k, 0, j] = time_step * d_slowed
            changes[k, 1, j] = time_step * d_inverse
            changes[k, 2, j] = 2.0 * d_slowed
            changes[k, 3, j] = 2.0 * d_inverse


@njit
def _multiply_derivatives(
    first: np.ndarray,
    d_first: np.ndarray,
    second: np.ndarray,
    d_second: np.ndarray,
    one: np.ndarray,
    changes: np.ndarray,
) -> None:
    """Set the derivatives (2, 4, n) of the product of first and second (4, n)."""
    for k in range(2):
        _multiply(d_first[k], second, changes[k])
        _multiply(first, d_second[k], one)
        changes[k] += one


@njit
def vibrate_derivatives(
    eigenvalues: np.ndarray,
    deflections: np.ndarray,
    stiffness: np.ndarray,
    damping: np.ndarray,
    stiffness_damping: float,
    time_step: float,
    steps: int,
    observed: np.ndarray,
    changes: np.ndarray,
) -> None:
    """Compute the answers of `vibrate` and their derivatives with respect to E and a.

    Parameters
    ----------
    eigenvalues, deflections, stiffness, damping, stiffness_damping, time_step, steps
        As in `vibrate`.
    observed : ndarray of shape (n_systems, n_places, n_times)
        Receives the displacements.
    changes : ndarray of shape (2, n_systems, n_places, n_times)
        Receives their derivatives.
    """
    n = eigenvalues.shape[0]
    power, square, product = np.empty((4, n)), np.empty((4, n)), np.empty((4, n))
    d_power, d_square, d_product = (np.empty((2, 4, n)), np.empty((2, 4, n)), np.empty((2, 4, n)))
    one, state, d_state, moved = (
        np.empty((4, n)),
        np.empty((2, n)),
        np.empty((2, 2, n)),
        np.empty((2, n)),
    )
    for i in range(observed.shape[0]):
        step = (damping[i], stiffness_damping)
        _step_matrices(eigenvalues, stiffness[i], step, time_step, square)
        _step_derivatives(eigenvalues, stiffness[i], step, time_step, d_square)
        power[0, :], power[1, :], power[2, :], power[3, :] = 1.0, 0.0, 0.0, 1.0
        d_power[:] = 0.0
        left = steps
        while left > 0:
            if left % 2 == 1:
                _multiply_derivatives(power, d_power, square, d_square, one, d_product)
                _multiply(power, square, product)
                power, product, d_power, d_product = product, power, d_product, d_power
            left //= 2
            if left > 0:
                _multiply_derivatives(square, d_square, square, d_square, one, d_product)
                _multiply(square, square, product)
                square, product, d_square, d_product = product, square, d_product, d_square
        state[0, :], state[1, :] = 1.0, 0.0
        d_state[:] = 0.0
        for time in range(observed.shape[2]):
            for k in range(2):
                moved[:] = state
                _advance(d_power[k], moved)
                _advance(power, d_state[k])
                d_state[k] += moved
            _advance(power, state)
            for place in range(observed.shape[1]):
                observed[i, place, time] = _sum_of_products(deflections[place], state[0])
                for k in range(2):
                    changes[k, i, place, time] = _sum_of_products(deflections[place], d_state[k, 0])
