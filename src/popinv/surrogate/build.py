"""Construction of the network and its training from the section ``surrogate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.surrogate.design import recency_weights
from popinv.surrogate.section import SurrogateSettings, TrainingLimits
from popinv.surrogate.training import TrainingData, TrainingSettings

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection


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
        hyperparameters={"width": surrogate.width, "depth": surrogate.depth},
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
