"""Construction of the network and its training from the section ``surrogate``."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from popinv.forward.fields import CosineField
from popinv.surrogate.design import recency_weights
from popinv.surrogate.section import SurrogateSettings, TrainingLimits
from popinv.surrogate.training import TrainingData, TrainingSettings

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection


def fourier_inputs(
    surrogate: SurrogateSettings, forward: ForwardSection, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the operator's hyperparameters and its fixed matrices.

    The operator works on the mid-points of the mesh. One fixed matrix maps the parameters to the
    field there, and another interpolates to the sensors.
    """
    # The checks of the configuration refuse all other forward models.
    side, field = forward.mesh_side(), forward.random_field()
    assert side is not None
    assert isinstance(field, CosineField)
    dimension = field.dimension
    line = (np.arange(side) + 0.5) / side
    grid = np.array(list(itertools.product(line, repeat=dimension)))
    evaluation = np.concatenate([np.ones((len(grid), 1)), field.basis(grid).T], axis=1)
    readout = _interpolation(forward.observed(seed).coordinates, line)
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


def network_inputs(
    surrogate: SurrogateSettings, forward: ForwardSection, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the network's hyperparameters and its fixed matrices, none for a perceptron."""
    if surrogate.network == "mlp":
        return {"kind": "mlp", "width": surrogate.width, "depth": surrogate.depth}, {}
    return fourier_inputs(surrogate, forward, seed)


def training_settings(
    surrogate: SurrogateSettings,
    forward: ForwardSection,
    seed: int,
    round_number: int,
    estimate: xr.Dataset | None = None,
    logarithmic: tuple[bool, ...] | None = None,
    device: str = "cpu",
) -> TrainingSettings:
    """Return the training settings of a round; ``logarithmic`` marks parameters read by their logs.

    The first round has no estimate of the noise and trains afresh; later ones measure errors in
    the noise's standard deviations, as the descent does, and start from the last weights.
    """
    hyperparameters, fixed = network_inputs(surrogate, forward, seed)
    whitening = None
    if estimate is not None:
        whitening = np.linalg.inv(np.linalg.cholesky(estimate["noise_covariance"].values))
    limits = {name: getattr(surrogate, name) for name in TrainingLimits.model_fields}
    if estimate is not None and not forward.is_random():
        limits["learning_rate"] = surrogate.refit_learning_rate
    return TrainingSettings(
        **limits,
        seed=seed,
        stage=f"train/{round_number}",
        hyperparameters=hyperparameters,
        fixed=fixed or None,
        whitening=whitening,
        logarithmic=logarithmic,
        random=forward.is_random(),
        device=device,
    )


def training_data(
    solves: xr.Dataset, round_number: int, recency_decay: float, random: bool = False
) -> TrainingData:
    """Return the successful solves; later rounds have larger weights.

    Of a random simulator, later rounds leave the broad first design out.
    """
    kept = np.flatnonzero(solves["reason"].values == 0)
    if random and (solves["round"].values[kept] > 0).any():
        kept = kept[solves["round"].values[kept] > 0]
    rounds = solves["round"].values[kept]
    return TrainingData(
        z=solves["z"].values[kept],
        y=solves["y"].values[kept],
        weights=recency_weights(rounds, round_number, recency_decay),
        rows=kept,
        newest=rounds == rounds.max(initial=0),
    )
