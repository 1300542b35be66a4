"""Conversion of estimates to Datasets and back, and their errors against a truth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from popinv.forward.datasets import law_and_noise_coordinates, parameter_coordinate
from popinv.late import torch
from popinv.store.variables import variable

if TYPE_CHECKING:
    from popinv.inference.density.problem import Problem
    from popinv.inference.estimators.estimate import Estimate
from popinv.inference.density.problem import Problem
from popinv.inference.integrate.moments import matched_normals
from popinv.seeds import generator

_PAIRS = 1000


def mean_noise_covariance(problem: Problem, p: torch.Tensor) -> torch.Tensor:
    """Return the covariance of noise of scale 1, shape (d_y, d_y).

    If the noise varies, this is the mean over 2000 draws of the law, in which the systems take
    turns with their known quantities.

    Parameters
    ----------
    p : Tensor of shape (n_p,)
    """
    alpha, gamma = p[: problem.d_alpha], p[problem.d_alpha :]
    if not problem.noise.varies:
        return problem.noise.covariance(gamma)
    width = problem.law.d_omega
    omega = matched_normals(generator(problem.seed, "mean_noise"), max(_PAIRS, 2 * width), width)
    with torch.no_grad():
        signal = problem.signal(alpha, omega)
        covariates = problem.known_in_turns(len(signal)).covariates
        signal = problem.noise.shifted(gamma, signal, covariates)
        return problem.noise.mean_covariance(gamma, signal, covariates)


def mean_noise_factor(problem: Problem, p: torch.Tensor) -> torch.Tensor:
    """Return the Cholesky factor of the noise's covariance, or of its mean over the law."""
    return torch.linalg.cholesky(mean_noise_covariance(problem, p))


# A true value below this counts as zero, and its error is not divided by it.
NEAR_ZERO = 0.1


