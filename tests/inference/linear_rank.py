r"""Exact identifiability of linear models of normal parameters.

For ``y = A z + xi`` with ``z ~ N(m, S)`` and ``xi ~ N(0, Gamma(gamma))`` the law of y is normal,
and all that it says of S and gamma is the covariance ``A S A^T + Gamma(gamma)``. They are
identifiable (locally) if and only if

.. math:: (dS, d\gamma) \mapsto A\, dS\, A^T + d\Gamma(\gamma)

is injective, which is the rank of a matrix. With A of full column rank and S unrestricted,
Gamma = sigma^2 I needs d_y > d_z; diagonal Gamma is factor analysis with known loadings; and an
unrestricted Gamma is never identifiable, since it contains A dS A^T.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from popinv.population.noise.base import NoiseModel

# Central differences of the noise covariance are good to about 1e-9 of its size.
_STEP, _TOLERANCE = 1e-4, 1e-7


@dataclass(frozen=True)
class LinearRank:
    """The rank of the map from (S, gamma) to the covariance of y.

    Attributes
    ----------
    rank : int
    unknowns : int
        Entries of S that are free, and of gamma.
    weakest : ndarray of shape (unknowns,)
        The combination that moves the covariance least; it trades law for noise if the rank is
        deficient. The entries of S come first.
    """

    rank: int
    unknowns: int
    weakest: np.ndarray

    @property
    def identifiable(self) -> bool:
        """Whether the second moments determine S and gamma."""
        return self.rank == self.unknowns


def linear_gaussian_rank(
    matrix: np.ndarray,
    noise: NoiseModel,
    gamma: np.ndarray,
    law: Literal["diagonal", "full"] = "diagonal",
) -> LinearRank:
    """Return the rank of ``(dS, dgamma) -> A dS A^T + dGamma(gamma)``.

    Parameters
    ----------
    matrix : ndarray of shape (d_y, d_z)
        A.
    noise : NoiseModel
        Its family of covariances.
    gamma : ndarray
        Unconstrained parameters of the noise at which the map is taken; the rank is the same at
        almost all.
    law : {"diagonal", "full"}
        Whether S is diagonal or any covariance.
    """
    d_y, d_z = matrix.shape
    columns = [
        np.outer(matrix[:, i], matrix[:, j]) + np.outer(matrix[:, j], matrix[:, i])
        for i in range(d_z)
        for j in (range(i, d_z) if law == "full" else (i,))
    ]
    here = np.array(gamma, dtype=float)
    for shift in _STEP * np.eye(len(here)):
        plus, minus = (noise.covariance(torch.from_numpy(here + s)) for s in (shift, -shift))
        columns.append((plus - minus).numpy() / (2 * _STEP))
    upper = np.triu_indices(d_y)
    table = np.stack([column[upper] for column in columns], axis=1)
    # A column of the size of another unit would otherwise look like one that is missing.
    size = np.linalg.norm(table, axis=0)
    size = np.where(size > 0, size, 1.0)
    # Rows of zeros change no singular value and make the last right vectors those of the kernel.
    padded = np.zeros((max(table.shape), table.shape[1]))
    padded[: len(table)] = table / size
    _, values, vectors = np.linalg.svd(padded)
    rank = int(np.sum(values > _TOLERANCE * values[0]))
    return LinearRank(rank, table.shape[1], vectors[-1] / size)
