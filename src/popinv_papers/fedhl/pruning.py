r"""Clients of HetLoRA that lower their own ranks.

Cho et al. (arXiv 2401.06432) let a client of rank r add to its loss the penalty

.. math:: \lambda \, |B_{:, s:}|_F \, |A_{s:, :}|_F, \qquad s = \lfloor \gamma r \rfloor,

with the norms of the last columns and rows. If the product of both norms is smaller after the local
training than before it, the client keeps only the first s columns and rows, in this round and in
all that follow. The rule is known to us from summaries and independent implementations. The sum of
the products over layers, and the default strength, are a reconstruction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from popinv.errors import ConfigError
from popinv_papers.fedhl.lora import Adapters, Factors


@dataclass(frozen=True)
class Pruning:
    """Settings of the pruning.

    Parameters
    ----------
    decay : float
        gamma, from 0 to 1: the share of its rank that a client keeps when it prunes.
    strength : float
        lambda, at least 0.
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


def leading(factors: Factors, ranks: np.ndarray) -> Factors:
    """Return the first r_i columns of B and rows of A for every client, with zeros elsewhere."""
    kept = torch.arange(factors.b.shape[2]) < torch.from_numpy(np.asarray(ranks))[:, None]
    return Factors(factors.b * kept[:, None, :], factors.a * kept[:, :, None])


def _tails(
    adapters: Adapters, ranks: np.ndarray, pruning: Pruning
) -> Iterator[tuple[str, Factors]]:
    """Yield each layer's factors without the first s columns and rows."""
    for name, f in adapters.items():
        kept = leading(f, pruning.lowered(ranks))
        yield name, Factors(f.b - kept.b, f.a - kept.a)


def tail_norms(adapters: Adapters, ranks: np.ndarray, pruning: Pruning) -> np.ndarray:
    """Return the product of the norms of what a client would prune, summed over layers, (k,)."""
    products = [
        torch.linalg.norm(tail.b, dim=(1, 2)) * torch.linalg.norm(tail.a, dim=(1, 2))
        for _, tail in _tails(adapters, ranks, pruning)
    ]
    return np.asarray(torch.stack(products).sum(dim=0).double())


def penalty_gradients(adapters: Adapters, ranks: np.ndarray, pruning: Pruning) -> Adapters:
    """Return the gradients of the penalty; a norm of zero has the gradient zero."""
    found = {}
    for name, tail in _tails(adapters, ranks, pruning):
        b, a = (torch.linalg.norm(part, dim=(1, 2))[:, None, None] for part in (tail.b, tail.a))
        tiny = torch.finfo(b.dtype).tiny
        found[name] = Factors(
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
