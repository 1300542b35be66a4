"""Conversion of a trained surrogate to a Dataset and back, as arrays and plain values only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from popinv.store.variables import arrays_dataset, variable
from popinv.surrogate.device import device_of
from popinv.surrogate.networks import Surrogate

__all__ = ["surrogate_dataset", "surrogate_of"]

_PREFIX = "surrogate."


def surrogate_dataset(
    surrogate: Surrogate, history: Mapping[str, np.ndarray], attrs: Mapping[str, Any]
) -> xr.Dataset:
    """Return weights, standardisation and training history."""
    arrays = {_PREFIX + name: values for name, values in surrogate.to_arrays().items()}
    hyperparameters = json.dumps(dict(surrogate.hyperparameters), sort_keys=True)
    dataset = arrays_dataset(
        arrays, "of the surrogate", {**attrs, "hyperparameters": hyperparameters}
    )
    for name, values in history.items():
        dataset[name] = variable(f"{name}_epoch", values, name.replace("_", " "))
    return dataset


def surrogate_of(dataset: xr.Dataset, device: str = "cpu") -> Surrogate:
    """Return the surrogate of a :func:`surrogate_dataset`, with its network on a device.

    Parameters
    ----------
    dataset : xarray.Dataset
    device : {"cpu", "auto", "cuda"}
        As in :func:`popinv.surrogate.device.device_of`.
    """
    arrays = {
        str(name)[len(_PREFIX) :]: dataset[name].values
        for name in dataset.data_vars
        if str(name).startswith(_PREFIX)
    }
    surrogate = Surrogate.from_arrays(arrays, json.loads(dataset.attrs["hyperparameters"]))
    surrogate.network.to(device_of(device))
    return surrogate
