"""Withdrawal of solves from the surrogate's training, and the number of epochs to forget them.

The surrogate is trained on solves at parameters drawn from the law, not on the observed systems. A
solve may have to be withdrawn, for example because its parameters belong to somebody or because it
was wrong. The surrogate is trained anew on all solves, and again without a few. Fine-tuning the
first surrogate on the remaining solves has forgotten the few once its error on them equals the
second's. Both trainings see the same batches, in which withdrawn solves have weight zero, so they
have no other difference at first; but training amplifies small differences. A third training, on
all solves in other batches, measures the difference of two errors without a withdrawal.

Training uses Adam. The losses of ``renyi`` are no bounds for it, but they rank the solves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from tqdm import tqdm

from popinv.errors import DataError
from popinv.methods.invariants import Invariant, held
from popinv.surrogate.training import (
    TrainingData,
    TrainingProblem,
    TrainingSettings,
    TrainingState,
    initial_state,
    prepare,
    step,
)
from popinv.surrogate.training_problem import loss_of
from popinv_papers.instance_unlearning.difficulty import quantile_groups
from popinv_papers.instance_unlearning.renyi import instance_loss
from popinv_papers.kit.training import fill

_RECORDS = 6
_ORDER = 8
# Groups of withdrawn solves: the easiest, the middling and the hardest.
_GROUPS = 3
# Of the error on a group, relative to the second training.
_TOLERANCE = 0.05


@dataclass(frozen=True)
class SolveWithdrawal:
    """A group of withdrawn solves.

    Attributes
    ----------
    rows : ndarray of int
        Their row numbers in the training data.
    trained, rerun : float
        Root mean loss on them, weighted as in training (in noise standard deviations, or of
        the outputs), after training with them and without them.
    error : ndarray of shape (epochs + 1,)
        The same loss along fine-tuning.
    epochs : int
        Number of epochs until the error reaches the second training's error, up to the
        tolerance: zero if training with the group gives no lower error on it, all epochs if it is
        never reached.
    """

    rows: np.ndarray
    trained: float
    rerun: float
    error: np.ndarray
    epochs: int
    reached: bool


def row_norms(problem: TrainingProblem, weights: np.ndarray) -> np.ndarray:
    """Return the norm of each training row's weighted gradient, shape (n,)."""
    z, y, row_weights = problem.training
    parameters = fill(problem.network, torch.from_numpy(weights).clone().to(z.device))
    norms = np.empty(len(z))
    for row in range(len(z)):
        one = slice(row, row + 1)
        gradients = torch.autograd.grad(
            loss_of(problem, z[one], y[one], row_weights[one]), parameters
        )
        norms[row] = sum(float(g.square().sum()) for g in gradients) ** 0.5
    return norms


def privacy_losses(norms: np.ndarray, epochs: int, batch: int) -> np.ndarray:
    """Return P(x, 8) of every row from the norms (records, n) of one training, with nominal noise.

    Adam has no noise of its own, so the largest gradient is used as the noise's deviation.
    """
    records, count = norms.shape
    batches = max(1, round(count / batch))
    edges = np.linspace(0, epochs * batches, records + 1).round().astype(int)
    share = min(1.0, batch / count)
    return instance_loss(norms[None], np.diff(edges), share, float(norms.max()), _ORDER)


def _trained(
    problem: TrainingProblem, settings: TrainingSettings, record: list[np.ndarray] | None = None
) -> TrainingState:
    state = initial_state(problem, settings)
    at = np.linspace(0, settings.max_epochs, _RECORDS, endpoint=False).round().astype(int)
    for epoch in range(settings.max_epochs):
        if record is not None and epoch in at:
            record.append(row_norms(problem, state.weights))
        state, _ = step(state, problem, settings)
    return state


