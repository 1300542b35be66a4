"""The Datasets of parameters, observations and solves: variables, dims, units and attributes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from popinv.forward.base import Observations, Parameter, Solutions
from popinv.forward.checks import check_solutions
from popinv.sections.tables import is_number
from popinv.store.variables import variable

ORIGIN = {
    "system": "observed system that the sample stands for",
    "member": "place of the sample among the members of this system, a group",
    "group": "number of the drawn group, -1 for a member that was drawn alone",
}
"""Where samples come from, if systems differ in what is known of them or have members."""


def origin_of(dataset: xr.Dataset) -> dict[str, np.ndarray]:
    """Return what a Dataset of samples says of :data:`ORIGIN`, by name."""
    return {name: dataset[name].values for name in ORIGIN if name in dataset}


def parameter_coordinate(
    parameters: Sequence[Parameter] | Sequence[str], dim: str, long_name: str
) -> dict[str, xr.Variable]:
    """Return the coordinate of named parameters along ``dim``."""
    names = [p if isinstance(p, str) else p.name for p in parameters]
    return {dim: variable(dim, np.array(names, dtype=np.str_), long_name)}


def law_and_noise_coordinates(law: Sequence[str], noise: Sequence[str]) -> dict[str, xr.Variable]:
    """Return the coordinates of alpha, ``law_parameter``, and of gamma, ``noise_parameter``."""
    return {
        **parameter_coordinate(law, "law_parameter", "parameter of the law"),
        **parameter_coordinate(noise, "noise_parameter", "parameter of the noise"),
    }


def replicates_of(dataset: xr.Dataset) -> int:
    """Return the number of replicates that an observation of a system consists of."""
    return int(dataset["replicate"].max()) if "replicate" in dataset.coords else 1


def observation_coordinates(
    observations: Observations, replicates: int = 1
) -> dict[str, xr.Variable]:
    """Return one coordinate per axis of place or time, and the labels, along ``observation``.

    Of several replicates, which stand one after the other, there is also ``replicate``, their
    number from 1.
    """
    if replicates > 1:
        once = observation_coordinates(observations)
        number = np.repeat(np.arange(1, replicates + 1), len(observations))
        return {
            name: xr.Variable(each.dims, np.tile(each.values, replicates), each.attrs)
            for name, each in once.items()
        } | {"replicate": variable("observation", number, "number of the replicate")}
    labels = {}
    if observations.labels:
        values = np.array(observations.labels, dtype=np.str_)
        labels["label"] = variable("observation", values, "observed quantity")
    return labels | {
        f"observation_{name}": variable(
            "observation",
            observations.coordinates[:, i],
            f"{name} of the observation",
            observations.coordinate_units,
            # A store gives its coordinates in no particular order.
            axis=i,
        )
        for i, name in enumerate(observations.coordinate_names)
    }


def names_in_file(dataset: xr.Dataset) -> list[str] | None:
    """Return the user's names of the observations, None where there are none."""
    return list(map(str, dataset["column"].values)) if "column" in dataset.coords else None


def observation_names(dataset: xr.Dataset) -> list[str]:
    """Return what the observations are called in messages.

    They have the names of the user's file, or are counted from 1, with their labels.

    Parameters
    ----------
    dataset : Dataset
        With the coordinates of the observations.

    Examples
    --------
    >>> observation_names(xr.Dataset(coords={"column": ("observation", ["0.5", "depth"])}))
    ["column '0.5'", 'depth']
    """
    names = names_in_file(dataset)
    replicates = replicates_of(dataset)
    width = dataset.sizes["observation"] // replicates
    if names is not None:
        called = [f"column '{name}'" if is_number(name) else name for name in names]
    else:
        called = [f"observation {i % width + 1}" for i in range(dataset.sizes["observation"])]
        if "label" in dataset.coords:
            labels = dataset["label"].values
            called = [f"{name} ({label})" for name, label in zip(called, labels, strict=True)]
    if replicates == 1:
        return called
    return [f"{name} of replicate {i // width + 1}" for i, name in enumerate(called)]


def place_coordinates(dataset: xr.Dataset) -> list[str]:
    """Return the names of the coordinates of place and time, in the order of the observations'."""
    names = [str(n) for n in dataset.coords if str(n).startswith("observation_")]
    return sorted(names, key=lambda name: dataset[name].attrs["axis"])


def places(dataset: xr.Dataset) -> np.ndarray:
    """Return the places (and times, last) of the observations, shape (d_y, k)."""
    return np.column_stack([dataset[name].values for name in place_coordinates(dataset)])


def time_series(dataset: xr.Dataset) -> np.ndarray | None:
    """Return the indices of the observations as histories, shape (places, times).

    None where the observations have no times, or not the same ones at every place.
    """
    if "observation_t" not in dataset.coords:
        return None
    count = dataset.sizes["observation"]
    times = len(np.unique(dataset["observation_t"].values))
    return np.arange(count).reshape(-1, times) if count % times == 0 else None


def proposals(
    z: np.ndarray,
    parameters: Sequence[Parameter] | Sequence[str],
    source: str,
    origin: Mapping[str, np.ndarray] | None = None,
) -> xr.Dataset:
    """Return inputs to be solved: ``z`` (sample, parameter), the parameters and then the design.

    The Dataset also has the variables of ``origin``, each of shape (sample,), see :data:`ORIGIN`.
    """
    return xr.Dataset(
        {
            "z": variable(("sample", "parameter"), z, "parameters of the forward model"),
            **_origin_variables(origin),
        },
        coords=parameter_coordinate(parameters, "parameter", "parameter of the forward model"),
        attrs={"source": source},
    )


def solves(
    z: np.ndarray,
    solutions: Solutions,
    parameters: Sequence[Parameter] | Sequence[str],
    observations: Observations,
    origin: Mapping[str, np.ndarray] | None = None,
) -> xr.Dataset:
    """Solved systems: ``z``, noise-free ``y`` and ``reason``, a code that is 0 for success.

    ``origin`` comes from the proposals, where they have it.

    Raises
    ------
    SolverError
        If the solutions are for another number of systems or of observations.
    """
    check_solutions(solutions, len(z), len(observations))
    return xr.Dataset(
        {
            "z": variable(("sample", "parameter"), z, "parameters of the forward model"),
            "y": variable(
                ("sample", "observation"),
                solutions.observations,
                f"{observations.long_name or observations.name}, without noise",
                observations.units,
            ),
            "reason": reason_codes(solutions.reason),
            **_origin_variables(origin),
        },
        coords={
            **parameter_coordinate(parameters, "parameter", "parameter of the forward model"),
            **observation_coordinates(observations),
        },
    )


def _origin_variables(origin: Mapping[str, np.ndarray] | None) -> dict[str, xr.Variable]:
    return {
        name: variable("sample", np.asarray(values, dtype=np.int64), ORIGIN[name])
        for name, values in (origin or {}).items()
    }


def reason_codes(reasons: np.ndarray) -> xr.Variable:
    """Return reasons (sample,) as codes, 0 for success; the attribute ``reasons`` decodes them."""
    meanings, codes = np.unique(["", *map(str, reasons)], return_inverse=True)
    return variable(
        "sample",
        codes[1:].astype(np.int32),
        "why the solve failed, 0 if it did not",
        reasons=json.dumps(meanings.tolist()),
    )


def reasons_of(dataset: xr.Dataset) -> np.ndarray:
    """Return the reasons of a solves Dataset as strings, shape (sample,)."""
    names = np.array(json.loads(dataset["reason"].attrs["reasons"]), dtype=object)
    return names[dataset["reason"].values]
