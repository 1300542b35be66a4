"""Whole states of a few systems, for pictures.

Observations are a few numbers of a system's state: a pressure at fifty points of a field, or
averages of a trajectory. Where a forward model can show the state itself, its package has a module
``states`` beside ``model``, with a function ``states(forward, seed, z, stage, indices)``. It asks
the model's own solver, so that what the sensors see of a state is what ``solve`` answers. A
simulator of the user's own answers observations alone, and has no such module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import xarray as xr

from popinv.errors import SolverError

__all__ = ["refuse_failures", "states"]

Section = Mapping[str, Any]


def states(
    forward: Section, seed: int, z: np.ndarray, stage: str, indices: Sequence[int]
) -> xr.Dataset:
    """Return the whole states of a few systems.

    Parameters
    ----------
    forward : mapping
        The ``forward`` section of a checked configuration, of a model with states.
    seed : int
        The study's seed.
    z : ndarray of shape (n, d_z)
        One system a row.
    stage : str
        As given to ``solve``: with the indices it names what is random inside.
    indices : sequence of int, length n
        Global index of each system among those that were solved at this stage.

    Returns
    -------
    Dataset
        Along ``system``, and along places or times by name; the attribute ``kind`` is that of the
        forward model.

    Raises
    ------
    SolverError
        If one of the systems cannot be solved.
    """
    module = import_module(f"popinv.forward.{forward['kind']}.states")
    found: xr.Dataset = module.states(forward, seed, z, stage, indices)
    return found.assign_attrs(kind=forward["kind"])


def refuse_failures(reasons: np.ndarray) -> None:
    """Raise SolverError, with the first reason, unless all systems were solved."""
    failed = np.flatnonzero(reasons != "")
    if len(failed):
        raise SolverError(f"system {failed[0]} has no state: {reasons[failed[0]]}")
