r"""The influence of every system on the answer, and the steps that forget it.

The influence :math:`I_n` of system n on the answer p, which the study keeps, says how far the
answer of N systems moves without a set S of them, to first order
(:mod:`popinv.inference.checks.folds`):

.. math:: p_{-S} - p \approx -\frac{N}{N - |S|} \sum_{n \in S} I_n .

The size of a shift :math:`\Delta` is its length in standard errors of the answer,
:math:`\sqrt{\Delta^T C^{-1} \Delta}` with the covariance C of the estimate.

A fit without the set S begins with a step that has the information :math:`B^{-1}` of all systems,
and is exact for all systems outside S. This step leaves about the share of the shift that equals
their share of the information. The share is estimated by

.. math:: h_S = \sum_{n \in S} s_n^T B s_n = \sum_{n \in S} I_n^T B^{-1} I_n

from the squares of their scores s_n. Later steps learn the remaining information, and converge
faster than linearly. Step j is assumed to leave the share :math:`h^j`, so that

.. math:: \tfrac{1}{2} k (k + 1) \log(1 / h) \ge \log(\text{size} / \text{tolerance})

gives the number k of steps after which at most the tolerance remains. As B has an error of its own,
h is at least ``_LEAST_SHARE``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr

from popinv.errors import DataError
from popinv.inference.checks.folds import first_order
from popinv.inference.estimators.estimate import restricted_inverse

_LEAST_SHARE, _LARGEST_SHARE = 0.06, 0.9


@dataclass(frozen=True)
class SystemInfluence:
    """The influence of N systems on an answer with n_p parameters, unconstrained.

    ``each`` (N, n_p) is I_n, and ``share`` (N,) is h_n. The standard error (n_p,) and the precision
    C^-1 (n_p, n_p) of the answer are zero for parameters that are held.
    """

    each: np.ndarray
    standard_error: np.ndarray
    precision: np.ndarray
    share: np.ndarray

    def shift(self, systems: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the shift (n_p,) of the answer without these systems, to first order."""
        zero = np.zeros(self.each.shape[1])
        return first_order(zero, self.each, [np.asarray(systems, dtype=int)])[0]

    @cached_property
    def shifts(self) -> np.ndarray:
        """The shift of the answer without each system, shape (N, n_p)."""
        count = len(self.each)
        return -count / (count - 1) * self.each

    @cached_property
    def sizes(self) -> np.ndarray:
        """The size of the shift without each system, shape (N,)."""
        return self.size(self.shifts)

    def steps_of_each(self, tolerance: float) -> np.ndarray:
        """Return :meth:`steps` of every system alone, shape (N,)."""
        return self.steps(self.sizes, self.share, tolerance)

    def size(self, shift: np.ndarray) -> np.ndarray:
        """Return the size of shifts (..., n_p) in standard errors, shape (...,)."""
        squares = np.einsum("...i,ij,...j->...", shift, self.precision, shift)
        return np.sqrt(np.maximum(squares, 0.0))

    def in_errors(self, shift: np.ndarray) -> np.ndarray:
        """Return shifts (..., n_p) in standard errors of each parameter, zero for held ones."""
        known = self.standard_error > 0
        return np.where(known, shift / np.where(known, self.standard_error, 1.0), 0.0)

    def steps(self, size: np.ndarray, share: np.ndarray, tolerance: float) -> np.ndarray:
        """Return the number of steps after which at most ``tolerance`` of a shift is left.

        ``size`` (n,) and the tolerance are in standard errors, and ``share`` (n,) is h.
        """
        left = np.clip(share, _LEAST_SHARE, _LARGEST_SHARE)
        needed = np.log(np.maximum(size / tolerance, 1.0)) / -np.log(left)
        return np.ceil(np.sqrt(2 * needed + 0.25) - 0.5).astype(int)


def influence_of(population: xr.Dataset) -> SystemInfluence:
    """Return the influence stored in a :func:`popinv.inference.answer.dataset.population_dataset`.

    Raises
    ------
    DataError
        If the answer has none, or is of one system.
    """
    each = population["influence"].values
    if len(each) < 2:
        raise DataError(
            "downstream.withdrawal: all observations are of one system, and nothing is left "
            "without it; crossed levels join all members that share a label. Leave the method out"
        )
    covariance, bread = population["covariance"].values, population["bread"].values
    if not (np.isfinite(each).all() and np.isfinite(covariance).all()):
        raise DataError(
            "downstream.withdrawal: the influence of the systems on this answer is unknown: the "
            f"noise has too many parameters for the {population.attrs['estimator']}; choose "
            "'estimator: likelihood', or a noise of another kind than 'full'"
        )
    moves = (np.diag(covariance) > 0) & (np.diag(bread) > 0)
    curvature = restricted_inverse(bread, moves)
    share = np.einsum("ni,ij,nj->n", each, curvature, each)
    error = np.sqrt(np.where(moves, np.diag(covariance), 0.0))
    return SystemInfluence(each, error, restricted_inverse(covariance, moves), share)


Natural = Callable[[np.ndarray], np.ndarray]
"""Maps parameters (n_p,) to their natural values."""


def influence_table(
    natural: Natural,
    influence: SystemInfluence,
    p: np.ndarray,
    names: Sequence[str],
    systems: Sequence[str],
    tolerance: float,
) -> pd.DataFrame:
    """Return one row for each system, the most influential first.

    The columns are the size of the shift without the system, in standard errors of the answer; the
    steps after which a short fit has forgotten it, see :meth:`SystemInfluence.steps`; and, for each
    parameter, its shift in standard errors, and its value without the system. The answer is p
    (n_p,), unconstrained, and ``names`` are the names of the parameters.
    """
    in_errors = influence.in_errors(influence.shifts)
    values = np.array([natural(p + shift) for shift in influence.shifts])
    columns: dict[str, object] = {
        "system": list(systems),
        "size [standard errors]": influence.sizes,
        "share of the information": influence.share,
        "steps to forget": influence.steps_of_each(tolerance),
    }
    for i, name in enumerate(names):
        columns[f"{name}: shift [standard errors]"] = in_errors[:, i]
        columns[f"{name} without it"] = values[:, i]
    order = np.argsort(-influence.sizes, kind="stable")
    return pd.DataFrame(columns).iloc[order]


def answers_table(
    natural: Natural,
    answers: Mapping[str, np.ndarray],
    influence: SystemInfluence,
    names: Sequence[str],
) -> pd.DataFrame:
    """Return one row for each parameter, with its value in each answer and in standard errors.

    The answers are unconstrained; the answer with all systems comes first.
    """
    columns: dict[str, object] = {"parameter": list(names)}
    whole = next(iter(answers.values()))
    for told, p in answers.items():
        columns[told] = natural(p)
        if p is not whole:
            columns[f"{told}: shift [standard errors]"] = influence.in_errors(p - whole)
    return pd.DataFrame(columns)
