r"""Low-rank factors of the weights of any torch module.

A weight w of shape (m, ...) is read as a matrix of m rows and gets an increment B A, with B of
shape (m, r) and A of shape (r, n). Clients are stacked along a first axis and padded to the largest
rank: columns of B and rows of A beyond a client's rank are zero. Since

.. math:: \partial_B = G A^T, \qquad \partial_A = B^T G, \qquad G = \partial f / \partial (B A),

both gradients vanish there, so the padding stays zero and has no effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

# By layer: increments of shape (m, n), or (k, m, n) for k clients.
Dense = dict[str, torch.Tensor]

# A singular value below this share of the largest is a rounded zero.
_ZERO = {torch.float32: 1e-6, torch.float64: 1e-13}


@dataclass(frozen=True)
class LowRankFactors:
    """Factors of one layer: B (k, m, r) and A (k, r, n)."""

    b: torch.Tensor
    a: torch.Tensor

    def product(self) -> torch.Tensor:
        """Return B A, shape (k, m, n)."""
        return self.b @ self.a


Adapters = dict[str, LowRankFactors]


def products(adapters: Adapters) -> Dense:
    """Return B A of every layer, each of shape (k, m, n)."""
    return {name: factors.product() for name, factors in adapters.items()}


def shapes_of(module: nn.Module) -> dict[str, tuple[int, int]]:
    """Return the shapes (m, n) of the module's weights with at least two axes."""
    return {
        name: (len(parameter), parameter[0].numel())
        for name, parameter in module.named_parameters()
        if parameter.ndim >= 2
    }


def fresh(
    shape: tuple[int, int],
    ranks: Sequence[int],
    rngs: Sequence[np.random.Generator],
    dtype: torch.dtype,
) -> LowRankFactors:
    """Return factors whose product is zero: A (n columns) normal of variance 1/n, B (m rows) zero.

    Each client has a generator of its own; clients that start equally have equal ones.
    """
    m, n = shape
    a = torch.zeros(len(ranks), max(ranks), n, dtype=dtype)
    for row, rank, rng in zip(a, ranks, rngs, strict=True):
        row[:rank] = torch.from_numpy(rng.standard_normal((rank, n)) / np.sqrt(n)).to(dtype)
    return LowRankFactors(torch.zeros(len(ranks), m, max(ranks), dtype=dtype), a)


def truncated(
    u: torch.Tensor, s: torch.Tensor, vh: torch.Tensor, empty: LowRankFactors, ranks: Sequence[int]
) -> LowRankFactors:
    r"""Return :math:`B = U_r S_r^{1/2}, A = S_r^{1/2} V_r^T`, the best approximation of rank r.

    They are from the singular value decomposition of an (m, n) matrix. If the matrix has fewer
    singular values, a column of B and a row of A would both be zero and could never be trained. The
    row of ``empty``, from :func:`fresh`, then replaces them, which adds nothing.
    """
    b, a = torch.zeros_like(empty.b), empty.a.clone()
    known = int((s > _ZERO[s.dtype] * s[0]).sum()) if s[0] > 0 else 0
    root = s[:known].sqrt()
    for i, rank in enumerate(ranks):
        kept = min(rank, known)
        b[i, :, :kept] = u[:, :kept] * root[:kept]
        a[i, :kept] = root[:kept, None] * vh[:kept]
    return LowRankFactors(b, a)


def factor_gradients(adapters: Adapters, gradients: Mapping[str, torch.Tensor]) -> Adapters:
    """Return the gradients G A^T and B^T G of the factors from their product's gradient G."""
    return {
        name: LowRankFactors(gradients[name] @ f.a.mT, f.b.mT @ gradients[name])
        for name, f in adapters.items()
    }


def apply(module: nn.Module, increments: Mapping[str, torch.Tensor], x: torch.Tensor) -> Any:
    """Return module(x) with the increments (m, n) added to its weights, without changing it."""
    weights = dict(module.named_parameters())
    changed = {name: weights[name] + d.view_as(weights[name]) for name, d in increments.items()}
    return functional_call(module, changed, (x,))


class ModuleLoss:
    """Loss of a module with increments, and its gradients for many clients at once.

    The module is the frozen base W_0, and must not depend on other rows of the batch. The loss maps
    (output, target) to a number.
    """

    def __init__(
        self, module: nn.Module, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> None:
        self.module, self.loss = module.requires_grad_(False), loss

    def value(self, increments: Dense, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of one set of increments."""
        return self.loss(apply(self.module, increments, x), target)

    def gradients(self, increments: Dense, x: torch.Tensor, target: torch.Tensor) -> Dense:
        """Return the gradients of k clients' increments, each (k, m, n).

        The rows of x and of the target are by client, (k, batch, ...).
        """
        return vmap(grad(self.value))(increments, x, target)
