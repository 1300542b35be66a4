r"""Objectives with stochastic gradients, computed in compiled code for many points at once.

The quadratic is the one that the authors usually use, f(x) = x'Ax/2 - b'x with
A = tridiag(-1, 2, -1)/4, b = -e_1/4, from x^0 = sqrt(d) e_1, with normal noise in every coordinate
of the gradient. The other objective is logistic regression of ten classes on images, with the
gradient at one random image, from zero weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import solveh_banded

from popinv.store.compiled import njit

CLASSES = 10
_QUADRATIC, _LOGISTIC = 0, 1


@dataclass(frozen=True)
class Objective:
    """An objective, as arrays that compiled code reads.

    Attributes
    ----------
    start : ndarray of shape (d,)
        x^0.
    lowest : float
        Its infimum, or a bound below it.
    smoothness : float
        L, or a bound above it.
    deviation : float
        Standard deviation of a coordinate's noise, for the quadratic.
    images : ndarray of shape (m, p)
        Images and a last column of ones, for the logistic regression.
    labels : ndarray of int, shape (m,)
    """

    kind: int
    start: np.ndarray
    lowest: float
    smoothness: float
    deviation: float = 0.0
    images: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    labels: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @property
    def gap(self) -> float:
        """Delta = f(x^0) - inf f, or a bound above it."""
        return float(values(self, self.start[None])[0]) - self.lowest


def quadratic(dimension: int, deviation: float) -> Objective:
    """Return the tridiagonal quadratic."""
    start = np.zeros(dimension)
    start[0] = np.sqrt(dimension)
    bands = np.vstack([np.full(dimension, -0.25), np.full(dimension, 0.5)])
    right = np.zeros(dimension)
    right[0] = -0.25
    solution = solveh_banded(bands, right)
    smoothness = 0.5 * (1 + np.cos(np.pi / (dimension + 1)))
    return Objective(_QUADRATIC, start, float(-0.5 * right @ solution), smoothness, deviation)


def logistic(images: np.ndarray, labels: np.ndarray) -> Objective:
    """Return the mean cross-entropy of a linear model of ten classes; its infimum is at least 0.

    The images are rows of shape (m, p), the labels from 0 to 9.
    """
    rows = np.column_stack([images, np.ones(len(images))])
    # The Hessian of the log-sum-exp function is at most 1/2.
    smoothness = 0.5 * float(np.linalg.eigvalsh(rows.T @ rows / len(rows))[-1])
    start = np.zeros(CLASSES * rows.shape[1])
    return Objective(_LOGISTIC, start, 0.0, smoothness, 0.0, rows, labels.astype(np.int64))


def values(objective: Objective, points: np.ndarray) -> np.ndarray:
    """Return f at points of shape (m, d)."""
    if objective.kind == _QUADRATIC:
        inside = 0.25 * np.square(points).sum(axis=1)
        neighbours = 0.25 * (points[:, 1:] * points[:, :-1]).sum(axis=1)
        return inside - neighbours + 0.25 * points[:, 0]
    m, p = len(points), objective.images.shape[1]
    scores = objective.images @ points.reshape(m * CLASSES, p).T
    scores = scores.reshape(len(objective.images), m, CLASSES)
    highest = scores.max(axis=2, keepdims=True)
    normaliser = np.log(np.exp(scores - highest).sum(axis=2)) + highest[:, :, 0]
    right = np.take_along_axis(scores, objective.labels[:, None, None], axis=2)[:, :, 0]
    return (normaliser - right).mean(axis=0)


@njit
def draw(
    generator: np.random.Generator, kind: int, deviation: float, rows: int, noise: np.ndarray
) -> int:
    """Draw a sample: noise in every coordinate, or the number of an image, which is returned."""
    if kind == _QUADRATIC:
        for i in range(len(noise)):
            noise[i] = deviation * generator.standard_normal()
        return 0
    return int(generator.random() * rows)


@njit(fastmath={"reassoc", "contract"})
def slope(
    kind: int,
    x: np.ndarray,
    images: np.ndarray,
    labels: np.ndarray,
    sample: int,
    noise: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write the gradient at a point and a sample to ``out``."""
    if kind == _QUADRATIC:
        last = len(x) - 1
        out[0] = 0.25 * (2 * x[0] - x[1]) + 0.25 + noise[0]
        for i in range(1, last):
            out[i] = 0.25 * (2 * x[i] - x[i - 1] - x[i + 1]) + noise[i]
        out[last] = 0.25 * (2 * x[last] - x[last - 1]) + noise[last]
        return
    p = images.shape[1]
    image = images[sample]
    scores = np.empty(CLASSES)
    highest = -np.inf
    for c in range(CLASSES):
        score = 0.0
        for j in range(p):
            score += x[c * p + j] * image[j]
        scores[c] = score
        highest = max(highest, score)
    total = 0.0
    for c in range(CLASSES):
        scores[c] = np.exp(scores[c] - highest)
        total += scores[c]
    for c in range(CLASSES):
        share = scores[c] / total - (1.0 if c == labels[sample] else 0.0)
        for j in range(p):
            out[c * p + j] = share * image[j]
