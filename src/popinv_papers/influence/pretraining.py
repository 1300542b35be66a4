r"""Texts of several sources, and a language model that is pretrained apart from the selections.

The sources are the 15 categories of the Brown corpus, and ham and spam of the SpamAssassin corpus.
A passage is a run of whole sentences of one text. It begins and ends with a mark of its own, and is
filled up with a padding token, which no loss counts.

A transformer is trained on most texts of the sources that are known to it, by Adam with decoupled
decay. Gradients are cut to length one. The rate rises linearly over the first steps, and falls to
zero along half a period of a cosine. The targets' categories are never seen. To say anything, the
model must be better than a table of pairs of tokens,

.. math:: p(j | i) = \frac{c_{ij} + t_i\, u_j}{c_i + t_i}

with c the counts of pairs, t_i the number of different tokens seen after i, and u the frequencies
of tokens with one added to each count (Witten and Bell, IEEE Trans. Inf. Theory 1991).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from popinv.seeds import generator
from popinv.store.variables import variable
from popinv_papers.influence.influence import Flat
from popinv_papers.influence.networks import PADDING, Transformer, language_losses
from popinv_papers.influence.training import AdamSettings, AdamState, begin, descend
from popinv_papers.kit.kept import continued
from popinv_papers.kit.text import brown_sentences, byte_pair_symbols, runs, sentences, spam_texts
from popinv_papers.kit.training import fill

MARK = 1
# The tokens of the encoding follow these two.
_OWN = 2
# The groups of letters that are read, and their sources.
_LETTERS = {"easy-ham-1": "ham", "spam-2": "spam"}


@dataclass(frozen=True)
class PretrainingCorpus:
    """Passages of every text, (n, length + 2), by the text's name, and the texts' sources."""

    passages: Mapping[str, np.ndarray]
    source: Mapping[str, str]
    vocabulary: int


def passages(sentences: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Return the passages of one text, of as many whole sentences as fit, (n, length + 2).

    Sentences are token numbers, from 0. The length is a passage's length without its two marks.
    """
    rows = [
        [MARK, *(int(token) + _OWN for token in run), MARK, *[PADDING] * (length - len(run))]
        for run in runs((list(s) for s in sentences), length)
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, length + 2)


def brown_and_letters(
    brown: Path, letters: Path, vocabulary: int, length: int
) -> PretrainingCorpus:
    """Return the passages of both corpora, in tokens of an encoding that is learnt from them.

    The byte-pair vocabulary has the given size. The passages have two more tokens.
    """
    texts = dict(brown_sentences(brown))
    source = {name: name[1] for name in texts}
    by_group = spam_texts(letters)
    for group, kind in _LETTERS.items():
        for number, letter in enumerate(by_group[group]):
            name = f"{group}/{number:04}"
            texts[name] = sentences(letter)
            source[name] = kind
    lengths = [len(found) for found in texts.values()]
    symbols, learnt = byte_pair_symbols([s for found in texts.values() for s in found], vocabulary)
    ends = np.cumsum(lengths)
    cut = {
        name: passages(symbols[end - count : end], length)
        for name, end, count in zip(texts, ends, lengths, strict=True)
    }
    return PretrainingCorpus(cut, source, learnt + _OWN)


def bigram_table(known: np.ndarray, vocabulary: int) -> np.ndarray:
    """Return p(j | i), shape (vocabulary, vocabulary), of passages (n, length) with padding."""
    told = known[:, 1:] != PADDING
    pairs = np.zeros((vocabulary, vocabulary))
    np.add.at(pairs, (known[:, :-1][told], known[:, 1:][told]), 1.0)
    single = pairs.sum(axis=0) + 1
    single /= single.sum()
    followers = (pairs > 0).sum(axis=1)
    # A token that was never seen before another is followed by any, by their frequencies.
    seen = np.maximum(followers, 1)[:, None]
    return (pairs + seen * single) / (pairs.sum(axis=1, keepdims=True) + seen)


def bigram_loss(table: np.ndarray, tested: np.ndarray) -> float:
    """Return the mean over passages of the mean loss per token, natural logarithm.

    The loss of a language model is averaged in the same way.
    """
    each = -np.log(table[tested[:, :-1], tested[:, 1:]])
    told = tested[:, 1:] != PADDING
    return float(((each * told).sum(axis=1) / told.sum(axis=1)).mean())


