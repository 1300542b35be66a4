r"""Influence of each system on the estimate of the sliced Wasserstein distance.

Along a direction theta let Q be the model's quantile function in the fixed metric, and

.. math::
    h_\theta(t) = E[\langle \partial_p y, \theta\rangle \mid \langle y, \theta\rangle = t], \qquad
    H_\theta(t) = \int^t h_\theta(s)\, ds,

where h(Q(u)) is the derivative of Q(u) in p (:mod:`popinv.transport.curvature`). Adding a small
mass at an observation y moves the data's quantile function by ``(u - 1{a <= Q(u)}) / f(Q(u))``,
with a the projection of y and f the density. With t = Q(u) it moves the gradient of the loss by
``-d_y E_theta[H(a) - E H]``. The minimum moves by

.. math::
    \psi(y) = M^{-1} d_y\, E_\theta\bigl[ H_\theta(\langle y, \theta\rangle)
    - E H_\theta \bigr], \qquad
    M = d_y\, E_\theta \int_0^1 h_\theta(Q(u))\, h_\theta(Q(u))^T du

divided by N. Here psi is the estimator's influence function. The sum of ``psi psi^T / N^2`` over
the systems is the sampling covariance, without a descent on resampled systems. For the scale of a
normal sample psi is ``(y^2 / sigma^2 - 1) / 2``, as for the sample's variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popinv.forward.tangents import each_tangent
from popinv.inference.answer.result import mean_noise_factor
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import restricted_inverse
from popinv.late import torch
from popinv.seeds import generator
from popinv.store.compiled import njit
from popinv.store.rows import Rows, row_blocks
from popinv.threads import fixed_threads
from popinv.transport.curvature import binned_means
from popinv.transport.sliced import directions
from popinv.transport.sorting import sort_rows


def summed_over_directions(
    projected: np.ndarray, edges: np.ndarray, values: np.ndarray, slopes: np.ndarray
) -> np.ndarray:
    """Return the sums over directions of functions of the projections, shape (n, n_p).

    The place between the edges is searched once for all functions of a direction.

    Parameters
    ----------
    projected : ndarray of shape (K, n)
        Projections of n observations on K directions.
    edges : ndarray of shape (K, bins + 1)
        Increasing.
    values : ndarray of shape (n_p, K, bins + 1)
        The functions at the edges.
    slopes : ndarray of shape (n_p, K, 2)
        Their slopes below the first edge and above the last.
    """
    total = np.zeros((projected.shape[1], len(values)))
    _add(
        np.ascontiguousarray(projected),
        np.ascontiguousarray(edges),
        np.ascontiguousarray(values.transpose(1, 2, 0)),
        np.ascontiguousarray(slopes.transpose(1, 2, 0)),
        total,
    )
    return total


@njit
def _add(
    projected: np.ndarray,
    edges: np.ndarray,
    values: np.ndarray,
    slopes: np.ndarray,
    total: np.ndarray,
) -> None:
    """Add the functions, with values (K, bins + 1, n_p) and slopes (K, 2, n_p) by direction."""
    last, count = edges.shape[1] - 1, total.shape[1]
    for k in range(projected.shape[0]):
        for n in range(projected.shape[1]):
            a = projected[k, n]
            if a < edges[k, 0]:
                for i in range(count):
                    total[n, i] += values[k, 0, i] + slopes[k, 0, i] * (a - edges[k, 0])
            elif a >= edges[k, last]:
                for i in range(count):
                    total[n, i] += values[k, last, i] + slopes[k, 1, i] * (a - edges[k, last])
            else:
                low, high = 0, last
                while high - low > 1:
                    middle = (low + high) // 2
                    if edges[k, middle] <= a:
                        low = middle
                    else:
                        high = middle
                share = (a - edges[k, low]) / (edges[k, high] - edges[k, low])
                for i in range(count):
                    first = values[k, low, i]
                    total[n, i] += first + share * (values[k, high, i] - first)


_DRAWS, _DIRECTIONS, _ROWS_PER_BIN = 8000, 400, 100


@dataclass(frozen=True)
class DistanceInfluence:
    """The influence function at one p.

    Attributes
    ----------
    directions : ndarray of shape (d_y, K)
        Whitened.
    edges : ndarray of shape (K, bins + 1)
        Projections between which h is constant.
    integrals : ndarray of shape (n_p, K, bins + 1)
        H at the edges, with mean zero under the model.
    slopes : ndarray of shape (n_p, K, 2)
        h below the first edge and above the last.
    matrix : ndarray of shape (n_p, n_p)
        M, the Gauss-Newton matrix of the loss.
    inverse : ndarray of shape (n_p, n_p)
        M^{-1}; zero for parameters that are held.
    """

    directions: np.ndarray
    edges: np.ndarray
    integrals: np.ndarray
    slopes: np.ndarray
    matrix: np.ndarray
    inverse: np.ndarray

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """Return psi for observations y (n, d_y), shape (n, n_p)."""
        projected = self.directions.T @ y.T
        total = summed_over_directions(projected, self.edges, self.integrals, self.slopes)
        return y.shape[1] * total @ self.inverse / len(projected)

    def of_rows(self, y: Rows) -> np.ndarray:
        """Return psi for observations y (n, d_y), which are read in blocks, shape (n, n_p)."""
        if isinstance(y, np.ndarray):
            return self(y)
        return np.concatenate([self(part) for _, part in row_blocks(y)])


def distance_influence(problem: Problem, p: np.ndarray) -> DistanceInfluence:
    """Return the influence function of the descent's estimate at p.

    h is a mean over a bin of draws. Its noise would appear as curvature if a parameter hardly moves
    the quantiles. It is therefore estimated from two independent samples, as h_1 and h_2, and M as
    the symmetric part of ``d_y E h_1 h_2^T``.

    Parameters
    ----------
    p : ndarray of shape (n_p,)
        The estimate, unconstrained.
    """
    d_y, stage = problem.data.shape[1], f"{problem.stage}/influence"
    theta = directions(generator(problem.seed, f"{stage}/directions"), _DIRECTIONS, d_y)
    at = torch.from_numpy(np.array(p, dtype=float))
    with fixed_threads(), torch.no_grad():
        factor = mean_noise_factor(problem, at)
        u = torch.linalg.solve_triangular(factor.T, torch.from_numpy(theta), upper=True).numpy()
        (edges_1, means_1), (edges_2, means_2) = (
            _quantile_tangents(problem, at, u, f"{stage}/{half}") for half in range(2)
        )
    edges, means = (edges_1 + edges_2) / 2, (means_1 + means_2) / 2
    integrals = np.zeros((*means.shape[:2], means.shape[2] + 1))
    np.cumsum(means * np.diff(edges), axis=2, out=integrals[:, :, 1:])
    # Bins hold equally many draws. Within a bin, H is linear.
    integrals -= ((integrals[:, :, 1:] + integrals[:, :, :-1]) / 2).mean(axis=2, keepdims=True)
    flat_1, flat_2 = (m.reshape(len(p), -1) for m in (means_1, means_2))
    product = d_y * flat_1 @ flat_2.T / flat_1.shape[1]
    matrix = (product + product.T) / 2
    if problem.prior:
        matrix += problem.prior.curvature(p) / len(problem.data)
    inverse = restricted_inverse(matrix, problem.free)
    return DistanceInfluence(u, edges, integrals, means[:, :, [0, -1]], matrix, inverse)


def _quantile_tangents(
    problem: Problem, p: torch.Tensor, u: np.ndarray, stage: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return edges (K, bins + 1) of bins of projections, and h in each, (n_p, K, bins)."""
    rng, free = generator(problem.seed, stage), np.flatnonzero(problem.free)
    omega = torch.from_numpy(rng.standard_normal((_DRAWS, problem.law.d_omega)))
    e = torch.from_numpy(rng.standard_normal((_DRAWS, problem.noise.d_y)))
    systems = problem.random_systems(f"{stage}/systems", 0, _DRAWS)
    # Each direction is a row, so that entries sorted and gathered together are adjacent in memory.
    projected = u.T @ problem.model(p, omega, e, systems).numpy().T
    order, ordered = sort_rows(projected)
    tangents = each_tangent(
        lambda q: problem.model(_inserted(p, free, q), omega, e, systems), p[free]
    )
    count, bins = u.shape[1], _DRAWS // _ROWS_PER_BIN
    means = np.zeros((len(p), count, bins))
    for i, tangent in zip(free, tangents, strict=True):
        means[i] = binned_means(u.T @ tangent.numpy().T, order, _ROWS_PER_BIN)
    # Edges lie halfway between the last projection of a bin and the first of the next.
    last, first = (
        ordered[:, _ROWS_PER_BIN - 1 : -1 : _ROWS_PER_BIN],
        ordered[:, _ROWS_PER_BIN::_ROWS_PER_BIN],
    )
    return np.concatenate([ordered[:, :1], (last + first) / 2, ordered[:, -1:]], axis=1), means


def _inserted(p: torch.Tensor, free: np.ndarray, values: torch.Tensor) -> torch.Tensor:
    """Return p with its free entries replaced."""
    return p.index_put((torch.from_numpy(free),), values)
