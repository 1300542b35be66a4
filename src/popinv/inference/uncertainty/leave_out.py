r"""The answer without some of the systems that it was learned from.

The answer uses all systems. A test needs systems that the fitted model has not seen, and compares
them with the answer without their fold k,

.. math:: p_{-k} = \arg\max_p \sum_{n \notin k} \ell_n(p) .

The likelihood starts at the first-order answer of :mod:`popinv.inference.checks.folds`. Its steps
take the observed curvature of all N systems, times (N - N_k) / N, and need few evaluations. The
other estimators start at p: the pseudo-likelihood fits again, and the distance takes
:mod:`popinv.inference.estimators.short_descents`. The correction for the surrogate's error, or the
step from the surrogate to the solver, is assumed to be the same without the fold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import xarray as xr

from popinv.errors import DivergenceError
from popinv.forward.datasets import law_and_noise_coordinates
from popinv.inference.answer.result import correction_of, estimate_of, estimated_coordinate
from popinv.inference.checks.folds import first_order
from popinv.inference.density.problem import Problem
from popinv.inference.density.solver import SolverSimulator
from popinv.inference.estimators.estimate import restricted_inverse
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.estimators.maximum import maximum_with_information
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.estimators.short_descents import ShortDescents
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.uncertainty.intervals import boundaries
from popinv.store.variables import variable
from popinv.workers import parallel

_MOST_STEPS = 15


@dataclass(frozen=True)
class Refits:
    """The answers without each fold.

    Attributes
    ----------
    p : ndarray of shape (K, n_p)
    arrived : ndarray of bool, shape (K,)
        Whether the refit has converged. Otherwise p is the first-order answer.
    """

    p: np.ndarray
    arrived: np.ndarray


def refits(
    problem: Problem,
    answer: xr.Dataset,
    folds: Sequence[np.ndarray],
    descent: DescentSettings,
    draws: int,
    solver: SolverSimulator | None = None,
) -> Refits:
    """Return the answer of the same estimator without each fold.

    Parameters
    ----------
    problem : Problem
        With the surrogate.
    answer : Dataset
        The study's answer; see :func:`popinv.inference.answer.dataset.population_dataset`.
    folds : sequence of ndarray of int
        The systems of each fold.
    descent : DescentSettings
        Settings of the distance.
    draws : int
        Draws for each system's integral in the likelihood.
    solver : SolverSimulator, optional
        The forward model, if the answer is a likelihood's answer through it.
    """
    problem = problem.held(boundaries(answer))
    if answer.attrs["estimator"] == "likelihood":
        return _of_likelihood(problem, answer, folds, draws, solver)
    p, every = estimate_of(answer), np.arange(len(problem.data))
    fit: Callable[[Problem, int], np.ndarray]
    if answer.attrs["estimator"] == "distance":
        fit = ShortDescents(problem, descent, p)
    else:
        moved = fit_pseudo_likelihood(problem, [p]).p - p

        def fit(others: Problem, index: int) -> np.ndarray:
            return fit_pseudo_likelihood(others, [p]).p - moved

    def without(k: int) -> np.ndarray:
        return fit(problem.of_systems(np.setdiff1d(every, folds[k])), k)

    found = list(parallel(without, range(len(folds)), "folds", unit="fit", long=True))
    return Refits(np.array(found), np.ones(len(folds), dtype=bool))


def _of_likelihood(
    problem: Problem,
    answer: xr.Dataset,
    folds: Sequence[np.ndarray],
    draws: int,
    solver: SolverSimulator | None,
) -> Refits:
    correction = correction_of(answer)
    maximum = estimate_of(answer) - correction
    influence = answer["influence"].values
    ends = first_order(maximum, influence, folds)
    if "restriction" in answer.attrs:
        # A refit maximises the likelihood, and the answer the restricted one.
        return Refits(ends + correction, np.zeros(len(folds), dtype=bool))
    information = restricted_inverse(answer["bread"].values, problem.free)
    settings, every = MarginalSettings(draws=draws), np.arange(len(problem.data))
    simulated = problem if solver is None else problem.through(solver)

    def without(k: int) -> tuple[np.ndarray, bool]:
        rest = np.setdiff1d(every, folds[k])
        curvature = len(rest) / len(every) * information
        few = simulated.of_systems(rest)
        try:
            end, arrived = maximum_with_information(
                few, ends[k], settings, curvature, rest, _MOST_STEPS
            )
        except (DivergenceError, np.linalg.LinAlgError) as error:
            print(f"fold {k + 1} of {len(folds)} is left out to first order only: {error}")
            return ends[k], False
        return (end if arrived else ends[k]), arrived

    with nullcontext() if solver is None else solver.session():
        found = list(parallel(without, range(len(folds)), "folds", unit="fit", long=True))
    last, arrived = zip(*found, strict=True)
    return Refits(np.array(last) + correction, np.array(arrived))


def refit_dataset(problem: Problem, found: Refits, answer: xr.Dataset) -> xr.Dataset:
    """Return the answers without each fold, as a Dataset."""
    alpha, gamma = found.p[:, : problem.d_alpha], found.p[:, problem.d_alpha :]
    attrs: Mapping[str, str] = {key: str(answer.attrs[key]) for key in ("estimator", "through")}
    return xr.Dataset(
        {
            "p": variable(("fold", "estimated"), found.p, "answer without the fold, unconstrained"),
            "law": variable(
                ("fold", "law_parameter"),
                problem.law.to_natural(alpha),
                "law without the systems of the fold",
            ),
            "noise": variable(
                ("fold", "noise_parameter"),
                problem.noise.to_natural(gamma),
                "noise without the systems of the fold",
            ),
            "arrived": variable(
                "fold", found.arrived.astype(int), "whether it was refitted, not to first order"
            ),
        },
        coords={
            **law_and_noise_coordinates(problem.law.names, problem.noise.names),
            **estimated_coordinate(problem),
        },
        attrs=dict(attrs),
    )
