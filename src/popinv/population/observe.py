"""Observations as a Dataset."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.artefacts import observation_coordinates, variable
from popinv.forward.base import Observations

__all__ = ["observations_dataset"]


def observations_dataset(
    y: np.ndarray,
    what: Observations,
    heldout: int,
    noise_scale: np.ndarray | None = None,
    system_ids: np.ndarray | None = None,
) -> xr.Dataset:
    """Return the observations to learn from, and the last rows as those held out.

    Parameters
    ----------
    y : ndarray of shape (n, d_y)
        Observations, NaN where nothing was seen.
    what : Observations
        What the columns are.
    heldout : int
        Number of systems held out.
    noise_scale : ndarray of shape (n,), optional
        Known factor on the standard deviation of each system's noise.
    system_ids : ndarray of str, shape (n,), optional
        The user's names of the systems.

    Returns
    -------
    Dataset
        ``y`` (system, observation) and ``y_heldout`` (heldout_system, observation); where they
        are given, ``noise_scale`` and ``noise_scale_heldout``, and the coordinates ``system_id``
        and ``system_id_heldout``.
    """
    kept = len(y) - heldout
    long_name = f"observed {what.long_name or what.name}"
    variables, coordinates = {}, observation_coordinates(what)
    for dim, ending, rows, note in (
        ("system", "", slice(None, kept), ""),
        ("heldout_system", "_heldout", slice(kept, None), ", kept for the assessment"),
    ):
        variables[f"y{ending}"] = variable(
            (dim, "observation"), y[rows], long_name + note, what.units
        )
        if noise_scale is not None:
            variables[f"noise_scale{ending}"] = variable(
                dim, noise_scale[rows], f"known scale of the system's noise{note}"
            )
        if system_ids is not None:
            coordinates[f"system_id{ending}"] = variable(
                dim, system_ids[rows], f"name of the system{note}"
            )
    return xr.Dataset(variables, coords=coordinates)