def law_errors(natural: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return each parameter's error relative to the truth, or its absolute error if near zero."""
    scale = np.where(np.abs(truth) > NEAR_ZERO, np.abs(truth), 1.0)
    return np.abs(natural - truth) / scale


def root_mean_square(errors: np.ndarray) -> float:
    """Return the root of the mean of the squares."""
    return float(np.sqrt(np.mean(errors**2)))


def relative_frobenius_error(covariance: np.ndarray, truth: np.ndarray) -> float:
    """Return ``|Gamma - Gamma_true|_F / |Gamma_true|_F``."""
    return float(np.linalg.norm(covariance - truth) / np.linalg.norm(truth))


def ratio(error: float, oracle_error: float) -> float:
    """Return error / oracle_error; infinite only if the oracle is exact and the error is not."""
    if oracle_error > 0:
        return error / oracle_error
    return 1.0 if error == 0 else float("inf")


_KINDS = {"model": "by the model", "robust": "by the scores of the systems"}
_MATRIX = ("estimated", "estimated_other")


def noise_covariance(problem: Problem, alpha: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """Return Gamma(gamma) of one replicate, or its mean over the law if the noise varies.

    Of a random simulator, this is the measurement noise without the intrinsic variation.
    """
    if problem.noise.intrinsic:
        return problem.noise.of_one.covariance(torch.from_numpy(gamma)).numpy()
    p, problem = np.concatenate([alpha, gamma]).astype(float), problem.at_all_places
    size = problem.noise.of_one.d_y
    return mean_noise_covariance(problem, torch.from_numpy(p)).numpy()[:size, :size]


def intrinsic_covariance(problem: Problem, p: np.ndarray) -> np.ndarray | None:
    """Return E C(z) over the law, (d_y, d_y) of one replicate, or None without random simulator."""
    if not problem.noise.intrinsic:
        return None
    total = mean_noise_covariance(problem, torch.from_numpy(np.array(p, dtype=float))).numpy()
    own = noise_covariance(problem, *problem.split(np.array(p, dtype=float)))
    return np.asarray(total[: len(own), : len(own)] - own)


def parameter_names(problem: Problem, law: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the names of all parameters; names that law and noise share get a prefix.

    The law's entries have the names of alpha, or other given names.
    """
    law, noise = problem.law.names if law is None else law, problem.noise.names
    both = set(law) & set(noise)
    return tuple(
        f"{kind} {name}" if name in both else name
        for kind, names in (("law", law), ("noise", noise))
        for name in names
    )


def estimated_coordinate(problem: Problem) -> dict[str, xr.Variable]:
    """Return the coordinate ``estimated`` of the entries of p."""
    return parameter_coordinate(
        parameter_names(problem), "estimated", "law or noise, unconstrained"
    )


def answer_dataset(
    problem: Problem, alpha: np.ndarray, gamma: np.ndarray, attrs: dict[str, Any] | None = None
) -> xr.Dataset:
    """Return alpha, gamma, their natural values, and Gamma."""
    alpha_dim, gamma_dim = "law_parameter", "noise_parameter"
    return xr.Dataset(
        {
            "alpha": variable(alpha_dim, alpha, "law, unconstrained"),
            "gamma": variable(gamma_dim, gamma, "noise, unconstrained"),
            "law": variable(alpha_dim, problem.law.to_natural(alpha), "parameters of the law"),
            "noise": variable(
                gamma_dim, problem.noise.to_natural(gamma), "parameters of the noise"
            ),
            "noise_covariance": variable(
                ("observation", "observation_other"),
                noise_covariance(problem, alpha, gamma),
                "covariance of the noise",
            ),
        },
        coords=law_and_noise_coordinates(problem.law.names, problem.noise.names),
        attrs=attrs or {},
    )


def estimate_dataset(
    problem: Problem,
    estimate: Estimate,
    attrs: Mapping[str, Any] | None = None,
    losses: Mapping[str, np.ndarray] | None = None,
) -> xr.Dataset:
    """Return an estimate, its covariances and its path.

    Parameters
    ----------
    attrs : mapping, optional
        Further attributes.
    losses : mapping of str to ndarray, optional
        ``loss`` and ``fixed_loss`` along the path of a descent.
    """
    d_alpha = problem.d_alpha
    law_path = problem.law.to_natural(estimate.path[:, :d_alpha])
    noise_path = problem.noise.to_natural(estimate.path[:, d_alpha:])
    dataset = answer_dataset(problem, *problem.split(estimate.p)).assign_coords(
        estimated_coordinate(problem)
    )
    matrices = {
        "covariance": (estimate.total_covariance, "covariance of the estimate, unconstrained"),
        "sampling_covariance": (estimate.covariance, "the part due to the sample"),
        "bread": (estimate.bread, "inverse of the curvature, by which scores become steps"),
    }
    for kind in ("model", "robust"):
        if (matrix := getattr(estimate, f"{kind}_covariance")) is not None:
            matrices[f"{kind}_covariance"] = (matrix, f"sampling covariance, {_KINDS[kind]}")
    if estimate.correction is not None and estimate.correction_covariance is not None:
        dataset["correction"] = variable(
            "estimated", estimate.correction, "correction for the surrogate's error"
        )
        matrices["correction_covariance"] = (
            estimate.correction_covariance,
            "covariance of the correction",
        )
    for name, (values, long_name) in matrices.items():
        dataset[name] = variable(_MATRIX, values, long_name)
    if estimate.bound is not None:
        dataset["bound"] = variable(
            "estimated", estimate.bound, "standard error that the likelihood allows, unconstrained"
        )
    if estimate.ends:
        dataset["ends"] = _ends(estimate)
    if estimate.small_sample is not None:
        dataset["small_sample"] = variable(
            ("small_sample_of", "estimated"),
            estimate.small_sample,
            "degrees of freedom, and the factor by which the standard error is too small",
        )
    dataset["influence"] = variable(
        ("fitted_system", "estimated"),
        estimate.influence,
        "by how much each system moves the estimate, unconstrained",
    )
    for name, values in estimate.arrays.items():
        dims = ("fitted_system", f"{name}_entry")[: values.ndim]
        dataset[name] = variable(dims, values, name.replace("_", " "))
    dataset["law_path"] = variable(("iteration", "law_parameter"), law_path, "law along the way")
    dataset["noise_path"] = variable(
        ("iteration", "noise_parameter"), noise_path, "noise along the way"
    )
    for name, values in (losses or {}).items():
        dataset[name] = variable("iteration", values, _LOSSES[name])
    return dataset.assign_attrs(
        arrived=int(estimate.arrived),
        passes=int(estimate.passes),
        reason=estimate.reason,
        doubt=estimate.doubt,
        **estimate.diagnostics,
        **(attrs or {}),
    )


def _ends(estimate: Estimate) -> xr.Variable:
    """Return the ends of the intervals that have their own; NaN if the covariance gives them."""
    values = np.full((len(estimate.p), 2), np.nan)
    boundary = {}
    for i, ends in estimate.ends.items():
        values[i] = ends.lower, ends.upper
        if ends.boundary:
            boundary[str(i)] = ends.boundary
    return variable(
        ("estimated", "end"),
        values,
        "ends of the 95 % interval, unconstrained, by the profile of the likelihood",
        boundary=json.dumps(boundary),
    )


_LOSSES = {
    "loss": "weighted loss",
    "fixed_loss": "loss in the fixed metric of the data's variances, NaN where not evaluated",
}


def parameters_of(dataset: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return (alpha, gamma), unconstrained."""
    return dataset["alpha"].values, dataset["gamma"].values


def estimate_of(dataset: xr.Dataset) -> np.ndarray:
    """Return p = (alpha, gamma) in one array (n_p,)."""
    return np.concatenate(parameters_of(dataset))


def draws_of_answer(answer: xr.Dataset, fewest: int) -> int:
    """Return the number of draws for each system's integral at an answer, at least ``fewest``."""
    if answer.attrs["estimator"] != "likelihood":
        return fewest
    return max(int(answer.attrs["draws"]), fewest)


def correction_of(answer: xr.Dataset) -> np.ndarray | float:
    """Return the correction for the surrogate's error in an answer, (n_p,), or 0 for none."""
    return answer["correction"].values if "correction" in answer else 0.0


def no_estimate(problem: Problem, reason: str) -> xr.Dataset:
    """Return the Dataset of an estimator that has no estimate, with the reason in words."""
    return xr.Dataset(
        coords={
            **law_and_noise_coordinates(problem.law.names, problem.noise.names),
            **estimated_coordinate(problem),
        },
        attrs={"passes": 0, "arrived": 0, "reason": reason, "through": "nothing"},
    )
