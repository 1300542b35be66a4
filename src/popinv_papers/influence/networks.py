"""Networks of the test problem that also return the features before the last layer."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, layer_norm

from popinv_papers.influence.influence import Flat, Losses
from popinv_papers.kit.training import attention

PADDING = 0
"""The token that fills passages up, and that no loss counts."""


class Perceptron(nn.Module):
    """Hidden layers with tanh and a linear last layer; without hidden layers, a linear model."""

    def __init__(self, d_in: int, d_out: int, width: int = 32, depth: int = 1) -> None:
        super().__init__()
        sizes = [d_in] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.head = nn.Linear(sizes[-1], d_out)

    def forward(self, x: Tensor, features: bool = False) -> Tensor:
        """Map (n, d_in) to (n, d_out), or to the last hidden layer (n, width)."""
        for layer in self.hidden:
            x = torch.tanh(layer(x))
        return x if features else self.head(x)


class CausalBlock(nn.Module):
    """Causal attention and a perceptron, each with normalisation and a residual connection."""

    mask: Tensor

    def __init__(self, width: int, heads: int, length: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.register_buffer("mask", torch.triu(torch.ones(length, length, dtype=torch.bool), 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, T, width) to the same shape."""
        _, length, width = x.shape
        query, key, value = self.attention_in(layer_norm(x, (width,))).split(width, dim=-1)
        heard = attention(query, key, value, self.heads, self.mask[:length, :length])
        x = x + self.attention_out(heard)
        return x + self.down(torch.nn.functional.gelu(self.up(layer_norm(x, (width,)))))


class Transformer(nn.Module):
    """A causal transformer from tokens to the logits of the tokens that follow.

    There are ``vocabulary`` different tokens, and sequences of at most ``length``.
    """

    def __init__(
        self, vocabulary: int, length: int, width: int = 32, heads: int = 2, layers: int = 2
    ) -> None:
        super().__init__()
        self.width = width
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(CausalBlock(width, heads, length) for _ in range(layers))
        self.head = nn.Linear(width, vocabulary)

    def first_blocks(self, count: int) -> Transformer:
        """Return a copy with the first blocks alone, and no head, as the released code cuts it."""
        cut = copy.deepcopy(self)
        cut.blocks = cut.blocks[:count]
        cut.head = nn.Identity()  # type: ignore[assignment]
        return cut

    def forward(self, tokens: Tensor, features: bool = False) -> Tensor:
        """Map tokens (n, T) to logits (n, T, vocabulary), or to the states before the head."""
        x = self.tokens(tokens) + self.places.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        x = layer_norm(x, (self.width,))
        return x if features else self.head(x)


def classification_losses(flat: Flat) -> Losses:
    """Return the cross-entropies of a classifier, as a function of theta, inputs and classes."""

    def losses(theta: Tensor, *samples: Tensor) -> Tensor:
        *inputs, y = samples
        return cross_entropy(flat(theta, *inputs), y, reduction="none")

    return losses


def language_losses(flat: Flat) -> Losses:
    """Return each text's mean cross-entropy of the next token, as a function of theta, tokens.

    Padding is not counted.
    """

    def losses(theta: Tensor, tokens: Tensor) -> Tensor:
        logits = flat(theta, tokens[:, :-1])
        each = cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
        told = (tokens[:, 1:] != PADDING).to(each.dtype)
        return (each * told).sum(dim=1) / told.sum(dim=1)

    return losses


def position_weighted(states: Tensor, told: Tensor) -> Tensor:
    """Return the mean of states (n, T, h) with weights that grow with the position, (n, h).

    This is the representation of RDS+ (Ivison et al., arXiv 2503.01807). In a causal model late
    states depend on more tokens. ``told`` (n, T) is false for padding.
    """
    weights = torch.arange(1, states.shape[1] + 1, dtype=states.dtype) * told
    return torch.einsum("nt,nth->nh", weights / weights.sum(dim=1, keepdim=True), states)
