r"""Calibration of estimates and intervals on new data sets of the study's own size.

Each replication draws its truth, draws a data set from it, and estimates exactly as the study does,
from the study's start. The estimate p, its covariance and the truth p* give three results for every
parameter:

- *coverage*: the share of replications whose 95 % interval holds the truth, a binomial proportion
  with its Wilson interval;
- *ranks*: the probability integral transform ``Phi((p* - p) / se)``, which is uniform if the
  estimate is normal about the truth with its stated standard error; the Kolmogorov-Smirnov
  statistic tests the departure from uniformity;
- *efficiency*: the root mean square error over the bound, which is the mean of the standard errors
  that the likelihood allows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy.stats import binomtest, kstest, norm

from popinv.forward.datasets import law_and_noise_coordinates, parameter_coordinate
from popinv.inference.answer.result import (
    estimate_dataset,
    estimated_coordinate,
    noise_covariance,
    relative_frobenius_error,
)
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.choice import ESTIMATORS
from popinv.inference.estimators.estimation import NamedEstimate
from popinv.inference.uncertainty.intervals import intervals
from popinv.store.variables import variable

_ENDS = ("lower", "upper")
_PARTS = (("law", "alpha"), ("noise", "noise"))


def replication(
    problem: Problem, answer: NamedEstimate, truth: np.ndarray, covariance: np.ndarray
) -> xr.Dataset:
    """Return the estimate of a replication, its intervals, errors and truth.

    Parameters
    ----------
    problem : Problem
        The problem with the data set.
    truth : ndarray of shape (n_p,)
        Unconstrained; NaN if the truth belongs to another family, which lacks the parameter.
    covariance : ndarray of shape (d_y, d_y)
        The true Gamma.
    """
    estimate = answer.estimate
    dataset = estimate_dataset(problem, estimate)
    alpha, gamma = problem.split(truth)
    true = {"law": problem.law.to_natural(alpha), "noise": problem.noise.to_natural(gamma)}
    variables: dict[str, xr.Variable] = {}
    for part, (low, high) in intervals(problem, dataset).items():
        dim = f"{part}_parameter"
        variables[part] = variable(dim, dataset[part].values, f"{part}, estimated")
        variables[f"{part}_true"] = variable(dim, true[part], f"{part}, true")
        variables[f"{part}_lower"] = variable(dim, low, f"{part}, lower end of the 95 % interval")
        variables[f"{part}_upper"] = variable(dim, high, f"{part}, upper end of the 95 % interval")
    bound = estimate.bound
    if bound is None:
        bound = np.sqrt(np.diag(estimate.covariance))
    for name, values, long_name in (
        ("error", estimate.p - truth, "error, unconstrained"),
        ("standard_error", estimate.standard_errors, "standard error, unconstrained"),
        ("bound", bound, "standard error that the likelihood allows, unconstrained"),
    ):
        variables[name] = variable("estimated", values, long_name)
    own = noise_covariance(problem, *problem.split(estimate.p))
    variables["noise_error"] = variable(
        (), relative_frobenius_error(own, covariance), "relative error of the noise covariance"
    )
    variables["estimator"] = variable(
        (), ESTIMATORS.index(answer.estimator), f"number of the estimator: {', '.join(ESTIMATORS)}"
    )
    coordinates = law_and_noise_coordinates(problem.law.names, problem.noise.names)
    return xr.Dataset(variables, coords={**coordinates, **estimated_coordinate(problem)})


def calibration(blocks: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join replications, and compute coverage, ranks and efficiency.

    Parameters
    ----------
    blocks : sequence of Dataset
        From :func:`replication`, joined along ``replication``.

    Returns
    -------
    Dataset
        The joined blocks; for law and noise ``*_coverage`` with ``*_coverage_lower`` and
        ``*_coverage_upper``; ``rank`` along ``replication``; ``efficiency`` and ``rank_p_value``
        along ``estimated``.
    """
    joined = xr.concat(blocks, "replication", combine_attrs="override")
    for name, _ in _PARTS:
        dim = f"{name}_parameter"
        true = joined[f"{name}_true"].values
        if np.isnan(true).all():
            continue
        low, high = (joined[f"{name}_{end}"].values for end in _ENDS)
        held = ((low <= true) & (true <= high)).sum(axis=0)
        shares = [binomtest(int(k), len(low)).proportion_ci(method="wilson") for k in held]
        joined[f"{name}_coverage"] = variable(
            dim, held / len(low), f"share of the intervals of the {name} that hold the truth"
        )
        for end, values in zip(_ENDS, zip(*shares, strict=True), strict=True):
            joined[f"{name}_coverage_{end}"] = variable(
                dim, np.array(values), f"{end} end of the share's 95 % interval"
            )
    error, standard_error = joined["error"].values, joined["standard_error"].values
    with np.errstate(invalid="ignore", divide="ignore"):
        rank = norm.cdf(-error / standard_error)
    joined["rank"] = variable(
        ("replication", "estimated"), rank, "probability integral transform of the truth"
    )
    p_values = [kstest(r, "uniform").pvalue if np.isfinite(r).all() else np.nan for r in rank.T]
    joined["rank_p_value"] = variable("estimated", p_values, "p-value of uniform ranks")
    bound = np.sqrt((joined["bound"].values ** 2).mean(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.sqrt((error**2).mean(axis=0)) / bound
    joined["efficiency"] = variable(
        "estimated", ratio, "root mean square error over the bound of the likelihood"
    )
    return joined.assign_coords(
        parameter_coordinate(list(ESTIMATORS), "estimator_name", "estimator")
    )


def calibration_metrics(replications: xr.Dataset) -> dict[str, float | int]:
    """Return coverage, efficiency and ranks of each parameter, and their means."""
    count = replications.sizes["replication"]
    metrics: dict[str, float | int] = {"calibration_replications": count}
    shares = []
    for name, label in _PARTS:
        if f"{name}_coverage" not in replications:
            continue
        for i, parameter in enumerate(replications[f"{name}_parameter"].values):
            for ending in ("", "_lower", "_upper"):
                value = float(replications[f"{name}_coverage{ending}"].values[i])
                metrics[f"coverage_{label}_{parameter}{ending}"] = value
        shares += replications[f"{name}_coverage"].values.tolist()
    metrics["coverage_mean"] = float(np.mean(shares))
    for name in ("efficiency", "rank_p_value"):
        for parameter, value in zip(
            replications["estimated"].values, replications[name].values, strict=True
        ):
            if np.isfinite(value):
                metrics[f"{name}_{str(parameter).replace(' ', '_')}"] = float(value)
    metrics["noise_error_rms"] = float(np.sqrt((replications["noise_error"].values ** 2).mean()))
    for number, name in enumerate(ESTIMATORS):
        share = float(np.mean(replications["estimator"].values == number))
        metrics[f"answered_by_{name}"] = share
    return metrics
