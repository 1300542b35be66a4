r"""SystemPairs of systems whose parameters may be alike: of one group, and neighbours of a table.

Let v_n be the score of system n for a shift of a parameter. If the systems of a group share an
effect of variance :math:`\tau^2`, or if the parameters of neighbours have the correlation
:math:`\rho`, the score of that number at zero is, but for terms of single systems,

.. math:: U = \sum_{(n, m)} v_n v_m

over the pairs of a group, or of neighbours (Commenges and Jacqmin-Gadda, J. R. Statist. Soc. B 59,
1997; Moran, Biometrika 37, 1950). The terms of single systems belong to the deviation of the law,
which is estimated. With independent systems, U has the mean zero and, for P pairs, the variance
:math:`P \operatorname{Var}(v)^2`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class SystemPairs:
    """SystemPairs of systems.

    Attributes
    ----------
    order : ndarray of int, shape (m,)
        Systems; those of a group, or neighbours, follow each other.
    sizes : ndarray of int, shape (G,), optional
        The sizes of the groups; None if each system is a pair with the next one.
    """

    order: np.ndarray
    sizes: np.ndarray | None = None

    @classmethod
    def of_groups(cls, labels: np.ndarray) -> SystemPairs:
        """Return the pairs with the same label (N,); a system without a label has -1."""
        order = np.argsort(labels, kind="stable")
        sizes = np.unique(labels[labels >= 0], return_counts=True)[1]
        return cls(order[len(labels) - sizes.sum() :], sizes)

    @cached_property
    def count(self) -> int:
        """P, the number of pairs."""
        if self.sizes is None:
            return len(self.order) - 1
        return int((self.sizes * (self.sizes - 1)).sum()) // 2

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return U (B,) of samples of systems (B, N), each less its own mean."""
        v = (values - values.mean(axis=1, keepdims=True))[:, self.order]
        if self.sizes is None:
            return np.einsum("bn,bn->b", v[:, :-1], v[:, 1:])
        starts = np.cumsum(self.sizes) - self.sizes
        of_groups = np.add.reduceat(v, starts, axis=1)
        return ((of_groups**2).sum(axis=1) - (v**2).sum(axis=1)) / 2
