"""The result of an estimator of law and noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Ends:
    """Ends of the 95 % interval of one entry of p; infinite if the data do not determine them.

    Attributes
    ----------
    boundary : {"", "zero", "infinity", "one", "minus one"}
        The boundary at which the maximum lies, if any.
    """

    lower: float
    upper: float
    boundary: str


@dataclass(frozen=True)
class Estimate:
    """An estimate, its uncertainty, and whether it can be used.

    Attributes
    ----------
    p : ndarray of shape (n_p,)
        (alpha, gamma), unconstrained.
    covariance : ndarray of shape (n_p, n_p)
        Sampling covariance of p, one of the two kinds below. If a penalty of curvature P determines
        an entry, its bias is an error as well: B then includes P, as in the Bayesian intervals of
        penalised fits (Wahba, J. R. Statist. Soc. B 45, 1983). Zero for parameters that are held.
    monte_carlo : ndarray of shape (n_p, n_p)
        Covariance of the error of p due to the estimator's own draws.
    influence : ndarray of shape (N, n_p)
        First-order influence of each system on the answer: A^{-1} s_n. If the problem is divided,
        these and ``arrays`` are of a rank's own systems.
    arrived : bool
        Whether the search has converged.
    passes : bool
        Whether the estimator's own diagnostics allow its use.
    reason : str
        The reason if it does not pass, or "".
    doubt : str
        What an estimate that passes leaves open, and what it does to the numbers, or "".
    bread : ndarray of shape (n_p, n_p)
        A^{-1}; zero for parameters that are held.
    path : ndarray of shape (k, n_p)
        The points of the search.
    diagnostics : dict of str to number
    arrays : dict of str to ndarray
        Results of single systems, with systems along the first axis.
    bound : ndarray of shape (n_p,), optional
        Standard errors that the likelihood allows (the Cramer-Rao bound): from the inverse of the
        sum of the outer products of its scores.
    ends : mapping of int to Ends
        Ends of the intervals of the entries that the covariance does not describe.
    model_covariance, robust_covariance : ndarray of shape (n_p, n_p), optional
        The sampling covariance by the model, and the sandwich A^{-1} B A^{-1} of the curvature A
        and the sum B of the outer products of the scores
        (:mod:`popinv.inference.uncertainty.standard_errors`).
    small_sample : ndarray of shape (2, n_p), optional
        Degrees of freedom of the intervals of the coefficients of the law's mean, and the factors
        by which their standard errors are too small; NaN for other entries.
    correction, correction_covariance : ndarray of shape (n_p,), (n_p, n_p), optional
        The part of p due to :mod:`popinv.inference.uncertainty.surrogate_bias`, and the covariance
        of its error.
    """

    p: np.ndarray
    covariance: np.ndarray
    monte_carlo: np.ndarray
    influence: np.ndarray
    arrived: bool
    passes: bool
    reason: str
    bread: np.ndarray
    path: np.ndarray
    diagnostics: dict[str, float] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    bound: np.ndarray | None = None
    ends: Mapping[int, Ends] = field(default_factory=dict)
    model_covariance: np.ndarray | None = None
    robust_covariance: np.ndarray | None = None
    small_sample: np.ndarray | None = None
    doubt: str = ""
    correction: np.ndarray | None = None
    correction_covariance: np.ndarray | None = None

    def with_rows(self, change: Callable[[np.ndarray], np.ndarray]) -> Estimate:
        """Return the estimate with its results of single systems changed."""
        arrays = {name: change(each) for name, each in self.arrays.items()}
        return replace(self, influence=change(self.influence), arrays=arrays)

    def holding(self, entries: Sequence[int], free: np.ndarray) -> Estimate:
        """Return the estimate with the uncertainty of the others if some entries are held.

        Parameters
        ----------
        entries : sequence of int
        free : ndarray of bool, shape (n_p,)
            The entries of p that move.
        """
        rest = free.copy()
        rest[list(entries)] = False
        information = restricted_inverse(self.bread, free)
        bread = restricted_inverse(information, rest)
        change = information @ bread

        def changed(covariance: np.ndarray | None) -> np.ndarray | None:
            return None if covariance is None else change.T @ covariance @ change

        return replace(
            self,
            covariance=change.T @ self.covariance @ change,
            monte_carlo=change.T @ self.monte_carlo @ change,
            influence=self.influence @ change,
            bread=bread,
            model_covariance=changed(self.model_covariance),
            robust_covariance=changed(self.robust_covariance),
            correction_covariance=changed(self.correction_covariance),
        )

    @property
    def total_covariance(self) -> np.ndarray:
        """Covariance of sampling, Monte-Carlo and surrogate error together, shape (n_p, n_p)."""
        total = self.covariance + self.monte_carlo
        return total if self.correction_covariance is None else total + self.correction_covariance

    @property
    def standard_errors(self) -> np.ndarray:
        """Standard error of each entry of p, with all errors."""
        return np.sqrt(np.diag(self.total_covariance))


def sizes(information: np.ndarray) -> np.ndarray:
    """Return the square roots of a matrix's diagonal, with zeros replaced, shape (n,).

    They remove the units. Parameters without information get a small value whose powers do not
    overflow.
    """
    diagonal = np.diag(information)
    return np.sqrt(np.maximum(diagonal, 1e-40 * max(np.max(diagonal), 1.0)))


def restricted_inverse(matrix: np.ndarray, free: np.ndarray, least: float = 1e-9) -> np.ndarray:
    """Return the inverse on the free entries, zero elsewhere, for a symmetric positive matrix.

    Directions in which the matrix is zero to rounding have a large but finite inverse.

    Parameters
    ----------
    matrix : ndarray of shape (n, n)
    free : ndarray of bool, shape (n,)
    least : float
        Smallest eigenvalue that counts, as a share of the largest, of the matrix with diagonal 1.
    """
    inner = matrix[np.ix_(free, free)]
    size = sizes(inner)
    values, vectors = np.linalg.eigh(inner / np.outer(size, size))
    inverse = np.zeros_like(matrix)
    floor = least * max(values[-1], 1e-300)
    part = (vectors / np.maximum(values, floor)) @ vectors.T / np.outer(size, size)
    inverse[np.ix_(free, free)] = part
    return inverse
