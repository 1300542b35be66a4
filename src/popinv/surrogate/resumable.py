"""A training that can be interrupted, and that keeps its last good state if it diverges."""

from __future__ import annotations

import numpy as np

from popinv.errors import DivergenceError
from popinv.store.checkpoints import Checkpoint, state_from_arrays, state_to_arrays
from popinv.surrogate.trained_network import Surrogate
from popinv.surrogate.training import train
from popinv.surrogate.training_state import (
    TrainingData,
    TrainingDiverged,
    TrainingSettings,
    TrainingState,
)


def train_resumably(
    data: TrainingData,
    settings: TrainingSettings,
    checkpoint: Checkpoint | None = None,
    initial: Surrogate | None = None,
) -> tuple[Surrogate, dict[str, np.ndarray]]:
    """Train from the checkpoint of the same training, if there is one, or else from the start.

    Parameters
    ----------
    data, settings, initial : TrainingData, TrainingSettings, Surrogate
        As for :func:`popinv.surrogate.training.train`.
    checkpoint : Checkpoint, optional
        Written when it is due. It stays until the caller has stored the result.

    Returns
    -------
    surrogate, history : Surrogate, dict
        The same bits, whether or not the training was interrupted.

    Raises
    ------
    DivergenceError
        If the loss is not finite. The checkpoint then holds the last good state, and the message
        names the key to change.
    """
    if checkpoint is None:
        return train(data, settings, initial)
    kept = checkpoint.read()
    try:
        return train(
            data,
            settings,
            initial,
            checkpoint=lambda state: checkpoint.write_when_due(state_to_arrays(state)),
            resume=None if kept is None else state_from_arrays(TrainingState, kept),
        )
    except TrainingDiverged as error:
        state = error.state
        checkpoint.write(state_to_arrays(state))
        # Later rounds start from the weights of the round before, with their own learning rate.
        key = "surrogate.learning_rate" if initial is None else "surrogate.refit_learning_rate"
        raise DivergenceError(
            f"the training of the surrogate diverged: {error}. Lower {key} (now "
            f"{settings.learning_rate:g}) and run again: the solves and the earlier rounds are "
            f"kept. The last good state, after {state.epoch} epochs, is kept in {checkpoint.path}. "
            "A run with the same settings continues from there, and stops again."
        ) from None
