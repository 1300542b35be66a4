"""The settings of a training, and the state that an interrupted one leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict

from popinv.errors import DivergenceError
from popinv.sections.base import Positive
from popinv.surrogate.section import TrainingLimits


@dataclass(frozen=True)
class TrainingData:
    """Solved rows.

    Parameters
    ----------
    z : ndarray of shape (n, d_z)
    y : ndarray of shape (n, d_y)
        Finite: rows of failed solves are left out beforehand.
    weights : ndarray of shape (n,), optional
        How much each row counts, see ``design.recency_weights``; any scale. Equal if left out.
    rows : ndarray of int, shape (n,), optional
        Global row index, which assigns a row permanently to training or to validation. 0, ..., n -
        1 if left out.
    newest : ndarray of bool, shape (n,), optional
        The rows of the newest round. If enough of them are held out, they alone validate, as the
        tail of an earlier and broader round would choose the best epoch otherwise. All rows if
        left out.
    """

    z: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None
    rows: np.ndarray | None = None
    newest: np.ndarray | None = None


class TrainingSettings(TrainingLimits):
    """The settings of a training, from the section ``surrogate`` and from the study.

    Parameters
    ----------
    seed, stage : int, str
        Address of every random draw: initial weights, order of the batches. The split into
        training and validation rows depends on the seed alone.
    hyperparameters : mapping
        The network, see ``networks.build_network``.
    whitening : ndarray of shape (d_y, d_y), optional
        W = L^{-1}: the loss is then in units of the noise.
    logarithmic : tuple of bool, length d_z, optional
        Parameters that the network reads by their logarithms.
    schedule : {"cosine", "constant"}
        ``cosine`` falls to 0 over ``max_epochs``.
    relative_beyond : float, optional
        With a whitening matrix, rows whose outputs lie more than ``relative_beyond`` median
        distances from the median count by their relative error: the weight of a row at distance r
        is multiplied by 1 / (1 + (r / (relative_beyond median r))^2). Otherwise a single row from
        the tail of a heavy-tailed population can outweigh all others, in training and in choosing
        the best epoch.
    random : bool
        Whether the solves are of a random simulator, whose answers have a mean and a covariance
        (:mod:`popinv.surrogate.mean_and_factor`).
    device : {"cpu", "auto", "cuda"}
        The device, see :func:`popinv.surrogate.device.device_of`. A training may go on from a
        checkpoint of another device.

    Raises
    ------
    pydantic.ValidationError
        For a value that is out of range.

    Notes
    -----
    The defaults come from a random field on a line (21 parameters, 50 sensors, noise with an
    exponential kernel of standard deviation 0.1 and length 0.1), where the whitened loss halves
    the error that is left, and one extreme row among 8000 raises it tenfold unless
    ``relative_beyond`` guards against it.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    seed: int = 0
    stage: str = "train_surrogate"
    hyperparameters: Mapping[str, Any] = {}
    whitening: np.ndarray | None = None
    logarithmic: tuple[bool, ...] | None = None
    schedule: Literal["cosine", "constant"] = "cosine"
    relative_beyond: Positive | None = 2.0
    random: bool = False
    device: str = "cpu"


@dataclass(frozen=True)
class TrainingState:
    """The state of a training after some epochs, from which it can continue.

    Parameters
    ----------
    weights, best_weights, first_moment, second_moment : ndarray of shape (p,)
        Current weights in one vector, the weights of the best validation loss, and Adam's moments.
    epoch, updates : int
        Epochs and optimiser updates done.
    best_loss, epochs_since_best : float, int
    training_loss, validation_loss, learning_rates : ndarray
        Histories: the mean over the epoch's batches; the loss after each epoch, with the loss of
        the initial weights first; the rate at the end of each epoch.
    fingerprint : str
        Digest of data and settings, so that a checkpoint is resumed only with the same ones.
    """

    weights: np.ndarray
    best_weights: np.ndarray
    first_moment: np.ndarray
    second_moment: np.ndarray
    epoch: int
    updates: int
    best_loss: float
    epochs_since_best: int
    training_loss: np.ndarray
    validation_loss: np.ndarray
    learning_rates: np.ndarray
    fingerprint: str = ""


class TrainingDiverged(DivergenceError):
    """The loss is not finite; ``state`` is the last good state."""

    def __init__(self, message: str, state: TrainingState) -> None:
        super().__init__(message)
        self.state = state
