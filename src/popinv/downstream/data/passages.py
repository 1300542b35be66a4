"""Passages of whole sentences, and the categories of the Brown corpus."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["CATEGORIES", "runs", "sentences"]

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
