"""What goes into a training and what an interrupted one leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from popinv.errors import ConfigError, DataError, DivergenceError, nearest

__all__ = [
    "TrainingData",
    "TrainingDiverged",
    "TrainingSettings",
    "TrainingState",
    "state_from_arrays",
    "state_to_arrays",
]

SCHEDULES = ("cosine", "plateau", "constant")


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
        Global row index, by which a row is put on the training or the validation side for good.
        0, ..., n - 1 if left out.
    """

    z: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None
    rows: np.ndarray | None = None


@dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    Parameters
    ----------
    seed, stage : int, str
        Address of every random draw: initial weights, order of the batches. The split into
        training and validation rows depends on the seed alone.
    hyperparameters : mapping
        The network, see ``networks.build_network``.
    fixed : mapping of str to ndarray, optional
        The matrices of an FNO.
    whitening : ndarray of shape (d_y, d_y), optional
        W = L^{-1}: the loss is then in units of the noise.
    logarithmic : tuple of bool, length d_z, optional
        Parameters that the network reads by their logarithms.
    learning_rate : float
        At the start.
    schedule : {"cosine", "plateau", "constant"}
        ``cosine`` falls to 0 over ``max_epochs``; ``plateau`` multiplies by ``plateau_factor``
        after each ``plateau_patience`` epochs without improvement.
    weight_decay : float
        Decoupled from the gradient (AdamW).
    relative_beyond : float, optional
        With a whitening matrix, rows whose outputs lie further from the median than so many
        median distances count by their relative error instead: the weight of a row at distance r
        is multiplied by 1 / (1 + (r / (relative_beyond median r))^2). Otherwise a single row from
        the tail of a heavy-tailed population can outweigh all others, in training and in choosing
        the best epoch.
    batch_size, max_epochs : int
    patience : int
        Stop after so many epochs without a better validation loss.
    validation_fraction : float in [0, 1)
        With 0 the training rows stand in for the validation rows.
    threads : int
        Threads of torch while training. Sums depend on it in the last digit, so it is a number
        of the study, not of the machine.
    device : {"cpu", "auto", "cuda"}
        Where to train, see :func:`popinv.surrogate.device.device_of`. A training may go on from a
        checkpoint of another device.

    Raises
    ------
    ConfigError
        For a value that is out of range.

    Notes
    -----
    The defaults come from one-dimensional porous flow (21 parameters, 50 sensors, noise with an
    exponential kernel of standard deviation 0.1 and length 0.1), where the whitened loss halves
    the error that is left, and one extreme row among 8000 raises it tenfold unless
    ``relative_beyond`` guards against it.
    """

    seed: int = 0
    stage: str = "train_surrogate"
    hyperparameters: Mapping[str, Any] = field(default_factory=lambda: {"kind": "mlp"})
    fixed: Mapping[str, np.ndarray] | None = None
    whitening: np.ndarray | None = None
    logarithmic: tuple[bool, ...] | None = None
    learning_rate: float = 5e-3
    schedule: str = "cosine"
    plateau_factor: float = 0.5
    plateau_patience: int = 10
    weight_decay: float = 0.0
    relative_beyond: float | None = 2.0
    batch_size: int = 64
    max_epochs: int = 200
    patience: int = 50
    validation_fraction: float = 0.1
    threads: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise ConfigError(
                f"schedule is '{self.schedule}', allowed: {', '.join(SCHEDULES)}."
                + nearest(self.schedule, SCHEDULES)
            )
        for name in ("batch_size", "patience", "plateau_patience", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, must be at least 1")
        for name in ("learning_rate", "plateau_factor"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, must be positive")
        for name in ("max_epochs", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, must not be negative")
        if self.relative_beyond is not None and not self.relative_beyond > 0:
            raise ConfigError(
                f"relative_beyond is {self.relative_beyond}, must be positive or left out"
            )
        if not 0 <= self.validation_fraction < 1:
            raise ConfigError(
                f"validation_fraction is {self.validation_fraction}, must lie in [0, 1)"
            )


@dataclass(frozen=True)
class TrainingState:
    """All that an epoch needs to know of the epochs before it.

    Parameters
    ----------
    weights, best_weights, first_moment, second_moment : ndarray of shape (p,)
        Current weights in one vector, those of the best validation loss, and Adam's moments.
    epoch, updates : int
        Epochs and optimiser updates done.
    learning_rate : float
        Of the plateau schedule; the others follow from ``updates``.
    best_loss, epochs_since_best : float, int
    training_loss, validation_loss, learning_rates : ndarray
        Histories: mean over the epoch's batches; after each epoch, with that of the initial
        weights first; at the end of each epoch.
    fingerprint : str
        Digest of data and settings, so that a checkpoint is not resumed with others.
    """

    weights: np.ndarray
    best_weights: np.ndarray
    first_moment: np.ndarray
    second_moment: np.ndarray
    epoch: int
    updates: int
    learning_rate: float
    best_loss: float
    epochs_since_best: int
    training_loss: np.ndarray
    validation_loss: np.ndarray
    learning_rates: np.ndarray
    fingerprint: str = ""


class TrainingDiverged(DivergenceError):
    """The loss stopped being finite; ``state`` is the last state that was good."""

    def __init__(self, message: str, state: TrainingState) -> None:
        super().__init__(message)
        self.state = state


def state_to_arrays(state: TrainingState) -> dict[str, np.ndarray]:
    """Take the state apart into arrays; the fingerprint becomes the bytes of its ASCII text."""
    arrays = {f.name: np.asarray(getattr(state, f.name)) for f in fields(state)}
    arrays["fingerprint"] = np.frombuffer(state.fingerprint.encode("ascii"), dtype=np.uint8)
    return arrays


def state_from_arrays(arrays: Mapping[str, np.ndarray]) -> TrainingState:
    """Rebuild the state that ``state_to_arrays`` took apart.

    Raises
    ------
    DataError
        If an array is missing.
    """
    missing = [f.name for f in fields(TrainingState) if f.name not in arrays]
    if missing:
        raise DataError(f"the checkpoint lacks the arrays {', '.join(missing)}")
    values: dict[str, Any] = {f.name: np.array(arrays[f.name]) for f in fields(TrainingState)}
    for name in ("epoch", "updates", "epochs_since_best"):
        values[name] = int(values[name])
    for name in ("learning_rate", "best_loss"):
        values[name] = float(values[name])
    values["fingerprint"] = values["fingerprint"].astype(np.uint8).tobytes().decode("ascii")
    return TrainingState(**values)
