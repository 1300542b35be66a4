"""Predictive intervals of a surrogate that knows its own error, on solves it has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from popinv.inference.density.problem import Problem
from popinv.inference.uncertainty.surrogate_bias import FreshSolves
from popinv.surrogate.simulator import UncertainSurrogate

# The normal quantile of a 95 % interval.
QUANTILE = 1.959963984540054


@dataclass(frozen=True)
class HeldOutSolves:
    """Solves that the surrogate has not seen, and its predictions.

    Attributes
    ----------
    true, predicted, deviation : ndarray of shape (K, d_y)
        Observations of the solver, and means and predictive standard deviations of the surrogate,
        in the units of the observations.
    """

    true: np.ndarray
    predicted: np.ndarray
    deviation: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        """Boolean mask (K, d_y): which observations lie within their 95 % intervals."""
        return np.abs(self.true - self.predicted) <= QUANTILE * self.deviation

    @property
    def coverage(self) -> float:
        """Share of the observations within their 95 % intervals."""
        return float(self.inside.mean())


def held_out_solves(problem: Problem, check: xr.Dataset) -> HeldOutSolves | None:
    """Return the solves of the last round of a record, or None without predictive intervals.

    Parameters
    ----------
    problem : Problem
        With the surrogate.
    check : Dataset
        The record of solves, whose last round the surrogate has not seen.
    """
    surrogate = problem.surrogate
    fresh = FreshSolves.of_last_round(check)
    if not isinstance(surrogate, UncertainSurrogate) or not len(fresh.z):
        return None
    return HeldOutSolves(fresh.y, surrogate.predict(fresh.z), surrogate.deviation(fresh.z))
