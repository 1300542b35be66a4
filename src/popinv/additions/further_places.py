"""Observations of a study at the times, and with the events, that added systems bring."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.errors import DataError
from popinv.forward.base import Observations
from popinv.forward.datasets import observation_coordinates, parameter_coordinate, replicates_of
from popinv.forward.external.section import ExternalSection
from popinv.forward.inputs.section import Inputs
from popinv.forward.inputs.shape import InputsShape
from popinv.observation_files.limit_keys import VARIABLES
from popinv.population.model import Model
from popinv.sections.messages import shown

_HELDOUT, _TOLD = "_heldout", 8


def at_further_places(
    model: Model, observations: xr.Dataset, name: str, *, seed: int
) -> xr.Dataset:
    """Return observations with all places of a forward model that has more of them.

    Nothing was observed at the further times, and no system had the further events.

    Parameters
    ----------
    observations : Dataset
        All systems of the study so far.
    name : str
        What messages call the added systems.

    Raises
    ------
    DataError
        If the function takes no times, or if the noise has parameters of single times.
    """
    forward = model.forward
    if not isinstance(forward, ExternalSection):
        return observations
    if forward.timed is not None:
        observations = _with_room(observations, forward.timed)
    times = forward.observations.described_times()
    if times is None:
        return observations
    before = np.unique(observations["observation_t"].values)
    if len(before) == len(times):
        return observations
    further = shown(sorted(set(times) - set(before.tolist()))[:_TOLD])
    if not forward.takes_times():
        raise DataError(
            f"{name}: has values at the times {further}, but the simulator gives the observations "
            "at its own times; only a function with an argument 'times' gives others"
        )
    simulated = forward.observations.asked_times() or times
    if not simulated[0] <= times[0] <= times[-1] <= simulated[-1]:
        raise DataError(
            f"{name}: has times from {times[0]:g} to {times[-1]:g}, but the simulator's own are "
            f"{simulated[0]:g} to {simulated[-1]:g} (forward.observations.simulated_times)"
        )
    earlier = forward.wider(before.tolist())
    names = (model.noise.model(each.observed(seed), ()).names for each in (earlier, forward))
    if len(set(map(tuple, names))) > 1:
        raise DataError(
            f"{name}: the times {further} are not among those of the study, and noise of kind "
            f"'{model.noise.kind}' has parameters of single times. Fit all systems together instead"
        )
    return _spread(observations, before, np.asarray(times), forward.observed(seed))


def _spread(
    observations: xr.Dataset, before: np.ndarray, times: np.ndarray, described: Observations
) -> xr.Dataset:
    """Return observations in the columns of more times, which are empty."""
    entries = observations.sizes["observation"] // len(before)
    # Times run fastest.
    column = (np.arange(entries)[:, None] * len(times) + np.searchsorted(times, before)).ravel()
    apart = {n: each for n, each in observations.variables.items() if "observation" in each.dims}
    wide = observations.drop_dims("observation")
    for name in observations.data_vars:
        if (held := apart.get(name)) is not None:
            values = np.full((len(held), entries * len(times)), _unknown(str(name)))
            values[:, column] = held.values
            wide[name] = xr.Variable(held.dims, values, held.attrs)
    return wide.assign_coords(observation_coordinates(described, replicates_of(observations)))


def _unknown(name: str) -> float:
    """Return what a variable of the observations holds where nothing was observed."""
    end = name.removesuffix(_HELDOUT)
    if end not in VARIABLES:
        return np.nan
    return -np.inf if end in ("censored_below", "not_below") else np.inf


def _with_room(observations: xr.Dataset, inputs: Inputs) -> xr.Dataset:
    """Return observations whose design has room for more events of a system."""
    names = list(map(str, observations["design_name"].values))
    own, shape = InputsShape.of_names(names), inputs.shape()
    if own is None or own.count >= shape.count:
        return observations
    first, zeros = len(names) - own.width, inputs.amount_column is not None
    wide = observations.drop_dims("design_name")
    for name in (each for each in observations if "design_name" in observations[each].dims):
        held = observations[name].variable
        # Members of groups have a design each.
        rows = [
            np.concatenate([row[:first], shape.padded(own.events_of(row[first:]), zeros)])
            for row in held.values.reshape(-1, len(names))
        ]
        values = np.array(rows).reshape(*held.shape[:-1], -1)
        wide[name] = xr.Variable(held.dims, values, held.attrs)
    every = [*names[:first], *shape.names()]
    return wide.assign_coords(parameter_coordinate(every, "design_name", "design name"))
