"""Observations of systems with replicates, each replicate for itself, as figures show them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.forward.datasets import replicates_of


def of_one_replicate(observations: xr.Dataset) -> xr.Dataset:
    """Return the first replicate of each system; a Dataset without replicates as it is."""
    count = replicates_of(observations)
    if count == 1:
        return observations
    width = observations.sizes["observation"] // count
    return observations.isel(observation=slice(width)).drop_vars("replicate")


def each_replicate(observations: xr.Dataset) -> xr.Dataset:
    """Return a Dataset whose systems are the single replicates, without those that lack.

    Parameters
    ----------
    observations : Dataset
        ``y`` (system, observation), with R replicates side by side.

    Returns
    -------
    Dataset
        ``y`` (system, observation) and the coordinates of one replicate's observations.
    """
    count = replicates_of(observations)
    if count == 1:
        return observations
    one = of_one_replicate(observations)[["y"]]
    values = rows_of_replicates(observations["y"].values, count)
    values = values[np.isfinite(values).any(axis=1)]
    rows = one.drop_vars([name for name in one.coords if "system" in one[name].dims])
    rows = rows.isel(system=np.zeros(len(values), dtype=int))
    return rows.assign(y=rows["y"].copy(data=values))


def rows_of_replicates(y: np.ndarray, count: int) -> np.ndarray:
    """Return observations (n, R d_y) of R replicates as rows of their own, (n R, d_y)."""
    return y if count == 1 else y.reshape(len(y) * count, -1)
