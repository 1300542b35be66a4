"""Permeability and pressure of a few systems, everywhere in the domain."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from popinv.artefacts import variable
from popinv.forward.porous_flow.model import forward_model
from popinv.forward.states import refuse_failures

__all__ = ["states"]


def states(
    forward: Mapping[str, Any], seed: int, z: np.ndarray, stage: str, indices: Sequence[int]
) -> xr.Dataset:
    """Return log-permeability and pressure at the vertices of the mesh.

    The pressure is what the forward model observes with a sensor at every inner vertex; on the
    boundary it is 0. Between vertices v = K(u) of Kirchhoff's transform is linear, which without a
    nonlinearity is the pressure itself.

    Parameters
    ----------
    forward, seed, z
        As in `popinv.forward.states.states`.
    stage, indices
        Not used: nothing is random here.

    Returns
    -------
    Dataset
        ``log_permeability`` and ``pressure``, each (system, x) or (system, x, y).

    Raises
    ------
    SolverError
        If one of the systems cannot be solved.
    """
    dimension, line = forward["dimension"], np.linspace(0, 1, forward["elements"] + 1)
    axes = ("x", "y")[:dimension]
    inner = list(itertools.product(line[1:-1].tolist(), repeat=dimension))
    everywhere = {"placement": "given", "count": len(inner), "positions": inner}
    model = forward_model({**forward, "sensors": everywhere}, seed)
    solutions = model.solve(z)
    refuse_failures(solutions.reason)

    shape = (len(z), *[len(line)] * dimension)
    pressure = np.zeros(shape)
    pressure[(slice(None), *[slice(1, -1)] * dimension)] = solutions.observations.reshape(
        len(z), *[len(line) - 2] * dimension
    )
    vertices = np.array(list(itertools.product(line, repeat=dimension)))
    field = model.field.evaluate(z, model.field.basis(vertices)).reshape(shape)
    dims = ("system", *axes)
    return xr.Dataset(
        {
            "log_permeability": variable(dims, field, "log-permeability"),
            "pressure": variable(dims, pressure, "pressure"),
        },
        coords={axis: variable(axis, line, f"{axis}, place") for axis in axes},
    )
