"""Convert the user's own observations into the form that the other stages read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.observation_files.fit import read_fitting
from popinv.observation_files.heldout import heldout_split
from popinv.population.observe import observations_dataset

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection
    from popinv.observation_files.section import FileObservations

__all__ = ["import_observations"]


def import_observations(
    forward: ForwardSection, observations: FileObservations, *, seed: int
) -> xr.Dataset:
    """Read the user's file and hold some systems out.

    Parameters
    ----------
    forward : ForwardSection
        It says what the columns of the file are.
    observations : FileObservations
    seed : int
        The study's seed.

    Raises
    ------
    DataError
        If the file cannot be read, or does not fit the forward model.
    """
    description = forward.observed(seed)
    table = read_fitting(observations, len(description), description.time_count)
    kept, heldout = heldout_split(len(table.values), observations.heldout_fraction, seed)
    rows = np.concatenate([kept, heldout])
    scale, ids = table.noise_scale, table.system_ids
    return observations_dataset(
        table.values[rows],
        description,
        heldout=len(heldout),
        noise_scale=None if scale is None else scale[rows],
        system_ids=None if ids is None else ids[rows],
    )
