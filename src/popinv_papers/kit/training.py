"""What networks and trainings share: attention, weights as one vector, the rows of a minibatch.

``torch.nn.utils.vector_to_parameters`` takes what it needs from the front of a longer vector and
drops the rest without a word, so that weights of one network can end up in another one of fewer
outputs. Here the vector must have the size of the network.
"""

from __future__ import annotations

import copy
import math
from typing import TypeVar

import numpy as np
from torch import Tensor, nn
from torch.nn.utils import vector_to_parameters

from popinv.seeds import generator

Network = TypeVar("Network", bound=nn.Module)


def attention(query: Tensor, key: Tensor, value: Tensor, heads: int, hidden: Tensor) -> Tensor:
    """Return what tokens hear of each other, shape (n, T, width) of the arguments.

    ``hidden`` is true for keys that a query does not hear. The formula is written out, since the
    fused kernel has no derivative in forward mode.
    """
    count, length, width = query.shape
    query, key, value = (
        part.view(count, length, heads, -1).transpose(1, 2) for part in (query, key, value)
    )
    scores = query @ key.transpose(-1, -2) / math.sqrt(width / heads)
    shares = scores.masked_fill(hidden, -math.inf).softmax(dim=-1)
    return (shares @ value).transpose(1, 2).reshape(count, length, width)


def fill(network: nn.Module, weights: Tensor) -> list[nn.Parameter]:
    """Give a network these weights, shape (d,), and return its parameters.

    The parameters are views of the vector from then on.

    Raises
    ------
    ValueError
        If the network has more weights than these, or fewer.

    Examples
    --------
    >>> import torch
    >>> fill(nn.Linear(1, 1), torch.tensor([2.0, 3.0]))[1].item()
    3.0
    >>> fill(nn.Linear(1, 1), torch.tensor([2.0, 3.0, 4.0]))
    Traceback (most recent call last):
        ...
    ValueError: 3 weights were given to a network that has 2
    """
    parameters = list(network.parameters())
    count = sum(parameter.numel() for parameter in parameters)
    if weights.numel() != count:
        raise ValueError(f"{weights.numel()} weights were given to a network that has {count}")
    vector_to_parameters(weights, parameters)
    return parameters


def filled(network: Network, weights: Tensor) -> Network:
    """Return a copy of a network with these weights; see :func:`fill`."""
    own = copy.deepcopy(network)
    fill(own, weights.detach().clone())
    return own


def epoch_rows(
    count: int, size: int, number: int, seed: int, stage: str, whole: bool = False
) -> np.ndarray:
    """Return the rows of a minibatch, whose number is counted through all epochs.

    Each epoch has an order of its own, which is a function of the epoch, so that a training can go
    on anywhere.

    Parameters
    ----------
    count, size : int
        Rows of an epoch and of a batch.
    seed, stage : int, str
        Address of the orders.
    whole : bool
        True leaves out the rows that do not fill a batch; else the last batch has fewer.

    Examples
    --------
    >>> [len(epoch_rows(5, 2, number, 0, "orders")) for number in range(4)]
    [2, 2, 1, 2]
    """
    batches = count // size if whole else -(-count // size)
    epoch, place = divmod(number, batches)
    order = generator(seed, stage, epoch).permutation(count)
    return order[place * size : (place + 1) * size]
