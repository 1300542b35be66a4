"""Fitting a surrogate: one epoch as a pure step, and the loop around it.

:mod:`popinv.surrogate.training_problem` defines the objective. A training that was interrupted and
resumed from a checkpoint gives the same weights bit for bit as one that was not.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from tqdm import tqdm

from popinv.errors import DataError, DivergenceError
from popinv.late import torch
from popinv.seeds import generator
from popinv.store.checkpoints import Checkpoint, state_from_arrays, state_to_arrays
from popinv.surrogate.trained_network import Surrogate
from popinv.surrogate.training_problem import (
    TrainingProblem,
    loss_and_gradient,
    prepare,
    validation_loss_of,
    validation_mask,
)
from popinv.surrogate.training_state import (
    TrainingData,
    TrainingDiverged,
    TrainingSettings,
    TrainingState,
)
from popinv.threads import fixed_threads

__all__ = [
    "TrainingData",
    "TrainingDiverged",
    "TrainingProblem",
    "TrainingSettings",
    "TrainingState",
    "finished",
    "initial_state",
    "prepare",
    "step",
    "train",
    "train_resumably",
    "validation_mask",
]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


def initial_state(problem: TrainingProblem, settings: TrainingSettings) -> TrainingState:
    """State before the first epoch, from the weights of the problem's network."""
    weights = parameters_to_vector(problem.network.parameters()).detach().cpu().numpy().copy()
    loss = validation_loss_of(problem)
    return TrainingState(
        weights=weights,
        best_weights=weights,
        first_moment=np.zeros_like(weights),
        second_moment=np.zeros_like(weights),
        epoch=0,
        updates=0,
        best_loss=loss if math.isfinite(loss) else math.inf,
        epochs_since_best=0,
        training_loss=np.empty(0),
        validation_loss=np.array([loss]),
        learning_rates=np.empty(0),
        fingerprint=problem.fingerprint,
    )


def step(
    state: TrainingState, problem: TrainingProblem, settings: TrainingSettings
) -> tuple[TrainingState, dict[str, float]]:
    """Train for one epoch: every training row once, in the order of (seed, stage, epoch).

    Adam (Kingma and Ba, ICLR 2015), on all weights as one vector.

    Returns
    -------
    state : TrainingState
        A new one; the given one is not changed.
    info : dict
        training_loss, validation_loss, learning_rate of the epoch.

    Raises
    ------
    TrainingDiverged
        If a loss is not finite. Holds ``state`` as it was given.
    """
    z, y, row_weights = problem.training
    parameters = list(problem.network.parameters())
    # A clone by torch always has the same alignment, on which a product's last digit may depend.
    weights, m, v = (
        torch.from_numpy(a).clone().to(z.device)
        for a in (state.weights, state.first_moment, state.second_moment)
    )
    vector_to_parameters(weights, parameters)  # the parameters are views of ``weights`` from here
    order = generator(settings.seed, f"{settings.stage}/batches", state.epoch).permutation(len(z))
    index = torch.from_numpy(order).to(z.device)
    count = math.ceil(len(z) / settings.batch_size)
    last = max(1, settings.max_epochs * count)
    updates, total, rate = state.updates, 0.0, settings.learning_rate
    shuffled = (rows[index].tensor_split(count) for rows in (z, y, row_weights))
    for batch in zip(*shuffled, strict=True):
        value, gradient = loss_and_gradient(problem, *batch)
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"the training loss is {value} in epoch {state.epoch + 1}, at a learning_rate of "
                f"{rate:.3g}; the best validation loss so far is {state.best_loss:.4g}",
                state,
            )
        total += value * len(batch[0])
        if settings.schedule == "cosine":
            rate = 0.5 * settings.learning_rate * (1 + math.cos(math.pi * updates / last))
        updates += 1
        m.mul_(BETA_1).add_(gradient, alpha=1 - BETA_1)
        v.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
        root = (v / (1 - BETA_2**updates)).sqrt_().add_(EPSILON)
        weights.addcdiv_(m, root, value=-rate / (1 - BETA_1**updates))
    training_loss, validation_loss = total / len(z), validation_loss_of(problem)
    if not math.isfinite(validation_loss):
        raise TrainingDiverged(
            f"the validation loss is {validation_loss} after epoch {state.epoch + 1}, at a "
            f"learning_rate of {rate:.3g}; the best so far is {state.best_loss:.4g}",
            state,
        )
    better = validation_loss < state.best_loss
    new = TrainingState(
        weights=weights.cpu().numpy(),
        best_weights=weights.cpu().numpy() if better else state.best_weights,
        first_moment=m.cpu().numpy(),
        second_moment=v.cpu().numpy(),
        epoch=state.epoch + 1,
        updates=updates,
        best_loss=validation_loss if better else state.best_loss,
        epochs_since_best=0 if better else state.epochs_since_best + 1,
        training_loss=np.append(state.training_loss, training_loss),
        validation_loss=np.append(state.validation_loss, validation_loss),
        learning_rates=np.append(state.learning_rates, rate),
        fingerprint=state.fingerprint,
    )
    losses = {"training_loss": training_loss, "validation_loss": validation_loss}
    return new, {**losses, "learning_rate": rate}


