"""Training a surrogate as one writes it in PyTorch.

The same network, initial weights, batches, schedule and loss as the package's, with the best
weights kept by the loss on the validation rows after each epoch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

__all__ = ["Rows", "batches_of", "data_loader", "fit", "indexed"]

Rows = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # z, y and weights, standardised
Order = Callable[[int], Sequence[np.ndarray]]


def data_loader(rows: Rows, order: Order) -> Callable[[int], Iterator[Any]]:
    """Return batches by a ``DataLoader`` over a ``TensorDataset``, with its usual collation."""
    dataset = TensorDataset(*rows)

    def epoch(number: int) -> Iterator[Any]:
        sampler = [batch.tolist() for batch in order(number)]
        return iter(DataLoader(dataset, batch_sampler=sampler))

    return epoch


def indexed(rows: Rows, order: Order) -> Callable[[int], Iterator[Any]]:
    """Return batches by indexing whole tensors, as one does when the loader is too slow."""

    def epoch(number: int) -> Iterator[Any]:
        for batch in order(number):
            index = torch.from_numpy(batch)
            yield tuple(tensor[index] for tensor in rows)

    return epoch


def batches_of(rows: int, batch_size: int, shuffle: Callable[[int], np.ndarray]) -> Order:
    """Return the batches of each epoch, nearly equal in size, from its permutation of the rows."""
    return lambda epoch: np.array_split(shuffle(epoch), math.ceil(rows / batch_size))


def fit(
    network: nn.Module,
    batches: Callable[[int], Iterator[Any]],
    validation: Rows,
    error_map: torch.Tensor | None,
    learning_rate: float,
    epochs: int,
    updates: int,
    **optimiser: Any,
) -> float:
    """Train in place and return the best loss on the validation rows.

    ``updates`` is the number of steps in all, over which the learning rate falls along a cosine;
    ``optimiser`` are further options of AdamW.
    """
    adam = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=0.0, **optimiser)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, T_max=updates)
    best, kept = math.inf, copy.deepcopy(network.state_dict())
    for epoch in range(epochs):
        network.train()
        for z, y, weights in batches(epoch):
            adam.zero_grad()
            loss = _loss(network, z, y, weights, error_map)
            loss.backward()
            adam.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            validation_loss = _loss(network, *validation, error_map).item()
        if validation_loss < best:
            best, kept = validation_loss, copy.deepcopy(network.state_dict())
    network.load_state_dict(kept)
    return best


def _loss(
    network: nn.Module,
    z: torch.Tensor,
    y: torch.Tensor,
    weights: torch.Tensor,
    error_map: torch.Tensor | None,
) -> torch.Tensor:
    answer = network(z)
    error = answer - y if error_map is None else ((answer - y) * torch.cosh(y)) @ error_map.T
    return (weights * error.square().mean(dim=1)).mean()
