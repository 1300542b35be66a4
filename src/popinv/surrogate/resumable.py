"""A training that can be interrupted, and that keeps what was good when it diverges."""

from __future__ import annotations

import numpy as np

from popinv.checkpoints import Checkpoint
from popinv.errors import DivergenceError
from popinv.surrogate.networks import Surrogate
from popinv.surrogate.training import train
from popinv.surrogate.training_state import (
    TrainingData,
    TrainingDiverged,
    TrainingSettings,
    state_from_arrays,
    state_to_arrays,
)

__all__ = ["train_resumably"]


def train_resumably(
    data: TrainingData,
    settings: TrainingSettings,
    checkpoint: Checkpoint,
    initial: Surrogate | None = None,
) -> tuple[Surrogate, dict[str, np.ndarray]]:
    """Train from the checkpoint, if there is one of this very training, else from the start.

    Parameters
    ----------
    data, settings, initial : TrainingData, TrainingSettings, Surrogate
        As for :func:`popinv.surrogate.training.train`.
    checkpoint : Checkpoint
        Written when it is due. It stays until the caller has stored the result.

    Returns
    -------
    surrogate, history : Surrogate, dict
        The same bits, whether or not the training was interrupted.

    Raises
    ------
    DivergenceError
        If the loss is not finite. The last good state is then in the checkpoint, and the message
        says what to change.
    """
    kept = checkpoint.read()
    try:
        return train(
            data,
            settings,
            initial,
            checkpoint=lambda state: checkpoint.write_when_due(state_to_arrays(state)),
            resume=None if kept is None else state_from_arrays(kept),
        )
    except TrainingDiverged as error:
        state = error.state
        checkpoint.write(state_to_arrays(state))
        # Later rounds start from the weights of the round before, with a rate of their own.
        key = "surrogate.learning_rate" if initial is None else "surrogate.refit_learning_rate"
        raise DivergenceError(
            f"the training of the surrogate diverged: {error}. Lower {key} (now "
            f"{settings.learning_rate:g}) and run again: the solves and the earlier rounds are "
            f"kept. The last good state, after {state.epoch} epochs, is kept in {checkpoint.path}; "
            "a run with the same settings goes on from there, and stops again."
        ) from None
