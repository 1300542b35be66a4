"""Permeability and pressure of a few systems, everywhere in the domain."""

from __future__ import annotations

import itertools

import numpy as np
import xarray as xr

from popinv.forward.sensors import Sensors
from popinv.forward.states import refuse_failures
from popinv.store.variables import variable
from popinv_models.porous_flow.model import PorousFlowModel
from popinv_models.porous_flow.section import PorousFlow as Section


def states(section: Section, seed: int, z: np.ndarray) -> xr.Dataset:
    """Return log-permeability and pressure at the vertices of the mesh.

    The pressure is the observation of the forward model with a sensor at every inner vertex; on the
    boundary it is 0. Between vertices v = K(u) of Kirchhoff's transform is linear, which without a
    nonlinearity is the pressure itself.

    Parameters
    ----------
    section : PorousFlow
        The section of the configuration.
    seed, z
        The arguments of `popinv.forward.states.states`.

    Returns
    -------
    Dataset
        ``log_permeability`` and ``pressure``, each (system, x) or (system, x, y).

    Raises
    ------
    SolverError
        If one of the systems cannot be solved.
    """
    dimension, line = section.dimension, np.linspace(0, 1, section.elements + 1)
    axes = ("x", "y")[:dimension]
    inner = list(itertools.product(line[1:-1].tolist(), repeat=dimension))
    # The vertices are many, so they are not validated.
    everywhere = Sensors.model_construct(placement="given", count=len(inner), positions=inner)
    # Places of the systems' own sensors do not change their states.
    rest = [key for key in section.design_list if key != "sensors"]
    seen = section.model_copy(update={"sensors": everywhere, "design_list": rest})
    names = [each.name for each in section.inputs()]
    z = z[:, [names.index(each.name) for each in seen.inputs()]]
    model = PorousFlowModel(seen, seed)
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
