"""The result of one check of an answer, and its words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

UNJUDGED = "A test without a result is evidence neither for the answer nor against it."


@dataclass(frozen=True)
class Judgement:
    """The result of one check of the answer.

    Attributes
    ----------
    name : str
        Name of the check.
    verdict : {"good", "doubt", "neutral"}
        Good, or a reason for doubt; neutral if there is nothing to compare with.
    short : str
        The result in a few words.
    finding : str
        The result in a sentence.
    meaning : str
        The meaning of the result.
    """

    name: str
    verdict: Literal["good", "doubt", "neutral"]
    short: str
    finding: str
    meaning: str


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def readable(name: str) -> str:
    """Return the name of a metric in words."""
    return name.replace("_", " ")


def sentence(text: str) -> str:
    """Return a text with its first letter in upper case."""
    return text[:1].upper() + text[1:]
