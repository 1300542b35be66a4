"""Conversion of a trained surrogate to a Dataset and back, as arrays and plain values only.

The module of a surrogate's kind is imported on use, so that a study depends on the code of its own
kind alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from popinv.store.variables import arrays_dataset, variable
from popinv.surrogate.simulator import TrainedSurrogate

_PREFIX = "surrogate."


def surrogate_dataset(
    surrogate: TrainedSurrogate, history: Mapping[str, np.ndarray], attrs: Mapping[str, Any]
) -> xr.Dataset:
    """Return the arrays of a surrogate, and the history of its training if it has one."""
    arrays = {_PREFIX + name: values for name, values in surrogate.to_arrays().items()}
    hyperparameters = json.dumps(dict(surrogate.hyperparameters), sort_keys=True)
    dataset = arrays_dataset(
        arrays, "of the surrogate", {**attrs, "hyperparameters": hyperparameters}
    )
    for name, values in history.items():
        dataset[name] = variable(f"{name}_epoch", values, name.replace("_", " "))
    return dataset


def surrogate_of(dataset: xr.Dataset | TrainedSurrogate, device: str = "cpu") -> Any:
    """Return the surrogate of a :func:`surrogate_dataset`.

    Parameters
    ----------
    dataset : xarray.Dataset or TrainedSurrogate
        A simulator that needs no surrogate stands for itself, and is returned.
    device : {"cpu", "auto", "cuda"}
        Device of a network, as in :func:`popinv.surrogate.device.device_of`. A Gaussian process
        computes on the processor.

    Returns
    -------
    Surrogate or Emulator
        Both are a :class:`popinv.surrogate.simulator.TrainedSurrogate`.
    """
    if not isinstance(dataset, xr.Dataset):
        return dataset
    arrays = {
        str(name)[len(_PREFIX) :]: dataset[name].values
        for name in dataset.data_vars
        if str(name).startswith(_PREFIX)
    }
    hyperparameters = json.loads(dataset.attrs["hyperparameters"])
    if hyperparameters.get("kind") == "exact":
        from popinv.surrogate.exact import of_section

        return of_section(hyperparameters["forward"], hyperparameters["files"])
    if hyperparameters.get("kind") == "gaussian_process":
        from popinv.surrogate.gaussian_process.emulator import Emulator

        return Emulator.from_arrays(arrays, hyperparameters)
    from popinv.surrogate.device import device_of
    from popinv.surrogate.trained_network import Surrogate

    surrogate: Any
    if hyperparameters.get("kind") == "mean_and_factor":
        from popinv.surrogate.mean_and_factor import MeanAndFactor

        surrogate = MeanAndFactor.from_arrays(arrays, hyperparameters)
    elif hyperparameters.get("kind") == "summarised":
        from popinv.surrogate.summarised import Summarised

        surrogate = Summarised.from_arrays(arrays, hyperparameters)
    else:
        surrogate = Surrogate.from_arrays(arrays, hyperparameters)
    surrogate.network.to(device_of(device))
    return surrogate
