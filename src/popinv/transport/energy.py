"""The sliced energy distance of many samples to one sample, in O(n log n) each.

The squared energy distance of two laws on R^d is

    D(P, Q) = 2 E|X - Y| - E|X - X'| - E|Y - Y'|,

D is not negative, and D is zero only if P = Q. For two samples it is the V-statistic: expectations
become means over all pairs, and each point is also paired with itself. The value is then the
distance of the two empirical measures, and keeps both properties.

The sliced distance averages D of the projections over directions. For theta uniform on the
sphere E|<theta, v>| = c_d |v| with

    c_d = Gamma(d/2) / ( sqrt(pi) Gamma((d + 1)/2) ),

so slicing changes the energy distance by a constant only, unlike Wasserstein distances. The
sliced distance over `slicing_constant` is an unbiased estimate of D, exact in one dimension.

The distance scores held-out observations (`popinv.inference.answer.assessment`). The deconvolution
papers, whose loss `popinv.transport.sliced` implements, use a Wasserstein distance.

Source: Szekely and Rizzo, "Energy statistics: a class of statistics based on distances",
Journal of Statistical Planning and Inference 143 (2013).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popinv.store.compiled import njit
from popinv.transport.sliced import project
from popinv.transport.sorting import sort_rows


def slicing_constant(dimension: int) -> float:
    """Return the mean of |<theta, v>| over directions theta, for a unit vector v.

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


@njit
def _energy_to_rows(
    reference: np.ndarray,
    sums: np.ndarray,
    within: np.ndarray,
    sample: np.ndarray,
    values: np.ndarray,
) -> None:
    """Mean distances by ranks: sum_j |x - y_j| = x (2 r - n) + S_n - 2 S_r for r points below x."""
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
        Sorted projections less their middle, which keeps sums of differences exact; the sums of
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
        """Return (1/K) sum_k D(<x, theta_k>, <y, theta_k>) for a sample y of shape (m, d)."""
        _, rows = sort_rows(project(sample, self.frame) - self.middle)
        values = np.empty(len(rows))
        _energy_to_rows(self.rows, self.sums, self.within, rows, values)
        return float(values.mean())
