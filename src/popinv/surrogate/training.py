"""Fitting a surrogate: one epoch as a pure step, and the loop around it.

The loss of a row is the squared error of its standardised outputs or, with a whitening matrix
W = L^{-1} of the noise covariance L L^T, the squared error in standard deviations of the noise,

    loss_i = |W (F_hat(z_i) - F(z_i))|^2 / d_y

(to first order in the error of the standardised outputs), and the objective is the mean of loss_i
under the row weights (times the weight of ``TrainingSettings.relative_beyond`` against rows from
the tail of the population). A training that was interrupted and resumed from a checkpoint gives
the same weights bit for bit as one that was not.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from tqdm import tqdm

from popinv.errors import ConfigError, DataError
from popinv.seeds import generator
from popinv.surrogate.networks import Surrogate, build_network
from popinv.surrogate.standardisation import Standardisation
from popinv.surrogate.training_state import (
    TrainingData,
    TrainingDiverged,
    TrainingSettings,
    TrainingState,
    state_from_arrays,
    state_to_arrays,
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
    "state_from_arrays",
    "state_to_arrays",
    "step",
    "train",
    "validation_mask",
]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class TrainingProblem:
    """Data and settings made ready: standardised tensors and a network to compute in.

    ``training`` and ``validation`` hold z, y and weights of mean 1; ``error_map`` takes an error
    of scaled outputs (y - mean) / scale to the whitened error (which is taken to first order);
    without it, the error of the standardised outputs counts.
    """

    network: nn.Module
    standardisation: Standardisation
    training: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    validation: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    error_map: torch.Tensor | None
    fingerprint: str


def validation_mask(rows: np.ndarray, seed: int, fraction: float) -> np.ndarray:
    """Mark the rows that validate: a function of (seed, row) alone, whatever rows join.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    draws = [generator(seed, "surrogate/split", int(row)).random() for row in rows]
    return np.array(draws) < fraction


