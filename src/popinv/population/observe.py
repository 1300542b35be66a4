"""Observations and truth as Datasets."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from popinv.artefacts import observation_coordinates, parameter_coordinate, variable
from popinv.forward.base import Observations
from popinv.population.laws import Law
from popinv.population.noise import NoiseModel
from popinv.seeds import generator

__all__ = ["observations_dataset", "shuffled", "truth_dataset"]


def shuffled(y: np.ndarray, seed: int) -> np.ndarray:
    """Return the rows in random order, so that those set aside are a random share."""
    return y[generator(seed, "heldout/rows").permutation(len(y))]


def observations_dataset(y: np.ndarray, what: Observations, heldout: int) -> xr.Dataset:
    """Return ``y`` (system, observation) and the last rows as ``y_heldout``."""
    kept = len(y) - heldout
    long_name = f"observed {what.long_name or what.name}"
    return xr.Dataset(
        {
            "y": variable(("system", "observation"), y[:kept], long_name, what.units),
            "y_heldout": variable(
                ("heldout_system", "observation"),
                y[kept:],
                f"{long_name}, kept for the assessment",
                what.units,
            ),
        },
        coords=observation_coordinates(what),
    )


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
            **parameter_coordinate(law.names, "law_parameter", "parameter of the law"),
            **parameter_coordinate(noise.names, "noise_parameter", "parameter of the noise"),
            "parameter": solves["parameter"].variable,
        },
    )
