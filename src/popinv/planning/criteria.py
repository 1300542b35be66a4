r"""Criteria of a design, from the information that it gives about law and noise.

With M the information of all systems together, and w the parameters that are wanted, a criterion is
the logarithm of a typical standard error, which a design makes small:

.. math::
    D:\ \frac{1}{2 k} \log \det (M^{-1})_{ww}, \qquad
    A:\ \frac12 \log \frac1k \sum_{i \in w} \frac{(M^{-1})_{ii}}{s_i^2},

with k the number of wanted parameters. D is the logarithm of the geometric mean of the half axes of
the confidence ellipsoid, and does not depend on coordinates. A is a root mean square; s_i is 1 for
logarithms, correlations and shares, and for a mean the change that moves the parameters by one
standard deviation of the population. One wanted parameter gives its standard error with both.

The criterion ``systems`` is about single systems in place of the population: half the logarithm of
the share of its variance that a parameter keeps after the observation of its system, with law and
noise known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

CriterionName = Literal["D", "A", "systems"]
NAMES: tuple[CriterionName, ...] = ("D", "A", "systems")

# Information, in units of the scales, that stands for nothing known: a standard error of 100
# scales. It makes designs comparable that do not determine all parameters.
_NOTHING = 1e-4
UNDETERMINED = 10.0
"""Standard errors above this number of scales count as not determined."""


@dataclass(frozen=True)
class Criterion:
    """A criterion of the design.

    Attributes
    ----------
    name : {"D", "A", "systems"}
    wanted : ndarray of int
        Entries of p; for ``systems``, entries of z.
    scale : ndarray of shape (n_p,)
        The natural size of a change of each parameter.
    free : ndarray of bool, shape (n_p,)
        The parameters that are not known; the others count as known.
    """

    name: CriterionName
    wanted: np.ndarray
    scale: np.ndarray
    free: np.ndarray

    def of_information(self, total: np.ndarray) -> np.ndarray:
        """Return the criterion (...) of informations M (..., n_p, n_p)."""
        block = self.covariance(total)[..., self.wanted[:, None], self.wanted]
        s = self.scale[self.wanted]
        if self.name == "A":
            variances = np.diagonal(block, axis1=-2, axis2=-1) / s**2
            return np.asarray(0.5 * np.log(variances.mean(axis=-1)))
        with np.errstate(invalid="ignore"):
            return np.asarray(np.linalg.slogdet(block)[1] / (2 * len(s)))

    def covariance(self, total: np.ndarray, nothing: float = _NOTHING) -> np.ndarray:
        """Return the inverse of M (..., n_p, n_p) in the free parameters, zero in the others."""
        free = np.flatnonzero(self.free)
        s = self.scale[free]
        scaled = total[..., free[:, None], free] * np.outer(s, s) + nothing * np.eye(len(free))
        found = np.zeros_like(total)
        found[..., free[:, None], free] = np.linalg.inv(scaled) * np.outer(s, s)
        return found

    @staticmethod
    def of_shares(shares: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Return the criterion ``systems`` (...) of shares of variance (..., d_z)."""
        return np.asarray(0.5 * np.log(shares[..., wanted].mean(axis=-1)))


def standard_errors(total: np.ndarray, free: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the standard errors (n_p,) that an information allows.

    They are zero for known parameters, and infinite for parameters that it does not determine.

    Parameters
    ----------
    total : ndarray of shape (n_p, n_p)
    free : ndarray of bool, shape (n_p,)
    scale : ndarray of shape (n_p,)
    """
    rows = np.flatnonzero(free)
    s = scale[rows]
    values, vectors = np.linalg.eigh(total[np.ix_(rows, rows)] * np.outer(s, s))
    # A direction without information leaves the parameters undetermined that it contains.
    floor = max(float(values[-1]), 1.0) * 1e-13
    variances = (vectors**2) @ (1 / np.maximum(values, floor))
    errors = np.zeros(len(free))
    errors[rows] = np.where(variances > UNDETERMINED**2, np.inf, np.sqrt(variances)) * s
    return errors
