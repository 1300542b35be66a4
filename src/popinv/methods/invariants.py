"""Invariants that a use on a study checks when it runs, for which no truth is needed.

A use trains, removes, divides or disturbs something. If it does none of this, the answer, error or
law must stay the same, up to rounding. A use that breaks this rule answers another question,
however plausible its numbers are. Each use therefore once changes nothing, measures the difference,
and ends with an error if the difference exceeds its tolerance. Both numbers are in its
``metrics.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from popinv.errors import InvariantError

PREFIX = "null_invariant_"
"""The beginning of the names of the metrics."""


@dataclass(frozen=True)
class Invariant:
    """A difference that should be zero.

    The metric is called ``name`` after :data:`PREFIX`. The words state what was not changed, and
    what is compared, with its unit.
    """

    name: str
    words: str
    difference: float
    tolerance: float


def held(name: str, words: str, difference: float, tolerance: float) -> Invariant:
    """Return an invariant that holds.

    Raises
    ------
    InvariantError
        If the difference exceeds the tolerance, or is not a number.

    Examples
    --------
    >>> held("nothing_removed", "nothing removed: shift in standard errors", 2e-9, 1e-3).difference
    2e-09
    """
    if not difference <= tolerance:
        raise InvariantError(
            f"{words}: the difference is {difference:.3g}, but it must be at most {tolerance:g}. "
            "Nothing was changed, so that the results of this method cannot be used; its code is "
            "at fault, or the stores of the study do not belong together."
        )
    return Invariant(name, words, float(difference), float(tolerance))


def invariant_metrics(invariants: Sequence[Invariant]) -> dict[str, Any]:
    """Return each difference and its tolerance by name, and all in words."""
    numbers: dict[str, Any] = {}
    for one in invariants:
        numbers[PREFIX + one.name] = one.difference
        numbers[f"{PREFIX}{one.name}_tolerance"] = one.tolerance
    told = [f"{one.words}: {one.difference:.2g} (at most {one.tolerance:g})" for one in invariants]
    return numbers | ({"null_invariants": "; ".join(told)} if told else {})