# Standard deviation of the first weights of matrices; steps over which the rate rises; decay.
_SPREAD, _RISE, _DECAY = 0.02, 100, 0.05
# Steps between two looks at the state, where a kept part can go on.
_AT_ONCE = 50


@dataclass(frozen=True)
class LanguageModel:
    """Size of the model and settings of its pretraining.

    Parameters
    ----------
    vocabulary, length : int
        Byte pairs, and tokens of the longest passage.
    targets : tuple of str
        Categories of the Brown corpus that are not seen.
    share : float
        Share of the other texts that is seen.
    """

    vocabulary: int = 500
    length: int = 64
    width: int = 128
    heads: int = 4
    layers: int = 4
    targets: tuple[str, ...] = ("h", "j", "p")
    share: float = 0.7
    steps: int = 2000
    rate: float = 3e-3
    batch_size: int = 32

    def new(self, vocabulary: int) -> Transformer:
        """Return a model of this size, with weights as torch draws them."""
        # A passage without its last token.
        return Transformer(vocabulary, self.length + 1, self.width, self.heads, self.layers)


def split(corpus: PretrainingCorpus, size: LanguageModel, seed: int) -> tuple[list[str], list[str]]:
    """Return the names of the texts to train on, and of all others."""
    unseen = [name for name in corpus.passages if corpus.source[name] in size.targets]
    known = [name for name in corpus.passages if corpus.source[name] not in size.targets]
    order = generator(seed, "influence/language/pretraining").permutation(len(known))
    cut = round(size.share * len(known))
    return [known[i] for i in order[:cut]], [*(known[i] for i in order[cut:]), *unseen]


def pretrain(corpus: PretrainingCorpus, size: LanguageModel, seed: int) -> xr.Dataset:
    """Train the model.

    Returns
    -------
    Dataset
        ``theta``, the weights; ``loss`` (step) on the batches, in nats per token; ``pairs``, a
        table of pairs of tokens of the same passages.

    Raises
    ------
    DivergenceError
        If the loss is not finite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(
            int(generator(seed, "influence/language/weights").integers(2**63))
        )
        model = size.new(corpus.vocabulary)
        for weights in model.parameters():
            if weights.dim() > 1:
                torch.nn.init.normal_(weights, std=_SPREAD)
    flat = Flat.of(model)
    names, _ = split(corpus, size, seed)
    known = np.concatenate([corpus.passages[name] for name in names])
    samples = torch.from_numpy(known)
    adam = AdamSettings(
        size.rate,
        size.batch_size,
        _DECAY,
        seed=seed,
        stage="influence/language",
        longest=1.0,
        whole_batches=True,
    )
    losses = language_losses(flat)

    def rate(number: int) -> float:
        falling = 0.5 * (1 + math.cos(math.pi * number / size.steps))
        return size.rate * min(1, (number + 1) / _RISE) * falling

    def advance(number: int, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        theta, first, second = (
            torch.from_numpy(arrays[name]) for name in ("theta", "first", "second")
        )
        state = AdamState(theta, first, second, int(arrays["updates"]))
        numbers = range(number * _AT_ONCE, min((number + 1) * _AT_ONCE, size.steps))
        state, values = descend(losses, state, (samples,), adam, numbers, rate)
        return _arrays(state, np.concatenate([arrays["loss"], values]))

    def start() -> dict[str, np.ndarray]:
        return _arrays(begin(flat.theta), np.empty(0))

    looks = -(-size.steps // _AT_ONCE)
    found = continued("pretrained language model", start, advance, looks, f"{_AT_ONCE} steps")
    return xr.Dataset(
        {
            "theta": variable(("weight",), found["theta"], "weights"),
            "loss": variable(("step",), found["loss"], "loss on the batch, nats per token"),
            "pairs": variable(
                ("token", "next"),
                bigram_table(known, corpus.vocabulary).astype(np.float32),
                "chance of the next token by a table of pairs",
            ),
        }
    )


def _arrays(state: AdamState, loss: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "theta": state.theta.numpy(),
        "first": state.first_moment.numpy(),
        "second": state.second_moment.numpy(),
        "updates": np.array(state.updates),
        "loss": loss,
    }


def with_weights(trained: xr.Dataset, size: LanguageModel, vocabulary: int) -> Transformer:
    """Return the trained model, not to be trained as it is."""
    model = size.new(vocabulary)
    fill(model, torch.from_numpy(trained["theta"].values))
    return model.requires_grad_(False)
