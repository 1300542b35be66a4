"""From the ``surrogate`` section of a checked configuration to the network and its training."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import xarray as xr

from popinv.forward.build import Section
from popinv.forward.fields import CosineField
from popinv.forward.sensors import sensors
from popinv.surrogate.design import recency_weights
from popinv.surrogate.training import TrainingData, TrainingSettings

__all__ = ["network_inputs", "training_data", "training_settings"]


def network_inputs(
    surrogate: Section, forward: Section, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the network's hyperparameters and its fixed matrices.

    A Fourier neural operator works on the mid-points of the mesh: one fixed matrix takes the
    parameters to the log-permeability there, another interpolates to the sensors.
    """
    if surrogate["network"] == "mlp":
        return {"kind": "mlp", "width": surrogate["width"], "depth": surrogate["depth"]}, {}
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


def training_settings(
    surrogate: Section,
    forward: Section,
    seed: int,
    round_number: int,
    estimate: xr.Dataset | None = None,
    logarithmic: tuple[bool, ...] | None = None,
) -> TrainingSettings:
    """Return how to train in a round; ``logarithmic`` marks the parameters read by their logs.

    The first round has no estimate of the noise and trains afresh; later ones measure errors in
    the noise's standard deviations, as the descent does, and start from the last weights.
    """
    hyperparameters, fixed = network_inputs(surrogate, forward, seed)
    whitening = None
    if estimate is not None:
        whitening = np.linalg.inv(np.linalg.cholesky(estimate["noise_covariance"].values))
    return TrainingSettings(
        seed=seed,
        stage=f"train/{round_number}",
        hyperparameters=hyperparameters,
        fixed=fixed or None,
        whitening=whitening,
        logarithmic=logarithmic,
        learning_rate=surrogate["learning_rate" if estimate is None else "refit_learning_rate"],
        batch_size=surrogate["batch_size"],
        max_epochs=surrogate["max_epochs"],
        patience=surrogate["patience"],
        validation_fraction=surrogate["validation_fraction"],
    )


def training_data(solves: xr.Dataset, round_number: int, recency_decay: float) -> TrainingData:
    """Return the successful solves, the later rounds weighing more."""
    kept = np.flatnonzero(solves["reason"].values == 0)
    rounds = solves["round"].values[kept]
    return TrainingData(
        z=solves["z"].values[kept],
        y=solves["y"].values[kept],
        weights=recency_weights(rounds, round_number, recency_decay),
        rows=kept,
    )
