"""Passages of whole sentences, from the Brown corpus by category and from letters by group."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from popinv_papers.kit.emails import spam_texts
from popinv_papers.kit.text import brown_sentences

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
    """Return runs of as many whole sentences as fit into a length.

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
