r"""Principal components of the outputs on which a network is trained.

Observations of one solution by many sensors are strongly correlated. A network that predicts each
observation by itself has errors that are rough from sensor to sensor, and the noise may be small in
these directions. Standardised outputs u of n solves are therefore written

.. math:: u \approx c + B s, \qquad B = V \operatorname{diag}(\sigma),

with c their mean and V the directions of their largest standard deviations sigma, and the network
predicts the scores s, of variance 1 (POD-NN; Hesthaven and Ubbiali, J. Comput. Phys. 363, 2018, who
decompose the outputs themselves). The components leave out at most a share `LEFT_OUT` of the
variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEFT_OUT = 1e-8
"""Largest share of the variance of the outputs that the components leave out.

The share corresponds to 0.0001 of the outputs' standard deviation. With random fields of 21
parameters, the error of the surrogate does not depend on it between 1e-12 and 1e-4.
"""

# Largest number of components relative to the outputs. With the same fields, 31 components of 50
# outputs lower the error by a factor of 2.5. Two materials with sharp interfaces would need 43 of
# 50, which raise the error by a sixth.
_MOST = 0.75


@dataclass(frozen=True)
class OutputComponents:
    """An affine map from q scores to d_y outputs.

    Attributes
    ----------
    centre : ndarray of shape (d_y,)
        c.
    matrix : ndarray of shape (d_y, q)
        B, of orthogonal columns.
    """

    centre: np.ndarray
    matrix: np.ndarray


def principal_components(outputs: np.ndarray) -> OutputComponents | None:
    """Return the principal components of standardised outputs (n, d_y).

    Returns
    -------
    Components or None
        None if the components are more than three quarters of the outputs, where they gain nothing,
        or more than half the rows, which are then too few to show the directions to leave out.
    """
    centre = outputs.mean(axis=0)
    matrix = _directions(outputs - centre, np.square(outputs - centre).sum())
    count = matrix.shape[1]
    if not 0 < count <= _MOST * outputs.shape[1] or 2 * count > len(outputs):
        return None
    return OutputComponents(centre, matrix)


def extended(known: OutputComponents, outputs: np.ndarray) -> OutputComponents:
    """Return the components with further ones for what they leave out of other outputs (n, d_y).

    The scores of the known components keep their meaning.
    """
    centred = outputs - known.centre
    basis = known.matrix / np.linalg.norm(known.matrix, axis=0)
    rest = centred - (centred @ basis) @ basis.T
    further = _directions(rest, np.square(centred).sum())
    return OutputComponents(known.centre, np.concatenate([known.matrix, further], axis=1))


def _directions(rows: np.ndarray, whole: float) -> np.ndarray:
    """Return the fewest principal directions (d_y, q) that leave out enough of a sum of squares.

    Each has the length of the root mean square of the rows along it.
    """
    # The triangular factor has the same singular values and right vectors as many more rows.
    part = np.linalg.qr(rows, mode="r") if rows.shape[0] > rows.shape[1] else rows
    _, lengths, directions = np.linalg.svd(part, full_matrices=False)
    # Summed from the smallest, because the share that is left out is smaller than rounding.
    left = np.cumsum(np.square(lengths[::-1]))[::-1]
    count = int(np.count_nonzero(left > LEFT_OUT * whole))
    return directions[:count].T * (lengths[:count] / np.sqrt(len(rows)))
