r"""Comparison of several models of the same observations.

With the maximum ``l`` of the log likelihood, k parameters and N systems,

.. math:: \mathrm{AIC} = 2 k - 2 l, \qquad \mathrm{BIC} = k \log N - 2 l

(Akaike, IEEE Trans. Autom. Control 19, 1974; Schwarz, Ann. Statist. 6, 1978). The systems are the
independent observations, so that BIC counts N systems, not the entries of their observations. Of
groups with crossed levels, N is the number of labels of the level with the fewest.

Scores of single systems (:mod:`popinv.inference.checks.predictive`) are compared in pairs: with the
difference d_n of the best model's score and another's in system n, the mean of d_n has the standard
error ``std(d_n) / sqrt(n)``. Much of the variation between systems is common to all models and
cancels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from popinv.errors import DataError
from popinv.inference.density.problem import Problem

# A difference of more than this many standard errors counts as real.
_CLEAR = 2.0


def counted_parameters(problem: Problem, bread: np.ndarray) -> float:
    r"""Return k, the number of parameters that the observations determine.

    A coefficient with a standard normal prior of its own, such as a coordinate of a discrepancy,
    counts by the share that the observations determine: with the inverse A^{-1} of the information
    and the prior together, ``k = n - sum_i (A^{-1})_{ii}`` over these coefficients (Spiegelhalter
    et al., J. R. Statist. Soc. B 64, 2002). The size of the discrepancy counts too.

    Parameters
    ----------
    bread : ndarray of shape (n_p, n_p)
        A^{-1} of the answer.
    """
    free = problem.free
    held = len(problem.noise.sizes_of_discrepancy)
    own = problem.prior.own.entries & free
    count = int(free.sum()) + held
    if not own.any() or not np.isfinite(bread).all():
        return count
    return count - float(np.minimum(np.diag(bread)[own], 1.0).sum())


def information_criteria(
    log_likelihood: float, parameters: float, systems: int
) -> tuple[float, float]:
    """Return AIC and BIC, the latter for this number of systems."""
    twice = -2 * log_likelihood
    return twice + 2 * parameters, twice + parameters * math.log(systems)


def check_same_observations(observations: Mapping[str, xr.Dataset]) -> None:
    """Check that all studies have the same observations, and test the same systems.

    Raises
    ------
    DataError
        The message names two studies that differ, and the difference.
    """
    (first, one), *others = observations.items()
    for name, other in others:
        if difference := _difference(one, other):
            raise DataError(
                f"the studies '{first}' and '{name}' cannot be compared: {difference}. Scores are "
                "on one scale only for the same observations of the same systems. Give both "
                "studies the same 'observations' and the same 'seed', or leave one out."
            )


def _difference(one: xr.Dataset, other: xr.Dataset) -> str:
    for name, what in (("y", "to learn from"), ("y_heldout", "to test on")):
        a, b = one[name].values, other[name].values
        if a.shape != b.shape:
            shapes = " and ".join(f"{len(each)} systems of {each.shape[1]}" for each in (a, b))
            return f"they have {shapes} observations {what}"
        differ = ~((a == b) | (np.isnan(a) & np.isnan(b)))
        if differ.any():
            row, column = np.argwhere(differ)[0]
            return (
                f"{int(differ.sum())} of the {a.size} observations {what} differ, the first in "
                f"system {row} and observation {column} ({a[row, column]:g} and "
                f"{b[row, column]:g})"
            )
    if one.attrs.get("folds", 0) != other.attrs.get("folds", 0):
        return "they test their systems in other folds"
    return ""


def compare(scores: Mapping[str, xr.Dataset]) -> dict[str, Any]:
    """Return the table of a comparison, as JSON types.

    Parameters
    ----------
    scores : mapping of str to Dataset
        By study: ``log_score`` and ``normal_score`` (heldout_system,), and attributes; see
        :func:`popinv.evidence.stages.score_systems.score_systems`.

    Returns
    -------
    dict
        ``scored_by``, "likelihood" or "normal law", and ``scored_by_reason``; ``systems``,
        ``tested_systems`` and ``tested_folds``; and ``models``, by study and in the order of their
        scores, each with its numbers. Entries without a value are None.
    """
    without = {name: each.attrs["reason"] for name, each in scores.items() if each.attrs["reason"]}
    variable, by, why = "log_score", "likelihood", ""
    if without:
        variable, by = "normal_score", "normal law"
        why = "; ".join(f"{name}: {reason}" for name, reason in without.items())
    values = {name: each[variable].values for name, each in scores.items()}
    order = sorted(values, key=lambda name: -values[name].mean())
    best = values[order[0]]
    models = {name: _row(scores[name], values[name], best, name == order[0]) for name in order}
    for criterion in ("aic", "bic"):
        known = [row[criterion] for row in models.values() if row[criterion] is not None]
        for row in models.values():
            given = row[criterion]
            row[f"{criterion}_difference"] = None if given is None else given - min(known)
    first = next(iter(scores.values()))
    return {
        "scored_by": by,
        "scored_by_reason": why,
        "systems": int(first.attrs["systems"]),
        "tested_systems": len(best),
        "tested_folds": int(first.attrs["folds"]),
        "models": models,
    }


def _row(score: xr.Dataset, values: np.ndarray, best: np.ndarray, is_best: bool) -> dict[str, Any]:
    attrs, behind = score.attrs, best - values
    k, log_likelihood = float(attrs["parameters"]), float(attrs["log_likelihood"])
    aic = bic = None
    if np.isfinite(log_likelihood):
        aic, bic = information_criteria(log_likelihood, k, int(attrs["systems"]))
    n = len(values)
    error = float(behind.std(ddof=1) / math.sqrt(n))
    difference = float(behind.mean())
    verdict = "best" if is_best else "worse" if difference > _CLEAR * error else "close"
    return {
        "law": str(attrs["law"]),
        "noise": str(attrs["noise"]),
        "estimator": str(attrs["estimator"]),
        "parameters": int(k) if k == int(k) else round(k, 1),
        "log_likelihood": _known(log_likelihood),
        "log_likelihood_error": _known(attrs["log_likelihood_error"]),
        "aic": aic,
        "bic": bic,
        "score": float(values.mean()),
        "score_difference": difference,
        "score_difference_error": 0.0 if is_best else error,
        "verdict": verdict,
        "refitted": int(attrs["refitted"]),
    }


def _known(value: float) -> float | None:
    """Return a number, or None for NaN, which JSON does not have."""
    return float(value) if np.isfinite(value) else None
