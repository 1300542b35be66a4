r"""The server: truncation, weights, and the aggregation rules of four methods.

With W the dense increment of a layer, clients of ranks r_i, data shares q_i and trained factors
B_i', A_i' (all sums over the participating clients):

- FedHL     W + sum p_i (B_i' A_i' - W^{r_i}), p_i from the truncation errors;
- FlexLoRA  sum q_i B_i' A_i', which loses W - W^{r_i} in every round;
- FLoRA     W + sum q_i B_i' A_i', where clients start from base W_0 + W and factors of product
            zero; the stack of all factors is sent;
- HetLoRA   (sum q_i B_i') (sum q_i A_i') with factors padded by zeros and weights
            ~ |B_i' A_i'|_F, where clients take the first r_i columns and rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from popinv.errors import ConfigError
from popinv_papers.fedhl.lora import Adapters, Dense, LowRankFactors, products

METHODS = ("fedhl", "hetlora", "flexlora", "flora")

Decomposition = dict[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Weighting:
    r"""Weights from truncation errors, :math:`p_i \propto 1 / (\hat r_i^q + \epsilon)`.

    Parameters
    ----------
    power : {0, 1, 2}
        q of the squared norm rhat_i. 2 is eq. (15) read literally, that is, the fourth power of
        the norm. 1 follows from the Cauchy-Schwarz inequality. 0 gives equal weights.
    relative : bool
        True if epsilon is in units of the mean of rhat_i^q. Otherwise a client whose rank reaches
        the rank of W has a weight of nearly 1, if others do not reach it.
    """

    power: int = 2
    epsilon: float = 1e-6
    relative: bool = False

    def __post_init__(self) -> None:
        if self.power not in (0, 1, 2):
            raise ConfigError(f"power is {self.power}, allowed: 0, 1, 2")
        if not self.epsilon > 0:
            raise ConfigError(f"epsilon is {self.epsilon}, must be positive")


def decompose(increments: Dense) -> Decomposition:
    """Return the singular value decompositions of all layers."""
    return {name: tuple(torch.linalg.svd(w, full_matrices=False)) for name, w in increments.items()}


def squared_truncation_errors(decomposition: Decomposition, ranks: Sequence[int]) -> np.ndarray:
    r"""Return :math:`\hat r_i = \sum_{j > r_i} \sigma_j^2`, summed over layers (eq. 8), (k,)."""
    errors = np.zeros(len(ranks))
    for _, s, _ in decomposition.values():
        tails = np.append(np.cumsum((s.double() ** 2).numpy()[::-1])[::-1], 0.0)
        errors += tails[np.minimum(ranks, len(s))]
    return errors


def aggregation_weights(errors: np.ndarray, weighting: Weighting) -> np.ndarray:
    """Return the weights (eq. 15), shape (k,), sum 1; equal if nothing was truncated."""
    powers = errors**weighting.power
    epsilon = weighting.epsilon * (powers.mean() if weighting.relative else 1.0)
    if epsilon == 0:
        return np.full(len(errors), 1 / len(errors))
    # The errors are relative to the smallest, so that no reciprocal overflows.
    shifted = powers + epsilon
    weights = shifted.min() / shifted
    return weights / weights.sum()


def norm_weights(trained: Adapters) -> np.ndarray:
    """Return HetLoRA's weights ~ |B_i A_i|_F over all layers; equal if all are zero."""
    squares = sum((p.double() ** 2).sum(dim=(1, 2)) for p in products(trained).values())
    norms = torch.as_tensor(squares).sqrt().numpy()
    return norms / norms.sum() if norms.sum() > 0 else np.full(len(norms), 1 / len(norms))


def entropy(weights: np.ndarray) -> float:
    """Return the weights' relative entropy: 1 if they are equal, 0 if one client decides."""
    if len(weights) == 1:
        return 1.0
    some = weights[weights > 0]
    return float(-(some * np.log(some)).sum() / np.log(len(weights)))


def residuals(increments: Dense, sent: Dense) -> Dense:
    """Return E_i = W - W^{r_i} of every layer, shape (k, m, n)."""
    return {name: w - sent[name] for name, w in increments.items()}


def weighted_changes(increments: Dense, sent: Dense, trained: Dense, weights: np.ndarray) -> Dense:
    """Return W + sum p_i (B_i' A_i' - W^{r_i}); W itself, to the last bit, if nobody trained."""
    return {
        name: w + torch.einsum("k,kmn->mn", _like(weights, w), trained[name] - sent[name])
        for name, w in increments.items()
    }


def weighted_products(trained: Dense, weights: np.ndarray) -> Dense:
    """Return sum q_i B_i' A_i'."""
    return {
        name: torch.einsum("k,kmn->mn", _like(weights, each), each)
        for name, each in trained.items()
    }


def factor_mean(trained: Adapters, weights: np.ndarray) -> Adapters:
    """Return (sum q_i B_i', sum q_i A_i') of every layer, stacks of one."""
    return {
        name: LowRankFactors(
            torch.einsum("k,kmr->mr", _like(weights, f.b), f.b)[None],
            torch.einsum("k,krn->rn", _like(weights, f.a), f.a)[None],
        )
        for name, f in trained.items()
    }


def _like(weights: np.ndarray, tensor: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(weights).to(tensor.dtype)


def round_bytes(
    method: str,
    shapes: Mapping[str, tuple[int, int]],
    ranks: Sequence[int],
    clients: int,
    number: int,
    dense_download: bool = False,
) -> int:
    """Return the bytes that a round transfers, to the clients and from them.

    A participating client of rank r_i receives and returns r_i (m + n) numbers per layer, with r_i
    at most min(m, n), of ``number`` bytes each. FLoRA sends the stack of the participants' factors
    to every client of the federation, since each client merges them into its base. It sends nothing
    else to clients. With a dense download W is sent in full, m n numbers per layer, for residuals
    that stay with clients.
    """
    total = 0
    for m, n in shapes.values():
        factors = sum(min(rank, m, n) for rank in ranks) * (m + n)
        if method == "flora":
            down = clients * factors
        elif dense_download:
            down = len(ranks) * m * n
        else:
            down = factors
        total += factors + down
    return total * number
