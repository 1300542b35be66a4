"""Motion of a few elastic bodies, everywhere in the body."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from popinv.forward.states import refuse_failures
from popinv.store.variables import variable
from popinv_models.elastodynamics.model import ElastodynamicsModel
from popinv_models.elastodynamics.operators import ordered_unknowns
from popinv_models.elastodynamics.section import Elastodynamics as Section

# Number of time steps that are kept for a picture.
_FRAMES = 400


class _Everywhere(ElastodynamicsModel):
    """The same body on the same time steps, with every unknown observed, and more often.

    Parameters
    ----------
    section, seed
        As in `popinv_models.elastodynamics.model.ElastodynamicsModel`.
    """

    def __init__(self, section: Section, seed: int) -> None:
        times, steps = section.times, section.steps
        # Steps from frame to frame such that observation times are among the frames.
        strides = [s for s in range(1, steps + 1) if steps % s == 0]
        stride = next((s for s in strides if times * steps // s <= _FRAMES), steps)
        often = {"times": times * steps // stride, "steps": stride}
        super().__init__(section.model_copy(update=often), seed)
        unknowns = ordered_unknowns(self.discretisation)
        self.modes = None  # the modes belong to the sensors
        self.order, self.places = unknowns.order, unknowns.places
        count = len(unknowns.order)
        self.operators = replace(
            self.operators,
            observation_pointer=np.arange(count + 1),
            observation_columns=np.arange(count),
            observation_weights=np.ones(count),
        )
        self.sensors = unknowns.places[unknowns.order] / self.discretisation.size


def states(section: Section, seed: int, z: np.ndarray) -> xr.Dataset:
    """Return the displacement at every node of the mesh, at regular times.

    It comes from the forward model's own march over the same time steps. Every step is kept, or
    every k-th step such that the observation times are among them.

    Parameters
    ----------
    section : Elastodynamics
        The section of the configuration.
    seed, z
        The arguments of `popinv.forward.states.states`.

    Returns
    -------
    Dataset
        Along the bar ``displacement`` (system, time, x). Of the cantilever ``displacement_x`` and
        ``displacement_y``, each (system, time, x, y). Where the stiffness is a random field, its
        ``log_stiffness`` (system, x) or (system, x, y).

    Raises
    ------
    SolverError
        If one of the systems cannot be solved.
    """
    amplitude = np.ones(len(z))
    if section.design_list:
        z, amplitude = z[:, :-1], z[:, -1]
        section = section.model_copy(update={"amplitude": 1.0, "design_list": []})
    model = _Everywhere(section, seed)
    solutions = model.solve(z)
    refuse_failures(solutions.reason)
    dimension = model.dimension
    axes = ("x", "y")[:dimension]
    # One row a node; a component of it in each of as many unknowns.
    nodes = np.round(model.places[::dimension], 12)
    lines, at = zip(
        *(np.unique(nodes[:, d], return_inverse=True) for d in range(dimension)), strict=True
    )
    frames = np.zeros((len(z), len(model.times), len(model.places)))
    # A node that is not among the unknowns is clamped.
    seen = solutions.observations * amplitude[:, None]
    frames[:, :, model.order] = seen.reshape(len(z), len(model.order), -1).transpose(0, 2, 1)
    variables, dims = {}, ("system", "time", *axes)
    for component in range(dimension):
        moved = np.zeros((len(z), len(model.times), *(len(line) for line in lines)))
        moved[(slice(None), slice(None), *at)] = frames[:, :, component::dimension]
        ending = "" if dimension == 1 else f"_{axes[component]}"
        long_name = "displacement" + (f" along {axes[component]}" if ending else "")
        variables[f"displacement{ending}"] = variable(dims, moved, long_name)
    if model.field is not None:
        points = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, dimension)
        basis = model.field.basis(points / model.discretisation.size)
        values = model.field.evaluate(z, basis).reshape(len(z), *(len(line) for line in lines))
        variables["log_stiffness"] = variable(("system", *axes), values, model.field.quantity)
    return xr.Dataset(
        variables,
        coords={
            "time": variable("time", model.times, "time"),
            **{a: variable(a, line, f"{a}, place") for a, line in zip(axes, lines, strict=True)},
        },
    )
