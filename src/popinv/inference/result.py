"""The outcome of a descent as a Dataset, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from popinv.artefacts import law_and_noise_coordinates, variable

if TYPE_CHECKING:
    from popinv.inference.descent import Descent
    from popinv.inference.problem import Problem

__all__ = [
    "answer_dataset",
    "estimate_dataset",
    "noise_covariance",
    "parameters_of",
    "resamples_dataset",
]


def noise_covariance(problem: Problem, gamma: np.ndarray) -> np.ndarray:
    """Return Gamma(gamma), shape (d_y, d_y)."""
    return problem.noise.covariance(torch.from_numpy(np.asarray(gamma, dtype=float))).numpy()


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
                noise_covariance(problem, gamma),
                "covariance of the noise",
            ),
        },
        coords=law_and_noise_coordinates(problem.law.names, problem.noise.names),
        attrs=attrs or {},
    )


def estimate_dataset(
    problem: Problem, descent: Descent, attrs: dict[str, Any] | None = None
) -> xr.Dataset:
    """Return the answer of a descent and the record of how it got there."""
    d_alpha, path = problem.d_alpha, descent.state.path
    law_path = problem.law.to_natural(path[:, :d_alpha])
    noise_path = problem.noise.to_natural(path[:, d_alpha:])
    along = "along the descent"
    return answer_dataset(problem, descent.alpha, descent.gamma, attrs).assign(
        law_path=variable(("iteration", "law_parameter"), law_path, f"law {along}"),
        noise_path=variable(("iteration", "noise_parameter"), noise_path, f"noise {along}"),
        loss=variable("iteration", descent.state.loss, "weighted loss"),
        fixed_loss=variable(
            "iteration",
            descent.state.fixed_loss,
            "loss in the fixed metric of the data's variances, NaN where not evaluated",
        ),
    )


def parameters_of(dataset: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return (alpha, gamma), unconstrained."""
    return dataset["alpha"].values, dataset["gamma"].values


def resamples_dataset(problem: Problem, answers: np.ndarray) -> xr.Dataset:
    """Return the parameters of each resample, unconstrained."""
    d_alpha = problem.d_alpha
    return xr.Dataset(
        {
            "alpha": variable(
                ("resample", "law_parameter"), answers[:, :d_alpha], "law, unconstrained"
            ),
            "gamma": variable(
                ("resample", "noise_parameter"), answers[:, d_alpha:], "noise, unconstrained"
            ),
        },
        coords=law_and_noise_coordinates(problem.law.names, problem.noise.names),
    )
