"""Claims of a paper, compared with measurements.

Every method's test problem ends in a table. Its first part are the headlines of the paper, its
second part what was derived anew where the paper was not readable to us. A row holds the claim,
what was measured with an interval over seeds, a criterion that was stated before, and a control:
the same measurement with the claimed thing taken away, which must miss the criterion.

The status is decided in this order:

1. *does not hold*: the whole interval misses the criterion, whatever the control does.
2. *undecided*: the interval overlaps the border of the criterion. More seeds would decide.
3. *not comparable*: the control meets the criterion too, or its interval is not wholly outside, so
   that the measurement cannot tell; or size, data or setting are too far from the source's.
4. *holds*.

What was not measured is *not run*, or *not comparable* if nothing at this size could decide it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from popinv.store.whole_files import written_whole

Part = Literal["headline", "reconstruction"]
Source = Literal[
    "paper",
    "a reconstruction of the paper",
    "authors' code",
    "quoted by others",
    "reconstruction",
    "this package",
]
Status = Literal["holds", "does not hold", "undecided", "not comparable", "not run"]

COLUMNS = (
    *("part", "claim", "source", "where", "expected", "ours", "low", "high", "seeds"),
    *("criterion", "criterion_low", "criterion_high"),
    *("control", "control_ours", "control_low", "control_high"),
    *("status", "why", "too_far", "told"),
)
"""Columns of ``claims.csv``.

