"""The numbers beside pictures, compared with those that were written before."""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from pathlib import Path

CELLS = ("x", "y", "low", "high", "value")
Row = tuple[str, tuple[float, ...]]


def rows_of(text: str) -> dict[str, list[Row]]:
    """Return series and numbers of a table by panel, NaN where a cell is empty."""
    found = defaultdict(list)
    for row in csv.DictReader(io.StringIO(text)):
        found[row["panel"]].append((row["series"], tuple(float(row[c] or "nan") for c in CELLS)))
    return dict(found)


def tables(path: Path) -> dict[str, str]:
    """Return the kept tables by figure."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines(keepends=True):
        if line.startswith("# "):
            found[line[2:].strip()] = []
        else:
            found[list(found)[-1]].append(line)
    return {name: "".join(lines) for name, lines in found.items()}


def _agree(kept: Row, told: Row) -> bool:
    (series, before), (name, after) = kept, told
    return (not series or series == name) and all(
        math.isnan(a) or math.isclose(a, b, rel_tol=2e-5, abs_tol=1e-12)
        for a, b in zip(before, after, strict=True)
    )


def assert_told(kept: str, told: str) -> None:
    """Check that a table tells every number of the kept one once, and no other points.

    Rows may stand in another order, may tell more of a point, and may name what had no name.
    """
    before, after = rows_of(kept), rows_of(told)
    assert set(before) == set(after)
    for panel, rows in before.items():
        left = list(after[panel])
        for row in rows:
            place = next((k for k, other in enumerate(left) if _agree(row, other)), None)
            assert place is not None, f"{panel}: {row} is told no more"
            del left[place]
        assert not left, f"{panel}: {left[0]} was not told before"
