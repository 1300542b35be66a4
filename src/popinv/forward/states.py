"""Whole states of a few systems, for pictures.

Observations are a few numbers of a system's state: a pressure at fifty points of a field, or
averages of a trajectory. If a forward model can show the state itself, its package has a module
``states`` beside ``model``, which its section's method ``states`` calls. It uses the model's own
solver, so that the state at the sensors agrees with the observations of ``solve``. A simulator of
the user's own returns only observations, and has no such module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from popinv.errors import SolverError
from popinv.forward.section import ForwardSection, forward_section


def states(
    forward: ForwardSection | Mapping[str, Any],
    seed: int,
    z: np.ndarray,
    stage: str,
    indices: Sequence[int],
) -> xr.Dataset:
    """Return the whole states of a few systems.

    Parameters
    ----------
    forward : ForwardSection or mapping
        The section of a model with states.
    seed : int
        The study's seed.
    z : ndarray of shape (n, d_z)
        One system a row.
    stage : str
        The stage that ``solve`` was given: it and the indices address the random draws inside.
    indices : sequence of int, length n
        Global index of each system among those that were solved at this stage.

    Returns
    -------
    Dataset
        Along ``system``, and along places or times by name; the attribute ``kind`` names the
        forward model.

    Raises
    ------
    SolverError
        If one of the systems cannot be solved.
    ValueError
        If the forward model has no states.
    """
    section = forward_section(forward)
    dataset = section.states(seed, z, stage, indices)
    if dataset is None:
        raise ValueError(f"a forward model of kind '{section.kind}' has no states")
    return dataset.assign_attrs(kind=section.kind)


def refuse_failures(reasons: np.ndarray) -> None:
    """Raise SolverError, with the first reason, unless all systems were solved."""
    failed = np.flatnonzero(reasons != "")
    if len(failed):
        raise SolverError(f"system {failed[0]} has no state: {reasons[failed[0]]}")