Numbers have ten digits, so that a row can be judged again. ``why`` is what readers see. Of it,
``told`` are the words of the row itself, and ``too_far`` says how far size, data or setting are
from the source's.
"""

Values = Sequence[float] | np.ndarray | float
"""Measurements of several seeds, or an exact number."""

_LEVEL = 0.95
# Student's intervals of fewer seeds are wider than most claims.
_FEWEST_SEEDS = 5


@dataclass(frozen=True)
class Measured:
    """A quantity, with its interval over seeds.

    Attributes
    ----------
    mean, low, high : float
        The mean over the seeds, and its 95 % interval by Student's t. An exact number, of one run
        without chance, has no width.
    seeds : int
        0 for an exact number.
    """

    mean: float
    low: float
    high: float
    seeds: int


def measured(values: Values) -> Measured:
    """Return the mean of values over seeds with its interval; a single number is exact.

    Raises
    ------
    ValueError
        If there are from one to four values, which carry no interval worth stating.

    Examples
    --------
    >>> m = measured([1.0, 2.0, 3.0, 4.0, 5.0])
    >>> m.mean, round(m.low, 3), round(m.high, 3), m.seeds
    (3.0, 1.037, 4.963, 5)
    >>> measured(0.5)
    Measured(mean=0.5, low=0.5, high=0.5, seeds=0)
    """
    found = np.asarray(values, dtype=float)
    if found.ndim == 0:
        return Measured(float(found), float(found), float(found), seeds=0)
    if len(found) < _FEWEST_SEEDS:
        raise ValueError(f"{len(found)} seeds are given, but at least {_FEWEST_SEEDS} are needed")
    from scipy.stats import t  # slow to import, and not needed by every table

    half = t.ppf((1 + _LEVEL) / 2, len(found) - 1) * found.std(ddof=1) / math.sqrt(len(found))
    mean = float(found.mean())
    return Measured(mean, mean - float(half), mean + float(half), len(found))


@dataclass(frozen=True)
class Range:
    """A criterion: the whole interval lies between two bounds.

    Between finite bounds it is an equivalence test: nothing is added to the bounds for the
    uncertainty of what was measured. The bounds belong to the range, so that an exact number can be
    compared with an exact one. The limit of a lead does not: no effect at all, in every seed, is no
    lead.
    """

    low: float = -math.inf
    high: float = math.inf

    def holds(self, found: Measured) -> bool:
        """Return whether the whole interval lies within; NaN does not."""
        if math.isinf(self.high):
            return bool(self.low < found.low)
        return bool(self.low <= found.low and found.high <= self.high)

    def misses(self, found: Measured) -> bool:
        """Return whether the whole interval lies outside; NaN does not."""
        if math.isinf(self.high):
            return bool(found.high <= self.low)
        return bool(found.high < self.low or self.high < found.low)

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"interval above {self.low:.4g}"
        if math.isinf(self.low):
            return f"interval at most {self.high:.4g}"
        return f"interval within {self.low:.4g} to {self.high:.4g}"


def above(limit: float = 0.0) -> Range:
    """Return the criterion of a lead: the interval is above a limit."""
    return Range(low=limit)


def below(limit: float) -> Range:
    """Return the criterion of a bound: the interval is below a limit, or ends at it."""
    return Range(high=limit)


def within(expected: float, share: float = 0.0, bound: float = 0.0) -> Range:
    """Return the criterion of an agreement: within a share of the expected value, or a bound."""
    half = share * abs(expected) + bound
    return Range(expected - half, expected + half)


@dataclass(frozen=True)
class Control:
    """The same measurement with the claimed thing taken away.

    Attributes
    ----------
    taken_away : str
        What was changed, such as "equal weights".
    """

    taken_away: str
    found: Measured


@dataclass(frozen=True)
class Claim:
    """One row of the table.

    Attributes
    ----------
    part : {"headline", "reconstruction"}
    claim : str
        In the paper's terms.
    source : str
        "a reconstruction of the paper" where its body was not available, so that the measurement
        follows from its abstract, "quoted by others" where others say it. The authors' published
        code or stored results may show things that are not in the paper. A "reconstruction" follows
        from the paper's statements, but was derived anew. A claim of this package is its own
        finding.
    where : str
        Its place in the source, such as "abstract", "Theorem 2" or "Figure 1, left".
    expected : str or float
        The source's number or statement.
    found : Measured, optional
        None where nothing was measured.
    control : Control, optional
        None for rows of the second part that are held against an independent computation.
    reason : str
        Why the criterion and the control lead to this status, where that needs a word.
    why : str
        The row's own words: why it was not run, or what was tried where it does not hold.
    too_far : str
        How far size, data or setting are from the source's.
    """

    part: Part
    claim: str
    source: Source
    where: str
    expected: str | float
    found: Measured | None
    criterion: Range | None
    control: Control | None
    status: Status
    reason: str = ""
    why: str = ""
    too_far: str = ""


def status_of(
    found: Measured, criterion: Range, control: Control | None = None, too_far: str = ""
) -> tuple[Status, str]:
    """Return the status that follows from a criterion, a control and the setting, and the reason.

    This module's description states the order of the rules.

    Parameters
    ----------
    too_far : str
        How far size, data or setting are from the source's; empty if they are near enough.
    """
    if criterion.misses(found):
        return "does not hold", ""
    if not criterion.holds(found):
        return "undecided", "" if math.isfinite(found.mean) else "There is no number to judge."
    if control is not None and criterion.holds(control.found):
        return "not comparable", "The control meets the criterion too."
    if control is not None and not criterion.misses(control.found):
        return "not comparable", "The control's interval is not wholly outside the criterion."
    return ("not comparable" if too_far else "holds"), ""


@dataclass(frozen=True)
class Rows:
    """The rows of a part of the table that stand at one place of a source; see :class:`Claim`."""

    part: Part
    source: Source
    where: str = ""

    def row(
        self,
        claim: str,
        expected: str | float,
        found: Values,
        criterion: Range,
        control: tuple[str, Values] | None = None,
        missed: str = "",
        told: str = "",
        too_far: str = "",
    ) -> Claim:
        """Return the row of values over seeds, or of exact numbers.

        Its status follows from its criterion, its control and its setting.

        Parameters
        ----------
        control : (str, values), optional
            What is taken away, and what was measured without it.
        missed, told : str
            The row's own words, if the criterion is missed and else.

        Raises
        ------
        ValueError
            If a headline has no control.
        """
        if self.part == "headline" and control is None:
            raise ValueError(f"a headline needs a control: {claim}")
        ours = measured(found)
        without = None if control is None else Control(control[0], measured(control[1]))
        status, reason = status_of(ours, criterion, without, too_far)
        why = told if criterion.holds(ours) else missed or told
        about = self.part, claim, self.source, self.where, expected
        return Claim(*about, ours, criterion, without, status, reason, why, too_far)

    def unsettled(
        self,
        claim: str,
        expected: str | float,
        status: Literal["not comparable", "not run"],
        why: str,
    ) -> Claim:
        """Return the row of a claim that nothing was measured of, with the reason."""
        about = self.part, claim, self.source, self.where, expected
        return Claim(*about, None, None, None, status, why=why)


def ordered(claims: Iterable[Claim]) -> list[Claim]:
    """Return the rows with the headlines first, otherwise in their order."""
    return sorted(claims, key=lambda claim: claim.part != "headline")


def write_claims(claims: Iterable[Claim], path: Path) -> None:
    """Write the table as CSV, with one claim per row and the headlines first."""
    with (
        written_whole(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(map(_cells, ordered(claims)))


def claim_cells(row: Mapping[str, str]) -> dict[str, str]:
    """Return the few columns that people read, from a row of ``claims.csv``.

    Examples
    --------
    >>> row = dict.fromkeys(COLUMNS, "") | {"ours": "2", "low": "1", "high": "3", "seeds": "5"}
    >>> claim_cells(row)["ours"]
    '2 (1 to 3), 5 seeds'
    """
    seeds = f", {row['seeds']} seeds" if row["seeds"] else ""
    control = _with_interval(row["control_ours"], row["control_low"], row["control_high"])
    return {
        "claim": row["claim"],
        "source": f"{row['source']}, {row['where']}" if row["where"] else row["source"],
        "expected": _short(row["expected"]),
        "ours": _with_interval(row["ours"], row["low"], row["high"]) + seeds,
        "criterion": row["criterion"],
        "control": f"{row['control']}: {control}" if row["control"] else "",
        "status": f"{row['status']}: {row['why']}" if row["why"] else row["status"],
    }


def judged_again(row: Mapping[str, str]) -> dict[str, str]:
    """Return a row of ``claims.csv`` with the status that its own numbers lead to.

    A row of which nothing was measured keeps its status.

    Examples
    --------
    >>> row = dict.fromkeys(COLUMNS, "") | {"ours": "2", "low": "1", "high": "3", "seeds": "5"}
    >>> judged_again(row | {"criterion_low": "2.5", "criterion_high": "inf"})["status"]
    'undecided'
    """
    if not row["criterion_low"]:
        return dict(row)
    found = _measured_in(row, "ours", "low", "high")
    control = (
        Control(row["control"], _measured_in(row, "control_ours", "control_low", "control_high"))
        if row["control"]
        else None
    )
    criterion = Range(float(row["criterion_low"]), float(row["criterion_high"]))
    status, reason = status_of(found, criterion, control, row["too_far"])
    words = _sentences(reason, row["too_far"], row["told"])
    return {**row, "criterion": str(criterion), "status": status, "why": words}


def _measured_in(row: Mapping[str, str], mean: str, low: str, high: str) -> Measured:
    ours = float(row[mean])
    if not row[low]:
        return measured(ours)
    return Measured(ours, float(row[low]), float(row[high]), int(row["seeds"]))


def _with_interval(mean: str, low: str, high: str) -> str:
    return f"{_short(mean)} ({_short(low)} to {_short(high)})" if low else _short(mean)


def _short(number: str) -> str:
    """Return a number with four digits; other texts stay as they are."""
    try:
        return f"{float(number):.4g}"
    except ValueError:
        return number


def _sentences(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _cells(claim: Claim) -> dict[str, str]:
    criterion = claim.criterion
    return {
        "part": claim.part,
        "claim": claim.claim,
        "source": claim.source,
        "where": claim.where,
        "expected": _text(claim.expected),
        **_numbers(claim.found, "ours", "low", "high"),
        "seeds": str(claim.found.seeds) if claim.found and claim.found.seeds else "",
        "criterion": str(criterion or ""),
        "criterion_low": "" if criterion is None else _text(criterion.low),
        "criterion_high": "" if criterion is None else _text(criterion.high),
        "control": claim.control.taken_away if claim.control else "",
        **_numbers(
            claim.control.found if claim.control else None,
            *("control_ours", "control_low", "control_high"),
        ),
        "status": claim.status,
        "why": _sentences(claim.reason, claim.too_far, claim.why),
        "too_far": claim.too_far,
        "told": claim.why,
    }


def _numbers(found: Measured | None, mean: str, low: str, high: str) -> dict[str, str]:
    """Return the cells of a measured quantity; an exact one has no interval."""
    if found is None:
        return {mean: "", low: "", high: ""}
    interval = (found.low, found.high) if found.seeds else ("", "")
    return {mean: _text(found.mean), low: _text(interval[0]), high: _text(interval[1])}


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"
