"""The one rule by which a p-value is a reason for doubt.

The tests of an answer are judged together by Holm's procedure (Scand. J. Statist. 6, 1979): the
smallest of m p-values has the level 0.05 / m, the next 0.05 / (m - 1), and so on, until one is not
below its level. If the model is right, the chance of any doubt is at most 5 %, however many tests
there are and however they depend on each other.
"""

from __future__ import annotations

from collections.abc import Mapping

LEVEL = 0.05
"""Chance of any doubt by a test if the model is right."""

# Their p-values are already adjusted for each other, so they count as one test.
_TOGETHER = ("Law", "Noise", "Simulator")


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