def _error_on(problem: TrainingProblem, state: TrainingState, rows: torch.Tensor) -> float:
    """Return the root mean loss on some training rows, including those left out."""
    fill(problem.network, torch.from_numpy(state.weights).clone().to(rows.device))
    with torch.no_grad():
        return float(loss_of(problem, *(part[rows] for part in problem.training)).sqrt())


def nothing_withdrawn(data: TrainingData, settings: TrainingSettings) -> Invariant:
    """Check that a training without no solve goes as one with all, for an epoch."""
    weights = []
    for gone in (None, np.array([], dtype=int)):
        problem = prepare(data, settings)
        if gone is not None:
            problem = _without(problem, torch.from_numpy(gone))
        weights.append(step(initial_state(problem, settings), problem, settings)[0].weights)
    return held(
        "no_solve_withdrawn",
        "no solve withdrawn: change of the network's weights after an epoch",
        float(np.abs(weights[0] - weights[1]).max()),
        0.0,
    )


def _without(problem: TrainingProblem, rows: torch.Tensor) -> TrainingProblem:
    """Return the problem in which some training rows weigh nothing."""
    z, y, weights = problem.training
    kept = weights.clone()
    kept[rows] = 0.0
    return replace(problem, training=(z, y, kept))


def withdraw_solves(
    data: TrainingData, settings: TrainingSettings, rate: float, size: int
) -> tuple[list[SolveWithdrawal], np.ndarray, float]:
    """Withdraw the easiest, middling and hardest solves, one group at a time.

    Parameters
    ----------
    settings : TrainingSettings
        Of the training, which runs all of its epochs.
    rate : float
        Learning rate of fine-tuning, which lasts at most as many epochs as training.
    size : int
        Solves in a group.

    Returns
    -------
    list of SolveWithdrawal
        From the lowest loss to the highest.
    losses : ndarray of shape (n,)
        Losses of all training rows.
    spread : float
        Relative standard deviation of the error on a group between trainings that differ only in
        their batches, over all groups.

    Raises
    ------
    DataError
        If there are too few rows.
    """
    norms: list[np.ndarray] = []
    problem = prepare(data, settings)
    state = _trained(problem, settings, norms)
    z = problem.training[0]
    if size * _GROUPS > len(z) // 2:
        raise DataError(
            f"downstream.instance_unlearning.solves is {size}, but {_GROUPS} groups of this "
            f"size are more than half of the {len(z)} solves that are trained on"
        )
    losses = privacy_losses(np.array(norms), settings.max_epochs, settings.batch_size)
    tuned = settings.replace(learning_rate=rate, schedule="constant", stage="forget_solves")
    chosen = [
        torch.from_numpy(rows).to(z.device) for rows in quantile_groups(losses, size, _GROUPS)
    ]
    # The same initial weights and units: prepared anew, since training moves the network.
    other = _trained(prepare(data, settings), settings.replace(stage=f"{settings.stage}/other"))
    ratios = [_error_on(problem, state, rows) / _error_on(problem, other, rows) for rows in chosen]
    spread = float(np.sqrt(np.mean(np.square(np.log(ratios))) / 2))
    withdrawals = []
    for index in tqdm(chosen, desc="solves", disable=None):
        without = _trained(_without(prepare(data, settings), index), settings)
        wanted = _error_on(problem, without, index)
        enough = (1 - _TOLERANCE) * wanted
        going = replace(
            state,
            epoch=0,
            updates=0,
            first_moment=np.zeros_like(state.weights),
            second_moment=np.zeros_like(state.weights),
        )
        error = [_error_on(problem, going, index)]
        left = _without(problem, index)
        while error[-1] < enough and going.epoch < settings.max_epochs:
            going, _ = step(going, left, tuned)
            error.append(_error_on(problem, going, index))
        rows = index.cpu().numpy()
        withdrawals.append(
            SolveWithdrawal(
                rows, error[0], wanted, np.array(error), len(error) - 1, error[-1] >= enough
            )
        )
    return withdrawals, losses, spread