def prepare(
    data: TrainingData, settings: TrainingSettings, initial: Surrogate | None = None
) -> TrainingProblem:
    """Check and standardise the data and build the network, with its initial weights.

    Raises
    ------
    DataError
        If shapes do not agree, a number is not finite, or no row is left to train on.
    ConfigError
        If the network is not that of ``initial``, or cannot be built.
    """
    z, y = np.asarray(data.z, dtype=float), np.asarray(data.y, dtype=float)
    n = len(z)
    weights = np.ones(n) if data.weights is None else np.asarray(data.weights, dtype=float)
    rows = np.arange(n) if data.rows is None else np.asarray(data.rows)
    if z.ndim != 2 or y.ndim != 2 or not n == len(y) == len(weights) == len(rows):
        raise DataError(
            f"z {z.shape}, y {y.shape}, weights {weights.shape} and rows {rows.shape} do not agree"
        )
    bad = ~(np.isfinite(z).all(1) & np.isfinite(y).all(1) & np.isfinite(weights) & (weights >= 0))
    if bad.any():
        raise DataError(
            f"{bad.sum()} of {n} training rows hold a number that is not finite or a negative "
            f"weight, the first is row {rows[bad][0]}; leave failed solves out"
        )
    held_out = validation_mask(rows, settings.seed, settings.validation_fraction)
    held_out &= weights > 0
    kept = ~held_out & (weights > 0)
    if not kept.any():
        raise DataError(f"no row is left to train on: {n} rows, {held_out.sum()} of them held out")
    if not held_out.any():
        held_out = kept

    if initial is None:
        # torch draws initial weights from its global generator: borrow it and put it back.
        with torch.random.fork_rng(devices=[]):
            draw = generator(settings.seed, f"{settings.stage}/weights").integers(2**63)
            torch.manual_seed(int(draw))
            network = build_network(
                settings.hyperparameters, z.shape[1], y.shape[1], settings.fixed
            )
        evaluation = None if settings.fixed is None else settings.fixed.get("evaluation")
        common = getattr(network, "fixed_readout", False)
        standardisation = Standardisation.from_data(
            z[kept], y[kept], weights[kept], evaluation, common, settings.logarithmic
        )
    else:
        if dict(settings.hyperparameters) != dict(initial.hyperparameters):
            raise ConfigError(
                f"the network to start from is {dict(initial.hyperparameters)}, the one asked "
                f"for {dict(settings.hyperparameters)}: start afresh to change it"
            )
        network, standardisation = copy.deepcopy(initial.network), initial.standardisation
    network.requires_grad_(True)
    dtype = next(network.parameters()).dtype
    s = standardisation
    if z.shape[1] != len(s.input_mean) or y.shape[1] != len(s.output_mean):
        raise DataError(f"z {z.shape} and y {y.shape} do not fit the network to start from")
    error_map = None
    if settings.whitening is not None:
        if settings.whitening.shape != (y.shape[1], y.shape[1]):
            raise ConfigError(
                f"whitening is {settings.whitening.shape} for {y.shape[1]} observations"
            )
        error_map = torch.as_tensor(settings.whitening * s.output_scale, dtype=dtype)
    # Standardised outputs have no tail to guard against.
    if settings.relative_beyond is not None and settings.whitening is not None:
        distance = np.linalg.norm((y - s.output_mean) @ settings.whitening.T, axis=1)
        usual = settings.relative_beyond * np.median(distance[kept])
        if usual > 0:
            weights = weights / (1 + np.square(distance / usual))

    def side(mask: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        arrays = (
            s.standard_inputs(z[mask]),
            s.standard_outputs(y[mask]),
            weights[mask] / weights[mask].mean(),
        )
        a, b, c = (torch.as_tensor(array, dtype=dtype) for array in arrays)
        return a, b, c

    return TrainingProblem(
        network,
        standardisation,
        side(kept),
        side(held_out),
        error_map,
        _fingerprint((z, y, weights, rows), settings, network, standardisation),
    )


def _fingerprint(
    arrays: tuple[np.ndarray, ...],
    settings: TrainingSettings,
    network: nn.Module,
    standardisation: Standardisation,
) -> str:
    plain = {k: v for k, v in vars(settings).items() if k not in ("fixed", "whitening")}
    plain["hyperparameters"] = dict(settings.hyperparameters)
    del plain["checkpoint_every"]
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode())
    whitening = () if settings.whitening is None else (settings.whitening,)
    # The matrices of an FNO are in its state, next to the initial weights.
    inside = [tensor.detach().numpy() for tensor in network.state_dict().values()]
    for array in (*arrays, *whitening, *asdict(standardisation).values(), *inside):
        digest.update(str((array.shape, array.dtype)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def initial_state(problem: TrainingProblem, settings: TrainingSettings) -> TrainingState:
    """State before the first epoch, from the weights of the problem's network."""
    weights = parameters_to_vector(problem.network.parameters()).detach().numpy().copy()
    loss = _validation_loss(problem)
    return TrainingState(
        weights=weights,
        best_weights=weights,
        first_moment=np.zeros_like(weights),
        second_moment=np.zeros_like(weights),
        epoch=0,
        updates=0,
        learning_rate=settings.learning_rate,
        best_loss=loss if math.isfinite(loss) else math.inf,
        epochs_since_best=0,
        training_loss=np.empty(0),
        validation_loss=np.array([loss]),
        learning_rates=np.empty(0),
        fingerprint=problem.fingerprint,
    )


def _loss(
    problem: TrainingProblem, z: torch.Tensor, y: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    answer = problem.network(z)
    if problem.error_map is None:
        error = answer - y
    else:
        # d sinh(y) = cosh(y) dy: the error in scaled outputs to first order. The difference of
        # the sinh themselves lets one far answer overflow, and its tail drowns the rest.
        error = ((answer - y) * torch.cosh(y)) @ problem.error_map.T
    return (weights * error.square().mean(dim=1)).mean()


def _validation_loss(problem: TrainingProblem) -> float:
    total = 0.0
    with torch.no_grad():
        for part in zip(*(a.split(1024) for a in problem.validation), strict=True):
            total += _loss(problem, *part).item() * len(part[0])
    return total / len(problem.validation[0])


def step(
    state: TrainingState, problem: TrainingProblem, settings: TrainingSettings
) -> tuple[TrainingState, dict[str, float]]:
    """Train for one epoch: every training row once, in the order of (seed, stage, epoch).

    Adam (Kingma and Ba, ICLR 2015) with decoupled weight decay (Loshchilov and Hutter, ICLR
    2019), on all weights as one vector.

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
    # Cloned by torch, so always aligned alike: a product's last digit may depend on alignment.
    weights, m, v = (
        torch.from_numpy(a).clone()
        for a in (state.weights, state.first_moment, state.second_moment)
    )
    vector_to_parameters(weights, parameters)  # the parameters are views of ``weights`` from here
    order = generator(settings.seed, f"{settings.stage}/batches", state.epoch).permutation(len(z))
    batches = np.array_split(order, math.ceil(len(z) / settings.batch_size))
    last = max(1, settings.max_epochs * len(batches))
    updates, total, rate = state.updates, 0.0, state.learning_rate
    for batch in batches:
        index = torch.from_numpy(batch)
        loss = _loss(problem, z[index], y[index], row_weights[index])
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"the training loss is {value} in epoch {state.epoch + 1}, at a learning_rate of "
                f"{rate:.3g}; the best validation loss so far is {state.best_loss:.4g}",
                state,
            )
        total += value * len(batch)
        gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, parameters)])
        if settings.schedule == "cosine":
            rate = 0.5 * settings.learning_rate * (1 + math.cos(math.pi * updates / last))
        updates += 1
        m.mul_(BETA_1).add_(gradient, alpha=1 - BETA_1)
        v.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
        root = (v / (1 - BETA_2**updates)).sqrt_().add_(EPSILON)
        if settings.weight_decay > 0:
            weights.mul_(1 - rate * settings.weight_decay)
        weights.addcdiv_(m, root, value=-rate / (1 - BETA_1**updates))
    training_loss, validation_loss = total / len(z), _validation_loss(problem)
    if not math.isfinite(validation_loss):
        raise TrainingDiverged(
            f"the validation loss is {validation_loss} after epoch {state.epoch + 1}, at a "
            f"learning_rate of {rate:.3g}; the best so far is {state.best_loss:.4g}",
            state,
        )
    better = validation_loss < state.best_loss
    since_best = 0 if better else state.epochs_since_best + 1
    next_rate = state.learning_rate
    waited = since_best > 0 and since_best % settings.plateau_patience == 0
    if settings.schedule == "plateau" and waited:
        next_rate *= settings.plateau_factor
    new = TrainingState(
        weights=weights.numpy(),
        best_weights=weights.numpy() if better else state.best_weights,
        first_moment=m.numpy(),
        second_moment=v.numpy(),
        epoch=state.epoch + 1,
        updates=updates,
        learning_rate=next_rate,
        best_loss=validation_loss if better else state.best_loss,
        epochs_since_best=since_best,
        training_loss=np.append(state.training_loss, training_loss),
        validation_loss=np.append(state.validation_loss, validation_loss),
        learning_rates=np.append(state.learning_rates, rate),
        fingerprint=state.fingerprint,
    )
    losses = {"training_loss": training_loss, "validation_loss": validation_loss}
    return new, {**losses, "learning_rate": rate}


def finished(state: TrainingState, settings: TrainingSettings) -> bool:
    """Tell whether the epochs are used up or the validation loss has stopped falling."""
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
        standardisation is kept, so that the function it computes is the same to the last bit
        (an FNO could not absorb a change of mean in its pointwise layers).
    checkpoint : callable, optional
        Given the state every ``settings.checkpoint_every`` epochs.
    resume : TrainingState, optional
        A checkpoint of the same call (same data, settings and ``initial``).
    progress : bool
        Show a bar on standard error, if that is a terminal.

    Returns
    -------
    surrogate : Surrogate
    history : dict of str to ndarray
        ``training_loss`` and ``learning_rate`` per epoch; ``validation_loss`` with that of the
        initial weights first.

    Raises
    ------
    DataError
        If the data cannot be used, or ``resume`` is of another training.
    ConfigError
        If the network does not exist or is not that of ``initial``.
    TrainingDiverged
        If the loss is not finite; a ``DivergenceError`` that holds the last good state.
    """
    with fixed_threads(settings.threads):
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
                if checkpoint is not None and state.epoch % settings.checkpoint_every == 0:
                    checkpoint(state)
    vector_to_parameters(torch.from_numpy(state.best_weights).clone(), problem.network.parameters())
    surrogate = Surrogate(problem.network, problem.standardisation, dict(settings.hyperparameters))
    history = {
        "training_loss": state.training_loss,
        "validation_loss": state.validation_loss,
        "learning_rate": state.learning_rates,
    }
    return surrogate, history
