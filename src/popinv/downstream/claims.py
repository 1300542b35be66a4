"""Claims of a paper, compared with measurements.

Every method's test problem ends in a table. Its first part are the headlines of the paper, its
second part what was derived anew where the paper was not readable to us. A row holds the claim,
what was measured with an interval over seeds, a criterion that was stated before, and a control:
the same measurement with the claimed thing taken away, which must miss the criterion. Where the
control meets it too, the measurement cannot tell, and the row says that it is not comparable.
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

__all__ = [
    "COLUMNS",
    "Claim",
    "Control",
    "Measured",
    "Part",
    "Range",
    "Source",
    "Status",
    "above",
    "below",
    "claim_cells",
    "judged",
    "measured",
    "ordered",
    "unsettled",
    "within",
    "write_claims",
]

Part = Literal["headline", "reconstruction"]
Source = Literal["paper", "authors' code", "quoted by others", "reconstruction", "this package"]
Status = Literal["holds", "does not hold", "not comparable", "not run"]

COLUMNS = (
    *("part", "claim", "source", "where", "expected", "ours", "low", "high", "seeds"),
    *("criterion", "control", "control_ours", "control_low", "control_high", "status", "why"),
)
"""Columns of ``claims.csv``."""

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


def measured(values: Sequence[float] | np.ndarray | float) -> Measured:
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
    found : Measured
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
        "quoted by others" where the paper itself could not be read. The authors' published code or
        stored results may show things that are not in the paper. A reconstruction follows from the
        paper's statements, but was derived anew. A claim of this package is its own finding.
    where : str
        Its place in the source, such as "abstract", "Theorem 2" or "Figure 1, left".
    expected : str or float
        The source's number or statement.
    found : Measured, optional
        None where nothing was measured.
    criterion : Range, optional
    control : Control, optional
        None for rows of the second part that are held against an independent computation.
    status : str
    why : str
        Why it is not comparable or was not run; or what was tried where it does not hold.
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
    why: str = ""


def judged(
    part: Part,
    claim: str,
    source: Source,
    where: str,
    expected: str | float,
    found: Measured,
    criterion: Range,
    control: Control | None = None,
    why: str = "",
) -> Claim:
    """Return a row with the status that follows from its criterion and its control.

    Parameters
    ----------
    part, claim, source, where, expected, found, criterion, control, why
        The attributes of :class:`Claim`.

    Raises
    ------
    ValueError
        If a headline has no control.
    """
    if part == "headline" and control is None:
        raise ValueError(f"a headline needs a control: {claim}")
    status: Status = "holds" if criterion.holds(found) else "does not hold"
    if control is not None and criterion.holds(control.found):
        status = "not comparable"
        why = f"The control meets the criterion too. {why}".strip()
    return Claim(part, claim, source, where, expected, found, criterion, control, status, why)


def unsettled(
    part: Part,
    claim: str,
    source: Source,
    where: str,
    expected: str | float,
    status: Literal["not comparable", "not run"],
    why: str,
    found: Measured | None = None,
) -> Claim:
    """Return the row of a claim that this size or setting cannot decide, with the reason."""
    return Claim(part, claim, source, where, expected, found, None, None, status, why)


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
        "expected": row["expected"],
        "ours": _with_interval(row["ours"], row["low"], row["high"]) + seeds,
        "criterion": row["criterion"],
        "control": f"{row['control']}: {control}" if row["control"] else "",
        "status": f"{row['status']}: {row['why']}" if row["why"] else row["status"],
    }


def _with_interval(mean: str, low: str, high: str) -> str:
    return f"{mean} ({low} to {high})" if low else mean


def _cells(claim: Claim) -> dict[str, str]:
    return {
        "part": claim.part,
        "claim": claim.claim,
        "source": claim.source,
        "where": claim.where,
        "expected": _text(claim.expected),
        **_numbers(claim.found, "ours", "low", "high"),
        "seeds": str(claim.found.seeds) if claim.found and claim.found.seeds else "",
        "criterion": str(claim.criterion or ""),
        "control": claim.control.taken_away if claim.control else "",
        **_numbers(
            claim.control.found if claim.control else None,
            *("control_ours", "control_low", "control_high"),
        ),
        "status": claim.status,
        "why": claim.why,
    }


def _numbers(found: Measured | None, mean: str, low: str, high: str) -> dict[str, str]:
    """Return the cells of a measured quantity; an exact one has no interval."""
    if found is None:
        return {mean: "", low: "", high: ""}
    interval = (found.low, found.high) if found.seeds else ("", "")
    return {mean: _text(found.mean), low: _text(interval[0]), high: _text(interval[1])}


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
