r"""The observed information, shrunk towards the outer products of the scores.

Under a right model, the curvature A of a log likelihood and the sum B of the outer products of its
scores estimate the same matrix. B needs only the scores. A is a difference of scores of some of the
systems, and has the error of their draws. In coordinates in which B is the identity, the
difference of A and B is

.. math:: D = B^{-1/2} A B^{-1/2} - I .

The noise in D has an expected square \nu, which is known from the spread over systems and from the
halves of the draws. ``B^{1/2} (I + c D) B^{1/2}`` with the James-Stein factor
``c = max(0, 1 - \nu / |D|^2)`` replaces A. It removes noise and keeps the effect of a wrong model.
"""

from __future__ import annotations

import numpy as np


def steadied(
    curvature: np.ndarray, error: np.ndarray, squares: np.ndarray, systems: int
) -> np.ndarray:
    """Return the information of all systems, shape (k, k).

    Parameters
    ----------
    curvature : ndarray of shape (n, k, k)
        Negative Hessians of n single systems.
    error : ndarray of shape (n, k, k)
        A draw of each Hessian's error due to the draws.
    squares : ndarray of shape (k, k)
        B of all systems.
    systems : int
        N, the number of all systems.
    """
    n = len(curvature)
    plain = curvature.sum(axis=0) * systems / n
    size = np.sqrt(np.maximum(np.diag(squares), 0.0))
    if not np.all(size > 0):
        return plain
    values, vectors = np.linalg.eigh(squares / np.outer(size, size))
    if values[0] <= 1e-10 * values[-1]:
        return plain
    # B = root^T root
    root = np.sqrt(values)[:, None] * vectors.T * size
    back = vectors / np.sqrt(values) / size[:, None]

    def whitened(matrices: np.ndarray) -> np.ndarray:
        return back.T @ matrices @ back

    difference = whitened(plain) - np.eye(len(size))
    spread = ((whitened(curvature) - whitened(plain) / systems) ** 2).sum()
    noise = (whitened(error) ** 2).sum() + (1 - n / systems) * spread
    noise *= (systems / n) ** 2
    total = (difference**2).sum()
    kept = max(0.0, 1 - noise / total) if total > 0 else 0.0
    return root.T @ (np.eye(len(size)) + kept * difference) @ root
