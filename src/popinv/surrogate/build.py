"""Construction of the network and its training from the section ``surrogate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from popinv.surrogate.design import recency_weights
from popinv.surrogate.section import SurrogateSettings, TrainingLimits
from popinv.surrogate.training import TrainingData, TrainingSettings

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection


def network_inputs(
    surrogate: SurrogateSettings, forward: ForwardSection, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the network's hyperparameters and its fixed matrices, none for a perceptron."""
    if surrogate.network == "mlp":
        return {"kind": "mlp", "width": surrogate.width, "depth": surrogate.depth}, {}
    # This is imported here, as other networks do not depend on the forward model's field.
    from popinv.surrogate.fourier_inputs import fourier_inputs

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
    if estimate is not None:
        limits["learning_rate"] = surrogate.refit_learning_rate
    return TrainingSettings(
        **limits,
        seed=seed,
        stage=f"train/{round_number}",
        hyperparameters=hyperparameters,
        fixed=fixed or None,
        whitening=whitening,
        logarithmic=logarithmic,
        device=device,
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
        newest=rounds == rounds.max(initial=0),
    )
