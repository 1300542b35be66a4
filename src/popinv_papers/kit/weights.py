"""The weights of a network as one vector, whose size has to be that of the network.

``torch.nn.utils.vector_to_parameters`` takes what it needs from the front of a longer vector and
drops the rest without a word, so that weights of one network can end up in another one of fewer
outputs.
"""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import Tensor, nn
from torch.nn.utils import vector_to_parameters

Network = TypeVar("Network", bound=nn.Module)


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
