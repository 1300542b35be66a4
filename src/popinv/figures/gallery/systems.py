"""A few systems of a study as they are, beside what was observed of them."""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from popinv.figures.gallery.climate import draw_climate
from popinv.figures.gallery.columns import Systems
from popinv.figures.gallery.flow import draw_flow
from popinv.figures.gallery.motion import draw_motion
from popinv.figures.style import styled

__all__ = ["draw_systems"]

_DRAW = {"porous_flow": draw_flow, "elastodynamics": draw_motion, "lorenz96": draw_climate}


@styled
def draw_systems(
    states: xr.Dataset, observations: xr.Dataset, z: xr.DataArray, title: str
) -> Figure:
    """Draw whole states with the sensors in them.

    Parameters
    ----------
    states : Dataset
        From `popinv.forward.states.states`, with its attribute ``kind``.
    observations : Dataset
        ``y`` (system, observation) of the same systems.
    z : DataArray (system, parameter)
    title : str
        Whose systems these are.

    Raises
    ------
    ValueError
        If there is no picture for this kind of states.
    """
    kind = states.attrs["kind"]
    if kind not in _DRAW:
        raise ValueError(f"no picture for states of kind '{kind}', only for {', '.join(_DRAW)}")
    return _DRAW[kind](Systems(states, observations, z, title))
