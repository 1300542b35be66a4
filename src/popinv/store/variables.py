"""Variables with units and names, and Datasets of named arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr


def variable(
    dims: str | Sequence[str], values: Any, long_name: str, units: str = "1", **attrs: Any
) -> xr.Variable:
    """Return a variable with its units and name."""
    described = {"long_name": long_name, "units": units, **attrs}
    return xr.Variable(dims, np.asarray(values), described)


def arrays_dataset(
    arrays: Mapping[str, np.ndarray], long_name: str, attrs: Mapping[str, Any] | None = None
) -> xr.Dataset:
    """Put named arrays of any shape into a Dataset, each with its own dims."""
    variables = {
        name: variable(
            [f"{name}_{axis}" for axis in range(np.ndim(values))], values, f"{name}, {long_name}"
        )
        for name, values in arrays.items()
    }
    return xr.Dataset(variables, attrs=dict(attrs or {}))


def arrays_of(dataset: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the arrays that :func:`arrays_dataset` stored."""
    return {str(name): dataset[name].values for name in dataset.data_vars}
