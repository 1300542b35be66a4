r"""Clients: divisions of data among them, their local training, and ranks that they lower.

A division is an array of row numbers for every client; together they hold every row once. The
factors of all clients of a round are trained together.

Clients of HetLoRA lower their own ranks. Cho et al. (arXiv 2401.06432) let a client of rank r add
to its loss the penalty

.. math:: \lambda \, |B_{:, s:}|_F \, |A_{s:, :}|_F, \qquad s = \lfloor \gamma r \rfloor,

with the norms of the last columns and rows. If the product of both norms is smaller after the local
training than before it, the client keeps only the first s columns and rows, in this round and in
all that follow. The rule is known to us from summaries and independent implementations. The sum of
the products over layers, and the default strength, are a reconstruction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from popinv.errors import ConfigError
from popinv.optimisation.adam import adam
from popinv.seeds import generator
from popinv_papers.fedhl.lora import (
    Adapters,
    Dense,
    LowRankFactors,
    ModuleLoss,
    factor_gradients,
    products,
)


def homogeneous(count: int, clients: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Divide rows at random into parts of nearly equal size."""
    _enough(count, clients)
    return [np.sort(part) for part in np.array_split(rng.permutation(count), clients)]


def dirichlet(
    labels: np.ndarray, clients: int, concentration: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Divide each class by shares from a symmetric Dirichlet law.

    The smaller the concentration, the fewer clients hold most of a class; infinity divides every
    class equally. A client without rows gets one from the client that then has most.

    Raises
    ------
    ConfigError
        If the concentration is not positive, or there are fewer rows than clients.
    """
    _enough(len(labels), clients)
    if not concentration > 0:
        raise ConfigError(f"concentration is {concentration}, must be positive")
    if np.isinf(concentration):
        return homogeneous(len(labels), clients, rng)
    parts: list[list[int]] = [[] for _ in range(clients)]
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        shares = rng.dirichlet(np.full(clients, concentration))
        if not np.isfinite(shares).all():
            # If the concentration is so small that all shares round to zero, one client gets the
            # class.
            shares = np.eye(clients)[rng.integers(clients)]
        cuts = np.round(np.cumsum(shares)[:-1] * len(rows)).astype(int)
        for part, piece in zip(parts, np.split(rows, cuts), strict=True):
            part.extend(piece)
    for part in parts:
        if not part:
            part.append(max(parts, key=len).pop())
    return [np.sort(np.array(part, dtype=int)) for part in parts]


def site_wise(sites: np.ndarray) -> list[np.ndarray]:
    """Divide rows by their site, with sites in increasing order."""
    return [np.flatnonzero(sites == site) for site in np.unique(sites)]


def _enough(count: int, clients: int) -> None:
    if not 1 <= clients <= count:
        raise ConfigError(f"{clients} clients, must be from 1 to the number of rows, {count}")


@dataclass(frozen=True)
class Pruning:
    """Settings of the pruning.

    ``decay`` is gamma, from 0 to 1: the share of its rank that a client keeps when it prunes.
    ``strength`` is lambda, at least 0.
    """

    decay: float = 0.99
    strength: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.decay < 1:
            raise ConfigError(f"decay is {self.decay}, must be above 0 and below 1")
        if not self.strength >= 0:
            raise ConfigError(f"strength is {self.strength}, must be at least 0")

    def lowered(self, ranks: np.ndarray) -> np.ndarray:
        """Return the ranks that clients have after they prune, at least 1."""
        return np.maximum(1, np.floor(self.decay * ranks).astype(int))


def leading(factors: LowRankFactors, ranks: np.ndarray) -> LowRankFactors:
    """Return the first r_i columns of B and rows of A for every client, with zeros elsewhere."""
    kept = torch.arange(factors.b.shape[2]) < torch.from_numpy(np.asarray(ranks))[:, None]
    return LowRankFactors(factors.b * kept[:, None, :], factors.a * kept[:, :, None])


def _tails(
    adapters: Adapters, ranks: np.ndarray, pruning: Pruning
) -> Iterator[tuple[str, LowRankFactors]]:
    """Yield each layer's factors without the first s columns and rows."""
    for name, f in adapters.items():
        kept = leading(f, pruning.lowered(ranks))
        yield name, LowRankFactors(f.b - kept.b, f.a - kept.a)


def tail_norms(adapters: Adapters, ranks: np.ndarray, pruning: Pruning) -> np.ndarray:
    """Return the product of the norms of what a client would prune, summed over layers, (k,)."""
    each = [
        torch.linalg.norm(tail.b, dim=(1, 2)) * torch.linalg.norm(tail.a, dim=(1, 2))
        for _, tail in _tails(adapters, ranks, pruning)
    ]
    return np.asarray(torch.stack(each).sum(dim=0).double())


def penalty_gradients(adapters: Adapters, ranks: np.ndarray, pruning: Pruning) -> Adapters:
    """Return the gradients of the penalty; a norm of zero has the gradient zero."""
    found = {}
    for name, tail in _tails(adapters, ranks, pruning):
        b, a = (torch.linalg.norm(part, dim=(1, 2))[:, None, None] for part in (tail.b, tail.a))
        tiny = torch.finfo(b.dtype).tiny
        found[name] = LowRankFactors(
            pruning.strength * a * tail.b / b.clamp(min=tiny),
            pruning.strength * b * tail.a / a.clamp(min=tiny),
        )
    return found


def pruned_ranks(
    before: Adapters, after: Adapters, ranks: np.ndarray, pruning: Pruning
) -> np.ndarray:
    """Return the clients' ranks after a local training, (k,)."""
    falls = tail_norms(after, ranks, pruning) < tail_norms(before, ranks, pruning)
    return np.where(falls, pruning.lowered(ranks), ranks)


# Maps increments (k, m, n) of the participating clients, their numbers, the round and the local
# step to the gradients of their losses, (k, m, n) each.
Gradient = Callable[[Dense, np.ndarray, int, int], Dense]


def minibatches(
    loss: ModuleLoss,
    x: torch.Tensor,
    target: torch.Tensor,
    parts: Sequence[np.ndarray],
    batch: int,
    seed: int,
    stage: str,
) -> Gradient:
    """Return the gradients of clients' losses on rows drawn from their own parts.

    Rows are drawn with repetition, since some clients have few. The address of the draws is (seed,
    stage). The draws of a client do not depend on the other clients.
    """

    def gradient(dense: Dense, clients: np.ndarray, number: int, step: int) -> Dense:
        rows = []
        for client in clients:
            rng = generator(seed, f"{stage}/batch/{client}/{step}", number)
            rows.append(parts[client][rng.integers(len(parts[client]), size=batch)])
        chosen = torch.from_numpy(np.array(rows))
        return loss.gradients(dense, x[chosen], target[chosen])

    return gradient


@dataclass(frozen=True)
class Local:
    """Settings of the local training in a round. Adam restarts in every round."""

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
    penalty: Callable[[Adapters], Adapters] | None = None,
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
    penalty : callable, optional
        Maps factors to gradients that are added to the losses' gradients.
    """
    moments: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for step in range(local.steps):
        dense = products(adapters)
        if offset is not None:
            dense = {name: d + offset[name] for name, d in dense.items()}
        slopes = factor_gradients(adapters, gradient(dense, taking_part, number, step))
        if penalty is not None:
            more = penalty(adapters)
            slopes = {
                n: LowRankFactors(g.b + more[n].b, g.a + more[n].a) for n, g in slopes.items()
            }
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
            moved[name] = LowRankFactors(*pair)
        adapters = moved
    return adapters
