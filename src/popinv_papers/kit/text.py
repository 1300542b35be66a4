"""Texts as sequences of symbols: the Brown corpus, or plain text.

Francis and Kucera's corpus of American English of 1961 has 500 texts of 2000 words in 15
categories, with a tag for each word. Symbols are the tokens of a byte-pair encoding that is learnt
from the corpus itself, with a vocabulary of a chosen size.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from popinv.errors import ConfigError, DataError
from popinv_papers.kit.packages import members
from popinv_papers.kit.text_files import BROWN, plain_texts

_TEXT = re.compile(r"c[a-r]\d\d")
# All bytes and a few more. A smaller vocabulary could not hold every letter.
_SMALLEST_VOCABULARY = 200


def brown_sentences(archive: Path) -> dict[str, list[str]]:
    """Return the sentences of the 500 texts by name, without tags, sorted by name.

    Raises
    ------
    DataError
        If the archive is not that of the corpus, or lacks texts.
    """
    files = members(archive, BROWN)
    texts = {}
    for name in sorted(files):
        if _TEXT.fullmatch(name):
            # One sentence stands on a line.
            lines = files[name].decode("utf-8", errors="replace").splitlines()
            words = ([word.rsplit("/", 1)[0] for word in line.split()] for line in lines)
            texts[name] = [" ".join(sentence) for sentence in words if sentence]
    if len(texts) != 500:
        raise DataError(f"{archive}: holds {len(texts)} texts of the Brown corpus, not 500")
    return texts


def brown_texts(archive: Path) -> dict[str, str]:
    """Return the 500 texts by name, without tags, sorted by name."""
    return {name: " ".join(found) for name, found in brown_sentences(archive).items()}


def read_texts(corpus: str, files: Sequence[Path]) -> list[str]:
    """Return the texts of the setting ``downstream.corpus``, from the files that it names."""
    return list(brown_texts(files[0]).values()) if corpus == BROWN else plain_texts(files)


def byte_pair_symbols(texts: Sequence[str], vocabulary: int) -> tuple[list[np.ndarray], int]:
    """Return each text as token numbers, and the size of the learnt vocabulary.

    Parameters
    ----------
    vocabulary : int
        Size of the byte-pair vocabulary. The result is smaller only if the texts lack pairs.

    Raises
    ------
    ConfigError
        If the vocabulary is too small to hold single letters.
    """
    if vocabulary < _SMALLEST_VOCABULARY:
        raise ConfigError(
            f"the vocabulary is {vocabulary}, must be at least {_SMALLEST_VOCABULARY}"
        )
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=["[UNK]"], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    symbols = [np.array(tokenizer.encode(text).ids, dtype=np.int64) for text in texts]
    return symbols, tokenizer.get_vocab_size()
