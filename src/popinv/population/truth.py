"""The truth of a synthetic population as a Dataset."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from popinv.forward.datasets import law_and_noise_coordinates
from popinv.population.laws.base import Law
from popinv.population.noise.base import NoiseModel
from popinv.store.variables import variable

__all__ = ["truth_dataset"]


def truth_dataset(
    law: Law, alpha: np.ndarray, noise: NoiseModel, gamma: np.ndarray, solves: xr.Dataset
) -> xr.Dataset:
    """Return the true parameters, the noise covariance, and every system's z and clean y."""
    covariance = noise.covariance(torch.from_numpy(gamma)).numpy()
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
