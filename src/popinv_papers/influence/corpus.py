r"""Passages of whole sentences from texts of several sources, and a table of pairs of tokens.

The sources are the 15 categories of the Brown corpus, and ham and spam of the SpamAssassin corpus.
A passage is a run of whole sentences of one text. It begins and ends with a mark of its own, and is
filled up with a padding token, which no loss counts.

A language model must be better than the table to say anything,

.. math:: p(j | i) = \frac{c_{ij} + t_i\, u_j}{c_i + t_i}

with c the counts of pairs, t_i the number of different tokens seen after i, and u the frequencies
of tokens with one added to each count (Witten and Bell, IEEE Trans. Inf. Theory 1991).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from popinv_papers.kit.text import brown_sentences, byte_pair_symbols, runs, sentences, spam_texts

PADDING, MARK = 0, 1
# The tokens of the encoding follow these two.
_OWN = 2
# The groups of letters that are read, and their sources.
_LETTERS = {"easy-ham-1": "ham", "spam-2": "spam"}


@dataclass(frozen=True)
class Corpus:
    """Passages of every text, (n, length + 2), by the text's name, and the texts' sources."""

    passages: Mapping[str, np.ndarray]
    source: Mapping[str, str]
    vocabulary: int


def passages(sentences: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Return the passages of one text, of as many whole sentences as fit, (n, length + 2).

    Parameters
    ----------
    sentences : sequence of ndarray of int
        Token numbers, from 0.
    length : int
        Longest passage, without its two marks.
    """
    rows = [
        [MARK, *(int(token) + _OWN for token in run), MARK, *[PADDING] * (length - len(run))]
        for run in runs((list(s) for s in sentences), length)
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, length + 2)


def brown_and_letters(brown: Path, letters: Path, vocabulary: int, length: int) -> Corpus:
    """Return the passages of both corpora, in tokens of an encoding that is learnt from them.

    Parameters
    ----------
    vocabulary : int
        Size of the byte-pair vocabulary. The passages have two more tokens.
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
    return Corpus(cut, source, learnt + _OWN)


def bigram_table(known: np.ndarray, vocabulary: int) -> np.ndarray:
    """Return p(j | i), shape (vocabulary, vocabulary), of passages (n, length) with padding."""
    first, second = _pairs(known)
    pairs = np.zeros((vocabulary, vocabulary))
    np.add.at(pairs, (first, second), 1.0)
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


def _pairs(known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    told = known[:, 1:] != PADDING
    return known[:, :-1][told], known[:, 1:][told]
