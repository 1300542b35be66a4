"""The truth of a synthetic population as a Dataset."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from popinv.forward.datasets import law_and_noise_coordinates
from popinv.population.laws.base import Law
from popinv.population.noise.base import NoiseModel
from popinv.store.variables import variable


def truth_dataset(
    law: Law,
    alpha: np.ndarray,
    noise: NoiseModel,
    gamma: np.ndarray,
    solves: xr.Dataset,
    covariates: np.ndarray | None = None,
) -> xr.Dataset:
    """Return the true parameters, the noise covariance, and every system's z and clean y.

    The covariance of noise that varies is its mean over the systems.

    Parameters
    ----------
    law, noise : Law, NoiseModel
    alpha, gamma : ndarray of shape (d_alpha,), (n_gamma,)
    solves : Dataset
        Of the n systems that could be solved.
    covariates : ndarray of shape (n, k), optional
    """
    x = None if covariates is None else torch.from_numpy(covariates)
    signal = torch.from_numpy(solves["y"].values)
    covariance = noise.mean_covariance(torch.from_numpy(gamma), signal, x).numpy()
    return xr.Dataset(
        {
            "alpha": variable("law_parameter", alpha, "true law, unconstrained"),
            "gamma": variable("noise_parameter", gamma, "true noise, unconstrained"),
            "law": variable("law_parameter", law.to_natural(alpha), "true law"),
            "noise": variable("noise_parameter", noise.to_natural(gamma), "true noise"),
            "noise_covariance": variable(
                ("observation", "observation_other"), covariance, "true covariance of the noise"
            ),
            "z": solves["z"].variable,
            "y_clean": solves["y"].variable,
        },
        coords={
            **law_and_noise_coordinates(law.names, noise.names),
            "parameter": solves["parameter"].variable,
        },
    )
