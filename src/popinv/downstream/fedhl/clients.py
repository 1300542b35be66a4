"""What the clients do: train their factors, all of a round at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from popinv.downstream.adam import adam
from popinv.downstream.fedhl.lora import Adapters, Dense, Factors, factor_gradients, products
from popinv.errors import ConfigError

__all__ = ["Gradient", "Local", "sample_clients", "train"]

# Maps increments (k, m, n) of the clients that take part, their numbers, the round and the local
# step to the gradients of their losses, (k, m, n) each.
Gradient = Callable[[Dense, np.ndarray, int, int], Dense]


@dataclass(frozen=True)
class Local:
    """Local training in a round.

    Parameters
    ----------
    steps : int
        From 0 on.
    rate : float
        Learning rate on effective factors.
    optimiser : {"sgd", "adam"}
        Adam starts anew in every round.
    """

    steps: int
    rate: float
    optimiser: Literal["sgd", "adam"] = "sgd"


def sample_clients(clients: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return the numbers of the clients that take part in a round, increasing.

    Raises
    ------
    ConfigError
        If the share is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ConfigError(f"share of clients is {share}, must be above 0 and at most 1")
    count = max(1, round(share * clients))
    return np.sort(rng.choice(clients, count, replace=False))


def train(
    adapters: Adapters,
    offset: Dense | None,
    gradient: Gradient,
    taking_part: np.ndarray,
    number: int,
    local: Local,
) -> Adapters:
    """Return the factors after local training.

    Parameters
    ----------
    adapters : Adapters
        Factors that the clients start from, stacked.
    offset : dict of Tensor, optional
        What is added to the frozen base beside B A, (k, m, n) or (m, n).
    gradient : callable
    taking_part : ndarray of int, shape (k,)
        Numbers of the clients.
    number : int
        Of the round.
    local : Local
    """
    moments: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for step in range(local.steps):
        dense = products(adapters)
        if offset is not None:
            dense = {name: d + offset[name] for name, d in dense.items()}
        slopes = factor_gradients(adapters, gradient(dense, taking_part, number, step))
        moved: Adapters = {}
        for name, f in adapters.items():
            pair = []
            for part, value in (("b", f.b), ("a", f.a)):
                slope = getattr(slopes[name], part)
                if local.optimiser == "adam":
                    key = f"{name}/{part}"
                    zero = torch.zeros_like(slope)
                    first, second, mean, root = adam(
                        slope, *moments.get(key, (zero, zero)), step + 1
                    )
                    # Zero wherever all slopes were zero: padding stays so.
                    slope, moments[key] = mean / root, (first, second)
                pair.append(value - local.rate * slope)
            moved[name] = Factors(*pair)
        adapters = moved
    return adapters
