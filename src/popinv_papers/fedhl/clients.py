"""Local training of the factors of all clients of a round together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from popinv.errors import ConfigError
from popinv.optimisation.adam import adam
from popinv_papers.fedhl.lora import Adapters, Dense, Factors, factor_gradients, products
from popinv_papers.fedhl.pruning import Pruning, penalty_gradients

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
    alpha : float, optional
        Numerator of the usual scale s = alpha / r of a client's B A. None is the scale 1. On the
        effective factors that are used here, descent has s times the rate and Adam sqrt(s) times,
        and a fresh A is sqrt(s) times as large.
    """

    steps: int
    rate: float
    optimiser: Literal["sgd", "adam"] = "sgd"
    alpha: float | None = None

    def __post_init__(self) -> None:
        if self.alpha is not None and not self.alpha > 0:
            raise ConfigError(f"alpha is {self.alpha}, must be positive, or None for the scale 1")

    def scales(self, ranks: np.ndarray) -> np.ndarray:
        """Return the scale of B A of clients of these ranks, (k,)."""
        return np.ones(len(ranks)) if self.alpha is None else self.alpha / np.asarray(ranks)


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
    ranks: np.ndarray | None = None,
    pruning: Pruning | None = None,
) -> Adapters:
    """Return the factors after local training.

    Parameters
    ----------
    adapters : Adapters
        Factors from which the clients start, stacked.
    offset : dict of Tensor, optional
        Added to the frozen base in addition to B A, (k, m, n) or (m, n).
    taking_part : ndarray of int, shape (k,)
        Numbers of the clients.
    number : int
        Number of the round.
    ranks : ndarray of int, shape (k,), optional
        Ranks of the clients, for their scales and for pruning.
    pruning : Pruning, optional
        Adds its penalty to the losses. It needs the ranks, and so does ``local.alpha``.
    """
    if ranks is None and (pruning is not None or local.alpha is not None):
        raise ConfigError("pruning and alpha need the ranks of the clients: give ranks")
    if ranks is None:
        rates: float | torch.Tensor = local.rate
    else:
        power = 0.5 if local.optimiser == "adam" else 1.0
        dtype = next(iter(adapters.values())).b.dtype
        scaled = local.rate * local.scales(ranks) ** power
        rates = torch.from_numpy(scaled).to(dtype)[:, None, None]
    moments: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for step in range(local.steps):
        dense = products(adapters)
        if offset is not None:
            dense = {name: d + offset[name] for name, d in dense.items()}
        slopes = factor_gradients(adapters, gradient(dense, taking_part, number, step))
        if pruning is not None and ranks is not None:
            more = penalty_gradients(adapters, ranks, pruning)
            slopes = {n: Factors(g.b + more[n].b, g.a + more[n].a) for n, g in slopes.items()}
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
                pair.append(value - rates * slope)
            moved[name] = Factors(*pair)
        adapters = moved
    return adapters
