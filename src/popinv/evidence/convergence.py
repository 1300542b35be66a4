r"""Convergence of the errors of law and noise with the number N of systems.

All else being equal, the errors are sampling errors and fall as N^{-1/2}. Several data sets
of each N are drawn from the truth and fitted. The exponent is the least-squares slope of
:math:`\log` error against :math:`\log N`, where the error is the root mean square over the data
sets. (A single error can be close to zero by chance, and its logarithm would have a large weight.)
A slope that flattens at large N indicates an error that more data do not remove, such as the
surrogate's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from scipy.stats import linregress

from popinv.errors import DataError, DivergenceError
from popinv.inference.answer.result import (
    law_errors,
    noise_covariance,
    relative_frobenius_error,
    root_mean_square,
)
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimation import NamedEstimate
from popinv.store.variables import variable

_NAMES = ("law_error", "noise_error")


@dataclass(frozen=True)
class Slope:
    """A fitted power law, error = exp(intercept) N**slope, with the slope's standard error."""

    slope: float
    standard_error: float
    intercept: float


def fit_slope(counts: np.ndarray, errors: np.ndarray) -> Slope:
    """Fit log error against log N by least squares, without NaN errors.

    Parameters
    ----------
    counts : ndarray of shape (n,)
        Numbers of systems, of at least two values.
    errors : ndarray of shape (n,)
        Positive, or NaN if no descent succeeded.

    Raises
    ------
    DataError
        If fewer than three errors at two different N are left. Without a residual the slope has no
        standard error.
    """
    counts, errors = np.asarray(counts, dtype=float), np.asarray(errors, dtype=float)
    seen = np.isfinite(errors)
    if seen.sum() < 3 or len(np.unique(counts[seen])) < 2:
        raise DataError(
            f"a slope with its standard error needs errors at three numbers of systems, but there "
            f"are {seen.sum()}, as all other descents diverged. Larger numbers of systems "
            "(evidence.system_counts) are easier to fit."
        )
    fit = linregress(np.log(counts[seen]), np.log(errors[seen]))
    return Slope(float(fit.slope), float(fit.stderr), float(fit.intercept))


def errors_of_repeats(
    problem: Problem,
    estimate: Callable[[Problem], NamedEstimate],
    true_law: np.ndarray,
    true_covariance: np.ndarray,
    repeats: int,
) -> xr.Dataset:
    """Split the systems into data sets, estimate from each, and compare with the truth.

    Parameters
    ----------
    problem : Problem
        The systems of all repeats. Each repeat takes a share.
    estimate : callable
        Maps the problem of a data set to its answer.
    true_law : ndarray of shape (d_alpha,)
        Natural values.
    true_covariance : ndarray of shape (d_y, d_y)

    Returns
    -------
    Dataset
        Along ``repeat``: ``systems``; ``law`` and ``noise``, natural values; ``law_error``, the
        root mean square of the parameters' relative errors; ``noise_error``, the relative
        Frobenius error of Gamma. A diverged estimate is a row of NaN.
    """
    parts = np.array_split(np.arange(len(problem.data)), repeats)
    laws = np.full((repeats, problem.d_alpha), np.nan)
    noises = np.full((repeats, len(problem.noise.names)), np.nan)
    errors = np.full((2, repeats), np.nan)
    for r, rows in enumerate(parts):
        part = replace(problem.of_systems(rows), stage=f"{problem.stage}/{r}")
        try:
            alpha, gamma = problem.split(estimate(part).estimate.p)
        except DivergenceError as error:
            print(f"{len(rows)} systems, repeat {r + 1} of {repeats}: {error}")
            continue
        laws[r] = problem.law.to_natural(alpha)
        noises[r] = problem.noise.to_natural(gamma)
        gamma = noise_covariance(problem, alpha, gamma)
        errors[0, r] = root_mean_square(law_errors(laws[r], true_law))
        errors[1, r] = relative_frobenius_error(gamma, true_covariance)
    return xr.Dataset(
        {
            "systems": variable("repeat", [len(rows) for rows in parts], "number of systems"),
            "law": variable(("repeat", "law_parameter"), laws, "parameters of the law"),
            "noise": variable(("repeat", "noise_parameter"), noises, "parameters of the noise"),
            "law_error": variable(
                "repeat", errors[0], "relative error of the law, root mean square"
            ),
            "noise_error": variable(
                "repeat", errors[1], "relative Frobenius error of the noise covariance"
            ),
        }
    )


def error_metrics(parts: Sequence[xr.Dataset]) -> tuple[xr.Dataset, dict[str, float | int]]:
    """Join the data sets of all N and fit the slopes.

    Parameters
    ----------
    parts : sequence of Dataset
        From :func:`errors_of_repeats`, one for each N.

    Returns
    -------
    errors : Dataset
        Along ``data_set``: ``systems``, ``law``, ``noise``, ``law_error``, ``noise_error``;
        along ``size``, one for each N: ``size_systems``, and ``law_error_rms`` and
        ``noise_error_rms``, root mean squares over the data sets.
    metrics : dict
        For law and noise: the slope, its standard error and the fit's intercept; the number of
        data sets, and the number of diverged descents.

    Raises
    ------
    DataError
        As in :func:`fit_slope`.
    """
    joined = xr.concat([part.rename(repeat="data_set") for part in parts], "data_set")
    metrics: dict[str, float | int] = {
        "error_data_sets": joined.sizes["data_set"],
        "error_descents_diverged": int(np.isnan(joined["law_error"].values).sum()),
    }
    sizes = np.array([part["systems"].values.mean() for part in parts])
    joined["size_systems"] = variable("size", sizes, "number of systems")
    for name in _NAMES:
        rms = np.array([_root_mean_square_seen(part[name].values) for part in parts])
        long_name = f"{joined[name].attrs['long_name']}, root mean square over data sets"
        joined[f"{name}_rms"] = variable("size", rms, long_name)
        fit = fit_slope(sizes, rms)
        metrics[f"{name}_slope"] = fit.slope
        metrics[f"{name}_slope_standard_error"] = fit.standard_error
        metrics[f"{name}_intercept"] = fit.intercept
    return joined, metrics


def _root_mean_square_seen(errors: np.ndarray) -> float:
    """Return the root mean square of the errors that are not NaN, or NaN if all are."""
    seen = errors[np.isfinite(errors)]
    return root_mean_square(seen) if len(seen) else float("nan")
