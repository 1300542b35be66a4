"""Solved systems are withdrawn from the surrogate's training: which ones, and for how many epochs.

The surrogate never sees the observed systems; what it learns from are solves at parameters drawn
from the law. A solve may have to go too: its parameters belong to somebody, or it was wrong. The
surrogate is trained afresh on all solves, and again without a few; fine-tuning the first on the
others has forgotten them once its error on them is that of the second. Both see the same batches,
in which solves that are left out weigh nothing, so that nothing else tells them apart at first;
but training amplifies what little does. A third training, on all solves in other batches, says by
how much two errors differ for nothing.

Training is Adam's, to which the losses of ``renyi`` do not apply as bounds: they rank the solves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn.utils import vector_to_parameters
from tqdm import tqdm

from popinv.downstream.instance_unlearning.forgetting import quantile_groups
from popinv.downstream.instance_unlearning.renyi import instance_loss
from popinv.errors import DataError
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

__all__ = ["SolveWithdrawal", "privacy_losses", "row_norms", "withdraw_solves"]

_RECORDS = 6
_ORDER = 8


@dataclass(frozen=True)
class SolveWithdrawal:
    """A group of solves that was withdrawn.

    Attributes
    ----------
    rows : ndarray of int
        Among the rows to train on.
    loss : float
        Their mean loss.
    trained, rerun : float
        Root mean loss on them, as training weighs it (in standard deviations of the noise, or of
        the outputs), after training with them and without them.
    error : ndarray of shape (epochs + 1,)
        Along fine-tuning.
    epochs : int
        Until the error is the rerun's, or larger, up to the tolerance: zero where training without
        the group does no worse on it. All of them if it never is.
    reached : bool
    """

    rows: np.ndarray
    loss: float
    trained: float
    rerun: float
    error: np.ndarray
    epochs: int
    reached: bool


def row_norms(problem: TrainingProblem, weights: np.ndarray) -> np.ndarray:
    """Return the norm of each training row's gradient, its weight included, shape (n,)."""
    z, y, row_weights = problem.training
    parameters = list(problem.network.parameters())
    vector_to_parameters(torch.from_numpy(weights).clone().to(z.device), parameters)
    found = np.empty(len(z))
    for row in range(len(z)):
        one = slice(row, row + 1)
        gradients = torch.autograd.grad(
            loss_of(problem, z[one], y[one], row_weights[one]), parameters
        )
        found[row] = sum(float(g.square().sum()) for g in gradients) ** 0.5
    return found


def privacy_losses(norms: np.ndarray, epochs: int, batch: int) -> np.ndarray:
    """Return P(x, 8) of every row from the records of one training, with nominal noise.

    Adam has no noise of its own: the largest gradient stands for its deviation.

    Parameters
    ----------
    norms : ndarray of shape (records, n)
    epochs, batch : int
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
    """Return the root mean loss on some of the rows to train on, those left out included."""
    vector_to_parameters(
        torch.from_numpy(state.weights).clone().to(rows.device),
        list(problem.network.parameters()),
    )
    with torch.no_grad():
        return float(loss_of(problem, *(part[rows] for part in problem.training)).sqrt())


def withdraw_solves(
    data: TrainingData,
    settings: TrainingSettings,
    rate: float,
    size: int,
    groups: int = 3,
    tolerance: float = 0.05,
) -> tuple[list[SolveWithdrawal], np.ndarray, float]:
    """Withdraw the easiest, middling and hardest solves, one group at a time.

    Parameters
    ----------
    data, settings : TrainingData, TrainingSettings
        Training afresh; all of its epochs are made.
    rate : float
        Learning rate of fine-tuning, which lasts as many epochs as training at most.
    size, groups : int
        Solves of a group, and groups.
    tolerance : float
        Of the error on the group, relative to the rerun's.

    Returns
    -------
    list of SolveWithdrawal
        From the lowest loss to the highest.
    losses : ndarray of shape (n,)
        Of all rows that are trained on.
    spread : float
        Relative standard deviation of the error on a group between trainings that differ in their
        batches alone, over all groups.

    Raises
    ------
    DataError
        If there are too few rows.
    """
    norms: list[np.ndarray] = []
    problem = prepare(data, settings)
    state = _trained(problem, settings, norms)
    z, y, weights = problem.training
    if size * groups > len(z) // 2:
        raise DataError(
            f"downstream.instance_unlearning.solves is {size}, but {groups} groups of so many "
            f"are more than half of the {len(z)} solves that are trained on"
        )
    losses = privacy_losses(np.array(norms), settings.max_epochs, settings.batch_size)
    tuned = replace(settings, learning_rate=rate, schedule="constant", stage="forget_solves")
    chosen = [torch.from_numpy(rows).to(z.device) for rows in quantile_groups(losses, size, groups)]
    # The same initial weights and units: prepared anew, since training moves the network.
    other = _trained(prepare(data, settings), replace(settings, stage=f"{settings.stage}/other"))
    ratios = [_error_on(problem, state, rows) / _error_on(problem, other, rows) for rows in chosen]
    spread = float(np.sqrt(np.mean(np.square(np.log(ratios))) / 2))
    found = []
    for index in tqdm(chosen, desc="solves", disable=None):
        kept = weights.clone()
        kept[index] = 0.0
        first = prepare(data, settings)
        without = _trained(replace(first, training=(z, y, kept)), settings)
        wanted = _error_on(problem, without, index)
        going = replace(
            state, epoch=0, updates=0,
            first_moment=np.zeros_like(state.weights), second_moment=np.zeros_like(state.weights),
        )  # fmt: skip
        error = [_error_on(problem, going, index)]
        left = replace(problem, training=(z, y, kept))
        while error[-1] < (1 - tolerance) * wanted and going.epoch < settings.max_epochs:
            going, _ = step(going, left, tuned)
            error.append(_error_on(problem, going, index))
        rows = index.cpu().numpy()
        found.append(SolveWithdrawal(
            rows, float(losses[rows].mean()), error[0], wanted, np.array(error), len(error) - 1,
            error[-1] >= (1 - tolerance) * wanted,
        ))  # fmt: skip
    return found, losses, spread
