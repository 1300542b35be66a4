"""A judgement of an answer, and the one rule by which a p-value is a reason for doubt.

The tests of an answer are judged together by Holm's procedure (Scand. J. Statist. 6, 1979): the
smallest of m p-values has the level 0.05 / m, the next 0.05 / (m - 1), and so on, until one is not
below its level. If the model is right, the chance of any doubt is at most 5 %, however many tests
there are and however they depend on each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from popinv.judgement.answer import StudyAnswer, finite
from popinv.judgement.measures import MOVES

LEVEL = 0.05
"""Chance of any doubt by a test if the model is right."""

HELD_OUT, AGREEMENT = "Held-out systems", "Agreement"
UNJUDGED = "A test without a result is evidence neither for the answer nor against it."
# Their p-values are already adjusted for each other, so they count as one test.
_TOGETHER = ("Law", "Noise", "Simulator")


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
    effect : str
        What a doubt does to the numbers of the answer, where more is known than the meaning says;
        empty if it is no doubt.
    """

    name: str
    verdict: Literal["good", "doubt", "neutral"]
    short: str
    finding: str
    meaning: str
    effect: str = ""

    @property
    def told(self) -> str:
        """The finding, and what a doubt does to the numbers where the finding does not say it."""
        said = MOVES in self.finding
        return self.finding if said else f"{self.finding} {self.effect}".rstrip()


def levels(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return for each test the level below which its p-value is a reason for doubt.

    Parameters
    ----------
    p_values : mapping of str to float
        p-values by the name of the judgement. The tests of law, noise and simulator count as one.

    Examples
    --------
    >>> levels({"Held-out systems": 0.045, "Agreement": 0.6})
    {'Held-out systems': 0.025, 'Agreement': 0.025}
    """
    groups: dict[str, list[str]] = {}
    for name in p_values:
        groups.setdefault(_TOGETHER[0] if name in _TOGETHER else name, []).append(name)
    smallest = {group: min(p_values[name] for name in own) for group, own in groups.items()}
    found, level, goes_on = dict[str, float](), LEVEL, True
    for rank, group in enumerate(sorted(groups, key=smallest.__getitem__)):
        if goes_on:
            level = LEVEL / (len(groups) - rank)
            goes_on = smallest[group] < level
        found |= dict.fromkeys(groups[group], level)
    return found


def levels_of(answer: StudyAnswer) -> dict[str, float]:
    """Return the level of each test of the answer, by the name of its judgement."""
    p_values = {sentence(test.part): test.p_value for test in answer.tests}
    p_values[AGREEMENT] = answer.choice.agreement_p_value
    p_values[HELD_OUT] = None if answer.heldout is None else answer.heldout.p_value
    known = {name: finite(p) for name, p in p_values.items()}
    return levels({name: p for name, p in known.items() if p is not None})


def readable(name: str) -> str:
    """Return a name in words."""
    return name.replace("_", " ")


def sentence(text: str) -> str:
    """Return a text with its first letter in upper case."""
    return text[:1].upper() + text[1:]
