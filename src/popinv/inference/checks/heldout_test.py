r"""Test of the fitted model on systems that it has not seen, where score tests do not judge it.

The held-out observations Y are compared with a large sample of the model by the energy distance,
over random projections, in units of the standard deviations of the fitted data. The null
distribution is the law of the same statistic for samples of the model in place of Y. Each sample
has parameters drawn about the estimate, so the estimate's own error counts as it does in Y. If the
solver's observations differ from the surrogate's, the samples differ in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from popinv.inference.answer.result import estimate_of
from popinv.inference.checks.fitted_samples import FittedModel
from popinv.inference.checks.folds import folds_of
from popinv.inference.density.conditions import Conditions, deviations, heldout_observations
from popinv.inference.density.problem import Problem
from popinv.inference.uncertainty.surrogate_bias import solver_residuals
from popinv.seeds import generator
from popinv.threads import fixed_threads
from popinv.transport.energy import EnergyReference, slicing_constant
from popinv.transport.sliced import directions
from popinv.workers import parallel

_REFERENCE_SAMPLES = 4000
_DIRECTIONS = 200


@dataclass(frozen=True)
class HeldOutTest:
    """The statistic, its null sample (resamples,), and its p-value."""

    statistic: float
    null: np.ndarray

    @property
    def null_95(self) -> float:
        """The 95 % point of the null."""
        return float(np.quantile(self.null, 0.95))

    @property
    def p_value(self) -> float:
        """Share of null values that are at least as large, with the statistic among them."""
        return float((1 + np.sum(self.null >= self.statistic)) / (1 + len(self.null)))


def heldout_test(
    model: FittedModel,
    heldout: np.ndarray,
    resamples: int,
    conditions: Conditions | None = None,
) -> HeldOutTest:
    """Compare held-out observations with the fitted model.

    Parameters
    ----------
    heldout : ndarray of shape (n, d_y)
        Missing entries filled.
    resamples : int
        Size of the null sample.
    conditions : Conditions, optional
        The scales and gaps of the n held-out systems. Every null sample has the same conditions.
    """
    problem, (count, d_y) = model.problem, heldout.shape
    frame = directions(generator(problem.seed, "heldout/directions"), _DIRECTIONS, d_y)
    frame = frame / deviations(problem.data)[:, None]
    with fixed_threads():
        sample = model.sample(_REFERENCE_SAMPLES, "heldout/reference", conditions=conditions)
        reference = EnergyReference.of(sample, frame)

        def distance(b: int) -> float:
            return reference.distance(model.null_sample(count, "heldout/null", b, conditions))

        null = list(parallel(distance, range(resamples), "null samples", unit="sample"))
        statistic = reference.distance(heldout)
    constant = slicing_constant(d_y)
    return HeldOutTest(statistic / constant, np.array(null) / constant)


def tested_systems(
    problem: Problem, loaded: Mapping[str, xr.Dataset]
) -> tuple[FittedModel, np.ndarray, Conditions]:
    """Return the fitted model, the observations it is compared with, and their conditions.

    A synthetic study has held-out systems, which the fit has not seen. Otherwise the fit has seen
    the systems: the draws about the estimate are then the estimate itself, since the estimate
    already contains the error that other draws would add.

    Parameters
    ----------
    problem : Problem
        The fitted problem.
    loaded : mapping of str to Dataset
        ``observations``, ``population`` and ``check``.

    Returns
    -------
    FittedModel
    ndarray of shape (n, d_y)
        Missing entries filled.
    Conditions
    """
    observations, population = loaded["observations"], loaded["population"]
    # Systems that were not fitted have other places.
    problem = problem.at_all_places
    heldout, conditions = heldout_observations(observations, problem.conditions)
    p = estimate_of(population)
    draws = np.concatenate([population[f"{n}_draws"].values for n in ("alpha", "gamma")], 1)
    if folds_of(observations):
        draws = p[None]
    return (
        FittedModel(problem, p, draws, solver_residuals(problem, loaded["check"])),
        heldout,
        conditions,
    )
