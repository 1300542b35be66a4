"""What a Fourier neural operator is built from: its mesh, and the way to the sensors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from popinv.forward.build import Section
from popinv.forward.fields import CosineField
from popinv.forward.sensors import sensors

__all__ = ["fourier_inputs"]


def fourier_inputs(
    surrogate: Section, forward: Section, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the operator's hyperparameters and its fixed matrices.

    It works on the mid-points of the mesh: one fixed matrix takes the parameters to the
    log-permeability there, another interpolates to the sensors.
    """
    dimension, side = forward["dimension"], forward["elements"]
    line = (np.arange(side) + 0.5) / side
    grid = np.array(list(itertools.product(line, repeat=dimension)))
    field = CosineField(dimension, forward["modes"])
    evaluation = np.concatenate([np.ones((len(grid), 1)), field.basis(grid).T], axis=1)
    readout = _interpolation(sensors(forward, seed), line)
    hyperparameters = {
        "kind": "fno",
        "grid_shape": [side] * dimension,
        "width": surrogate["width"],
        "modes": [surrogate["fourier_modes"]] * dimension,
        "layers": surrogate["fourier_layers"],
    }
    return hyperparameters, {"evaluation": evaluation, "readout": readout}


def _interpolation(places: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Return the matrix of linear interpolation from a grid, ``line`` on each side, to places.

    Beyond the outermost nodes, half a mesh width from the boundary, the value is theirs.
    """
    rows = np.ones((len(places), 1))
    hats = np.eye(len(line))
    for axis in places.T:
        weights = np.column_stack([np.interp(axis, line, hat) for hat in hats])
        rows = (rows[:, :, None] * weights[:, None, :]).reshape(len(places), -1)
    return rows
