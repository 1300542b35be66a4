"""Hyperparameters and fixed matrices of a Fourier neural operator."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from popinv.forward.fields import CosineField
from popinv.surrogate.section import SurrogateSettings

if TYPE_CHECKING:
    from popinv.forward.porous_flow.section import PorousFlow
    from popinv.forward.section import ForwardSection


def fourier_inputs(
    surrogate: SurrogateSettings, forward: ForwardSection, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the operator's hyperparameters and its fixed matrices.

    The operator works on the mid-points of the mesh. One fixed matrix maps the parameters to the
    log-permeability there, and another interpolates to the sensors.
    """
    # The checks of the configuration refuse all other kinds.
    flow = cast("PorousFlow", forward)
    dimension, side = flow.dimension, flow.elements
    line = (np.arange(side) + 0.5) / side
    grid = np.array(list(itertools.product(line, repeat=dimension)))
    field = flow.random_field()
    assert isinstance(field, CosineField)
    evaluation = np.concatenate([np.ones((len(grid), 1)), field.basis(grid).T], axis=1)
    readout = _interpolation(flow.sensors.places(dimension, seed), line)
    hyperparameters = {
        "kind": "fno",
        "grid_shape": [side] * dimension,
        "width": surrogate.width,
        "modes": [surrogate.fourier_modes] * dimension,
        "layers": surrogate.fourier_layers,
    }
    return hyperparameters, {"evaluation": evaluation, "readout": readout}


def _interpolation(places: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Return the matrix of linear interpolation from a grid, ``line`` on each side, to places.

    Beyond the outermost nodes, half a mesh width from the boundary, the value is constant.
    """
    rows = np.ones((len(places), 1))
    hats = np.eye(len(line))
    for axis in places.T:
        weights = np.column_stack([np.interp(axis, line, hat) for hat in hats])
        rows = (rows[:, :, None] * weights[:, None, :]).reshape(len(places), -1)
    return rows
