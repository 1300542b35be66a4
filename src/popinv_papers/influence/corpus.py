"""Passages of whole sentences, from texts of several sources.

The sources are the 15 categories of the Brown corpus, and ham and spam of the SpamAssassin corpus.
A passage is a run of whole sentences of one text. It begins and ends with a mark of its own, and is
filled up with a padding token, which no loss counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from popinv_papers.kit.emails import spam_texts
from popinv_papers.kit.passages import runs, sentences
from popinv_papers.kit.text import brown_sentences, byte_pair_symbols

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
    """Return the passages of one text, of as many whole sentences as fit.

    Parameters
    ----------
    sentences : sequence of ndarray of int
        Token numbers, from 0.
    length : int
        Longest passage, without its two marks.

    Returns
    -------
    ndarray of int, shape (n, length + 2)
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
    brown, letters : Path
        Archives of the packages.
    vocabulary : int
        Size of the byte-pair vocabulary. The passages have two more tokens.
    length : int
        Longest passage in tokens.
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
