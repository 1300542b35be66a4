"""Energy distances between samples: the exact one, and a sliced one in O(n log n).

The squared energy distance of two laws on R^d is

    D(P, Q) = 2 E|X - Y| - E|X - X'| - E|Y - Y'|,

not negative, and zero only if P = Q. For two samples it is the V-statistic: expectations become
means over all pairs, a point paired with itself included, so that the value is that of the two
empirical measures and keeps both properties.

Sliced, D is taken of the projections and averaged over directions. For theta uniform on the
sphere E|<theta, v>| = c_d |v| with

    c_d = Gamma(d/2) / ( sqrt(pi) Gamma((d + 1)/2) ),

so, unlike for Wasserstein distances, slicing changes the energy distance by a constant only:
``sliced_energy_distance / slicing_constant(d)`` is an unbiased estimate of `energy_distance`,
exact in one dimension.

It is offered as a second discrepancy and as a held-out score. The deconvolution papers whose loss
`popinv.transport.sliced` implements use a Wasserstein distance.

Source: Szekely and Rizzo, "Energy statistics: a class of statistics based on distances",
Journal of Statistical Planning and Inference 143 (2013).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from popinv.transport.rows import mean_over_directions, projected_discrepancy
from popinv.transport.sliced import project
from popinv.transport.sorting import sort_rows

__all__ = [
    "EnergyReference",
    "couple_energy",
    "energy_distance",
    "projected_energy_distance",
    "sliced_energy_distance",
    "slicing_constant",
]


def slicing_constant(dimension: int) -> float:
    """Mean of |<theta, v>| over directions theta, for a unit vector v.

    c_d = Gamma(d/2) / (sqrt(pi) Gamma((d + 1)/2)): 1, 2/pi, 1/2, ... and about sqrt(2/(pi d)).

    Parameters
    ----------
    dimension : int
        Dimension d of the space, at least 1.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If `dimension` is below 1.
    """
    if dimension < 1:
        raise ValueError(f"dimension must be at least 1, got {dimension}")
    log_ratio = math.lgamma(dimension / 2) - math.lgamma((dimension + 1) / 2)
    return math.exp(log_ratio) / math.sqrt(math.pi)


@numba.njit(nogil=True, cache=True)
def _couple_energy(data, model, values, data_slopes, model_slopes):
    """Walk along the merged sample, with both distribution functions at hand.

    D = 2 int (F - G)^2, a sum without cancellation. Moving one model point, its derivative is
    (4/m)(F - G) there; at ties, F and G are the means of their left and right limits.
    """
    n, m = data.shape[1], model.shape[1]
    for k in range(data.shape[0]):
        i = j = 0
        total = 0.0
        here = min(data[k, 0], model[k, 0])
        while i < n or j < m:
            first_i, first_j = i, j
            while i < n and data[k, i] <= here:
                i += 1
            while j < m and model[k, j] <= here:
                j += 1
            if i == first_i and j == first_j:  # NaN: no order, no distance
                total = np.nan
                data_slopes[k] = np.nan
                model_slopes[k] = np.nan
                break
            middle = (first_i + i) / (2.0 * n) - (first_j + j) / (2.0 * m)
            for s in range(first_i, i):
                data_slopes[k, s] = -4.0 * middle / n
            for s in range(first_j, j):
                model_slopes[k, s] = 4.0 * middle / m
            gap = i / n - j / m
            last = here
            if i < n and j < m:
                here = min(data[k, i], model[k, j])
            elif i < n:
                here = data[k, i]
            elif j < m:
                here = model[k, j]
            total += 2.0 * gap * gap * (np.float64(here) - np.float64(last))
        values[k] = total


def couple_energy(
    data: NDArray[Any], model: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[Any]]:
    """Squared energy distance of sorted rows, with derivatives in sorted order.

    With F and G the empirical distribution functions, D = 2 int (F(t) - G(t))^2 dt.

    Parameters
    ----------
    data : ndarray of shape (K, n)
        Sorted along rows.
    model : ndarray of shape (K, m)
        Sorted along rows, dtype of `data`.

    Returns
    -------
    values : ndarray of shape (K,), float64
    data_slopes, model_slopes : ndarrays of shapes (K, n), (K, m)
        Derivatives of each row's value with respect to its sorted entries.
    """
    values = np.empty(data.shape[0])
    data_slopes, model_slopes = np.empty_like(data), np.empty_like(model)
    _couple_energy(data, model, values, data_slopes, model_slopes)
    return values, data_slopes, model_slopes


def _check_samples(x: NDArray[Any], y: NDArray[Any]) -> None:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or 0 in x.shape or 0 in y.shape:
        raise ValueError(
            "samples must be non-empty and of shapes (n, d) and (m, d), "
            f"got {x.shape} and {y.shape}"
        )


def sliced_energy_distance(
    x: NDArray[Any], y: NDArray[Any], frame: NDArray[Any], *, threads: int | None = None
) -> tuple[float, NDArray[Any]]:
    """Squared energy distance of the projections, averaged, and its gradient in the second sample.

        (1/K) sum_k D( <x, theta_k>, <y, theta_k> )

    Divided by ``slicing_constant(d)`` it estimates ``energy_distance(x, y)``.

    Parameters
    ----------
    x : ndarray of shape (n, d)
        Data points.
    y : ndarray of shape (m, d)
        Model points.
    frame : ndarray of shape (d, K)
        Directions theta_k as columns.
    threads : int, optional
        As in `popinv.transport.rows.evaluate_rows`; the result does not depend on it.

    Returns
    -------
    value : float
    gradient : ndarray of shape (m, d)

    Raises
    ------
    ValueError
        On shapes or types that do not fit.
    """
    return mean_over_directions(
        couple_energy, project(x, frame), project(y, frame), frame, threads=threads
    )


@numba.njit(nogil=True, cache=True)
def _energy_to_rows(reference, sums, within, sample, values):
    """Mean distances by ranks: sum_j |x - y_j| = x (2 r - n) + S_n - 2 S_r, r points below x."""
    n, m = reference.shape[1], sample.shape[1]
    for k in range(sample.shape[0]):
        rank = 0
        between = 0.0
        own = 0.0
        for i in range(m):
            x = np.float64(sample[k, i])
            while rank < n and reference[k, rank] <= x:
                rank += 1
            between += x * (2.0 * rank - n) + sums[k, n] - 2.0 * sums[k, rank]
            own += x * (2.0 * i + 1.0 - m)
        values[k] = 2.0 * between / n / m - 2.0 * own / m / m - within[k]


@dataclass(frozen=True)
class EnergyReference:
    """A sample prepared for the sliced energy distances of many others to it.

    Attributes
    ----------
    frame : ndarray of shape (d, K)
        Directions theta_k as columns.
    rows, sums, within : ndarrays of shapes (K, n), (K, n + 1), (K,)
        Sorted projections, less their middle, which keeps sums of differences exact; the sums of
        the first 0, 1, ..., n of them; and their mean distance from each other.
    middle : ndarray of shape (K, 1)
    """

    frame: NDArray[Any]
    rows: NDArray[np.float64]
    sums: NDArray[np.float64]
    within: NDArray[np.float64]
    middle: NDArray[np.float64]

    @classmethod
    def of(cls, points: NDArray[Any], frame: NDArray[Any]) -> EnergyReference:
        """Project points of shape (n, d) on the columns of `frame` (d, K), and sort."""
        _, rows = sort_rows(project(points, frame))
        n = rows.shape[1]
        middle = rows[:, n // 2, None].copy()
        rows = rows - middle
        sums = np.zeros((len(rows), n + 1))
        np.cumsum(rows, axis=1, out=sums[:, 1:])
        within = 2.0 * (rows * (2.0 * np.arange(n) + 1.0 - n)).sum(axis=1) / n / n
        return cls(frame, rows, sums, within, middle)

    def distance(self, sample: NDArray[Any]) -> float:
        """Return the value of `sliced_energy_distance` for a sample of shape (m, d)."""
        _, rows = sort_rows(project(sample, self.frame) - self.middle)
        values = np.empty(len(rows))
        _energy_to_rows(self.rows, self.sums, self.within, rows, values)
        return float(values.mean())


def projected_energy_distance(
    a: torch.Tensor,
    b: torch.Tensor,
    *,
    data_sorted: bool = False,
    threads: int | None = None,
) -> torch.Tensor:
    """Mean over directions of the squared energy distance of projections, differentiable once.

    The counterpart of `popinv.transport.sliced.projected_wasserstein_squared`, with the same
    parameters and errors.

    Parameters
    ----------
    a, b : torch.Tensor of shapes (n, K), (m, K)
        Projected data and projected model sample.
    data_sorted : bool, default False
        The columns of `a` are sorted already.
    threads : int, optional
        As in `popinv.transport.rows.evaluate_rows`.

    Returns
    -------
    torch.Tensor of shape ()
    """
    return projected_discrepancy(couple_energy, a, b, data_sorted=data_sorted, threads=threads)


def _sum_between(x: NDArray[Any], y: NDArray[Any], entries: int) -> float:
    step = max(1, entries // len(y))
    return math.fsum(cdist(x[s : s + step], y).sum() for s in range(0, len(x), step))


def _sum_within(x: NDArray[Any], entries: int) -> float:
    """Sum of distances over ordered pairs; each unordered pair across blocks is computed once."""
    step = max(1, entries // len(x))
    parts = []
    for s in range(0, len(x), step):
        block = x[s : s + step]
        parts.append(cdist(block, block).sum())
        if s + step < len(x):
            parts.append(2.0 * cdist(block, x[s + step :]).sum())
    return math.fsum(parts)


def energy_distance(x: NDArray[Any], y: NDArray[Any], *, memory: float = 32e6) -> float:
    """Squared energy distance of two samples in R^d, exactly, in O((n + m)^2 d).

        D = 2/(n m) sum_ij |x_i - y_j| - 1/n^2 sum_ij |x_i - x_j| - 1/m^2 sum_ij |y_i - y_j|

    Parameters
    ----------
    x, y : ndarray of shapes (n, d), (m, d)
        The samples.
    memory : float, default 32e6
        Bytes for a block of distances (one row of distances is the least it can be).

    Returns
    -------
    float
        Not negative: the mathematical value is not, and a rounding error below zero is returned
        as zero.

    Raises
    ------
    ValueError
        If the samples are not matrices of the same dimension, or one is empty.
    """
    _check_samples(x, y)
    n, m, entries = len(x), len(y), int(memory) // 8
    between = _sum_between(x, y, entries) / (n * m)
    within = _sum_within(x, entries) / n**2 + _sum_within(y, entries) / m**2
    return float(np.maximum(0.0, 2.0 * between - within))  # NaN stays NaN
