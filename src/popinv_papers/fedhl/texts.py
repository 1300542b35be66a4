r"""Kinds of texts that a pretrained encoder learns to tell apart: a foundation model's problem.

The encoder is MiniLM. As in BERT, a linear head reads the state of the first token, [CLS], after
the last block, standardised by means and deviations over some unlabelled texts. The last block's
value matrix and the head are adapted; all else is fixed. Then the shares of attention
:math:`a_{h,t}` of the first token are fixed too, and what head h hears is
:math:`W_{v,h} \sum_t a_{h,t} x_t`. A text is therefore stored as the first token's state before the
block, and the mean of the tokens' states as each head weighs them.

Passages are runs of whole sentences. A text with all its passages is on one side only.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from popinv.errors import DataError
from popinv.seeds import generator
from popinv_papers.fedhl.accuracies import Labelled
from popinv_papers.kit.encoder import Block, pretrained_encoder, tokenised
from popinv_papers.kit.kept import kept
from popinv_papers.kit.text import Found

_HEADS, _AT_ONCE = 12, 64
ADAPTED = ("block.value.weight", "head.weight")
# Share of a kind's texts for validation, and share of the others for the test.
_VALIDATION, _TEST = 0.2, 0.3
_FEWEST_TEXTS = 4


@dataclass(frozen=True)
class Passages:
    """Longest passage in words and in tokens, and how many passages are drawn from each kind."""

    words: int = 44
    length: int = 56
    of_kind: int = 160


class FirstToken(nn.Module):
    """A block's output for the first token, and a linear head on it without a bias.

    The block is copied. ``known`` (n, 1 + heads, width) are texts of whose outputs the head's input
    has mean 0 and deviation 1.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, block: Block, classes: int, known: Tensor | None = None) -> None:
        super().__init__()
        self.block = copy.deepcopy(block)
        self.head = nn.Linear(block.query.in_features, classes, bias=False)
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            deviation, mean = (
                (torch.ones(()), torch.zeros(()))
                if known is None
                else torch.std_mean(self.state(known), dim=0)
            )
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def heard(self, states: Tensor, told: Tensor) -> Tensor:
        """Return the first state, and all states as each head weighs them, (n, 1 + heads, width).

        The states before the block are (n, T, width); ``told`` (n, T) is true for tokens, false for
        padding.
        """
        count, _, width = states.shape
        by_head = (_HEADS, width // _HEADS, width)
        query = self.block.query(states[:, 0]).view(count, *by_head[:2]) / math.sqrt(by_head[1])
        # The key's bias adds the same to all scores.
        asked = torch.einsum("nhd,hdc->nhc", query, self.block.key.weight.view(by_head))
        scores = (asked @ states.mT).masked_fill(~told[:, None], -math.inf)
        return torch.cat([states[:, :1], scores.softmax(dim=-1) @ states], dim=1)

    def state(self, x: Tensor) -> Tensor:
        """Map what :meth:`heard` returns to the block's output for the first token, (n, width)."""
        first, weighed = x[:, 0], x[:, 1:]
        by_head = self.block.value.weight.view(_HEADS, -1, first.shape[1])
        value = torch.einsum("nhc,hdc->nhd", weighed, by_head).flatten(1) + self.block.value.bias
        between = self.block.norm(first + self.block.out(value))
        return self.block.last_norm(between + self.block.down(gelu(self.block.up(between))))

    def forward(self, x: Tensor) -> Tensor:
        """Map what :meth:`heard` returns to logits (n, classes)."""
        return self.head((self.state(x) - self.mean) / self.deviation)


@dataclass(frozen=True)
class Bank:
    """Encoded passages with their kinds, texts and sides.

    Attributes
    ----------
    x : Tensor of shape (n, 1 + heads, width)
    labels, text : ndarray of shape (n,)
        Numbers of the kinds, and names of the texts.
    validation : ndarray of bool, shape (n,)
        True for passages of the texts that no seed trains on or tests with.
    module : FirstToken
        The block with a head for the kinds, not to be changed.
    """

    x: Tensor
    labels: np.ndarray
    text: np.ndarray
    validation: np.ndarray
    module: FirstToken
    kinds: tuple[str, ...]


def bank(name: str, found: Found, weights: Path, size: Passages, seed: int) -> Bank:
    """Draw as many passages of each kind, and encode them up to the last block.

    Raises
    ------
    DataError
        If a kind has fewer than four texts among the drawn passages.
    """
    rows = []
    for number, (kind, passages) in enumerate(found.items()):
        rng = generator(seed, f"fedhl/{name}/{kind}")
        drawn = [passages[i] for i in rng.permutation(len(passages))[: size.of_kind]]
        names = np.unique([text for text, _ in drawn])
        if len(names) < _FEWEST_TEXTS:
            raise DataError(
                f"{name}: the passages of '{kind}' are from {len(names)} texts, must be from at "
                f"least {_FEWEST_TEXTS}"
            )
        held = set(rng.permutation(names)[: max(1, round(_VALIDATION * len(names)))])
        rows += [(text, words, number, text in held) for text, words in drawn]
    text, words, labels, validation = zip(*rows, strict=True)
    encoder = pretrained_encoder(weights)
    block = encoder.blocks[-1]
    assert isinstance(block, Block)
    unadapted = FirstToken(block, len(found))

    def encoded() -> dict[str, np.ndarray]:
        ids = tokenised(weights, words, size.length)
        with torch.no_grad():
            parts = [unadapted.heard(encoder(part, -1), part != 0) for part in ids.split(_AT_ONCE)]
        return {"x": torch.cat(parts).numpy()}

    x = torch.from_numpy(kept(f"states, {name}", encoded)["x"])
    apart = np.array(validation)
    module = FirstToken(block, len(found), x[torch.from_numpy(apart)]).requires_grad_(False)
    return Bank(x, np.array(labels), np.array(text), apart, module, tuple(found))


def sides(given: Bank, seed: int, pilot: bool = False) -> Labelled:
    """Return a seed's passages: its own division of the texts into those to train and test with.

    The pilot has the passages of the validation in the place of those to test with.
    """
    test = np.zeros(len(given.labels), dtype=bool)
    for number in range(len(given.kinds)):
        own = (given.labels == number) & ~given.validation
        names = np.unique(given.text[own])
        order = generator(seed, f"fedhl/sides/{number}").permutation(names)
        chosen = order[: max(1, round(_TEST * len(names)))]
        test |= own & np.isin(given.text, chosen)
    rows = (~test & ~given.validation, given.validation if pilot else test)
    parts: list[Tensor] = []
    for side in rows:
        index = torch.from_numpy(np.flatnonzero(side))
        parts += [given.x[index], torch.from_numpy(given.labels)[index]]
    return Labelled(*parts)
