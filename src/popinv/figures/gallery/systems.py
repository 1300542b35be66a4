"""A few systems of a study, with their states and observations."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import xarray as xr

from popinv.charts.description import Sheet
from popinv.figures.gallery.columns import DrawnSystems


def draw_systems(
    states: xr.Dataset, observations: xr.Dataset, z: xr.DataArray, title: str
) -> Sheet:
    """Return a picture of whole states with the sensors.

    It is made by ``draw`` of the module that has the name of the states' kind, in
    `popinv.figures.gallery`.

    Parameters
    ----------
    states : Dataset
        From `popinv.forward.states.states`, with its attribute ``kind``.
    observations : Dataset
        ``y`` (system, observation) of the same systems.
    z : DataArray (system, parameter)
    title : str
        Title with the origin of the systems.

    Raises
    ------
    ValueError
        If there is no picture for this kind of states.
    """
    kind = states.attrs["kind"]
    module = f"{__package__}.{kind}"
    if find_spec(module) is None:
        raise ValueError(f"there is no picture for states of kind '{kind}': no module {module}")
    sheet: Sheet = import_module(module).draw(DrawnSystems(states, observations, z, title))
    return sheet