def finished(state: TrainingState, settings: TrainingSettings) -> bool:
    """Return whether the epochs are used up or the validation loss has stopped falling."""
    return state.epoch >= settings.max_epochs or state.epochs_since_best >= settings.patience


def train(
    data: TrainingData,
    settings: TrainingSettings,
    initial: Surrogate | None = None,
    checkpoint: Callable[[TrainingState], None] | None = None,
    resume: TrainingState | None = None,
    progress: bool = True,
) -> tuple[Surrogate, dict[str, np.ndarray]]:
    """Fit a surrogate and return the one with the best validation loss.

    Parameters
    ----------
    data, settings : TrainingData, TrainingSettings
    initial : Surrogate, optional
        Warm start: go on from its weights, with fresh moments and a fresh schedule. Its
        standardisation is kept, so that the function it computes is the same to the last bit.
    checkpoint : callable, optional
        Given the state after every epoch.
    resume : TrainingState, optional
        A checkpoint of the same call (same data, settings and ``initial``).
    progress : bool
        Show a bar on standard error, if that is a terminal.

    Returns
    -------
    surrogate : Surrogate
        Its network is on the processor, wherever it was trained.
    history : dict of str to ndarray
        ``training_loss`` and ``learning_rate`` per epoch; ``validation_loss``, whose first entry
        belongs to the initial weights.

    Raises
    ------
    DataError
        If the data cannot be used, or ``resume`` is of another training.
    ConfigError
        If the network does not exist or differs from the network of ``initial``.
    TrainingDiverged
        If the loss is not finite; a ``DivergenceError`` that holds the last good state.
    """
    with fixed_threads():
        problem = prepare(data, settings, initial)
        state = initial_state(problem, settings) if resume is None else resume
        if state.fingerprint != problem.fingerprint:
            raise DataError("the checkpoint is of a training with other data or settings")
        bar = tqdm(
            total=settings.max_epochs,
            initial=state.epoch,
            desc="train surrogate",
            unit="epoch",
            file=sys.stderr,
            disable=None if progress else True,
        )
        with bar:
            while not finished(state, settings):
                state, info = step(state, problem, settings)
                bar.set_postfix(loss=info["validation_loss"], best=state.best_loss)
                bar.update()
                if checkpoint is not None:
                    checkpoint(state)
    network = problem.network.cpu()
    vector_to_parameters(torch.from_numpy(state.best_weights).clone(), network.parameters())
    surrogate = Surrogate(network, problem.standardisation, dict(settings.hyperparameters))
    history = {
        "training_loss": state.training_loss,
        "validation_loss": state.validation_loss,
        "learning_rate": state.learning_rates,
    }
    return surrogate, history


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
        As for :func:`train`.
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
