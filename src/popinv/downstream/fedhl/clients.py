"""Local training of the factors of all clients of a round together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from popinv.downstream.fedhl.lora import Adapters, Dense, Factors, factor_gradients, products
from popinv.errors import ConfigError
from popinv.optimisation.adam import adam

__all__ = ["Gradient", "Local", "sample_clients", "train"]

# Maps increments (k, m, n) of the participating clients, their numbers, the round and the local
# step to the gradients of their losses, (k, m, n) each.
Gradient = Callable[[Dense, np.ndarray, int, int], Dense]


@dataclass(frozen=True)
class Local:
    """Settings of the local training in a round.

    Parameters
    ----------
    steps : int
        Number of steps, at least 0.
    rate : float
        Learning rate on effective factors.
    optimiser : {"sgd", "adam"}
        Adam restarts in every round.
    """

    steps: int
    rate: float
    optimiser: Literal["sgd", "adam"] = "sgd"


def sample_clients(clients: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return the numbers of the clients that participate in a round, ascending.

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
        Factors from which the clients start, stacked.
    offset : dict of Tensor, optional
        Added to the frozen base in addition to B A, (k, m, n) or (m, n).
    gradient : callable
    taking_part : ndarray of int, shape (k,)
        Numbers of the clients.
    number : int
        Number of the round.
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
                    # Zero wherever all slopes were zero, so padding stays zero.
                    slope, moments[key] = mean / root, (first, second)
                pair.append(value - local.rate * slope)
            moved[name] = Factors(*pair)
        adapters = moved
    return adapters
