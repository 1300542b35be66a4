"""Recognition of levels in a table: columns of labels that tell members of groups apart.

Two or three columns of labels name the levels if together, but not with fewer of them, they tell
apart the series of a long table, or the cells of a table without times that hold several values.
Their equal labels come up in several nodes of the others, so that none of them is a quantity that
is known of the others. The column with most labels is the outer one.

A table with one value in each cell of two columns has no nested levels, as an effect of each cell
is its noise. Its levels are crossed.

Columns of quantities look alike. Their rows are often interleaved, their names are usual, or their
values differ by far more between them than within.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from popinv.observation_files.columns import (
    ColumnTraits,
    constant_within,
    increases_within,
    is_name,
    repeated,
)

# Most levels, fewest labels of the outer one and of crossed ones, and the share of the cells of
# crossed columns that are filled.
_MOST_LEVELS, _FEWEST, _FILLED = 3, 4, 0.7
# Means of quantities are this many standard deviations within them apart.
_APART = 3.0
# Names of columns that are no labels of levels.
_OTHER_USES = (
    *("time", "value", "replicate", "censoring", "limit", "lower_limit"),
    *("event", "dose", "quantity"),
)


@dataclass(frozen=True)
class FoundLevels:
    """The levels of a table.

    Attributes
    ----------
    names : tuple of str
        Columns of labels, from outer to inner.
    crossed : bool
        Whether the first two are crossed.
    value : str
        The column of values.
    time : str, optional
        The column of times.
    replicates : bool
        Whether members have several values without a time.
    """

    names: tuple[str, ...]
    crossed: bool
    value: str
    time: str | None
    replicates: bool

    @property
    def why(self) -> str:
        """Why the columns are thought to be levels."""
        listed = " and ".join(f"'{name}'" for name in self.names)
        if self.crossed:
            return f"each {listed} hold one value, so that the two are crossed"
        held = f"'{self.time}' increases" if self.time else "there are several values"
        return f"{held} within {listed} together"


def find_levels(columns: Sequence[ColumnTraits]) -> FoundLevels | None:
    """Return the levels of a table with these columns, or None if it seems to have none."""
    labels = [each for each in columns if _may_label(each)]
    for count in range(2, _MOST_LEVELS + 1):
        for chosen in itertools.combinations(labels, count):
            if found := _levels(columns, chosen):
                return found
    return None


def _may_label(column: ColumnTraits) -> bool:
    """Return whether a column holds text, or whole numbers that count from 0 or 1."""
    if column.dates or column.gaps or not column.repeats or not is_name(column):
        return False
    if any(column.named_like(use) for use in _OTHER_USES):
        return False
    if column.numbers is None:
        return True
    different = np.unique(column.numbers)
    return bool(different[0] in (0, 1) and np.all(np.diff(different) == 1))


def _levels(
    columns: Sequence[ColumnTraits], chosen: tuple[ColumnTraits, ...]
) -> FoundLevels | None:
    """Return the levels if the chosen columns name them, and the other columns go with that."""
    for k, each in enumerate(chosen):
        if constant_within(each, *chosen[:k], *chosen[k + 1 :]):
            return None
    several = repeated(*chosen)
    rest = [c for c in columns if c not in chosen]
    rest = [c for c in rest if not (several and constant_within(c, *chosen))]
    times = [c for c in rest if several and _is_time(c, chosen)]
    # Values may increase too, but times are most often the same in several members.
    times = [c for c in times if c.named_like("time")] or [c for c in times if c.repeats] or times
    values = [each for each in rest if each not in times]
    if len(times) > 1 or len(values) != 1 or values[0].numbers is None or values[0].dates:
        return None
    value, time = values[0], times[0] if times else None
    # Without times, occasions may be replicates or times.
    if time is None and any(each.named_like("occasion") for each in chosen):
        return None
    ordered = sorted(chosen, key=lambda each: -len(each.levels))
    if len(ordered[0].levels) < _FEWEST or not _alike(value, ordered[1:]):
        return None
    keys = np.column_stack([each.codes for each in chosen])
    cells, cell = np.unique(keys, axis=0, return_inverse=True)
    cell, crossed = cell.reshape(-1), not several
    if several:
        # A cell is a series, or a set of replicates, whose rows stand together.
        together = int(np.count_nonzero(np.diff(cell))) == len(cells) - 1
        fewest = 2 if time is None else 3
        if not together or np.median(np.bincount(cell)) < fewest:
            return None
    else:
        most = len(ordered[0].levels) * len(ordered[1].levels)
        filled = len(chosen) == 2 and len(cells) >= _FILLED * most
        if not filled or len(ordered[1].levels) < _FEWEST:
            return None
    return FoundLevels(
        names=tuple(each.name for each in ordered),
        crossed=crossed,
        value=value.name,
        time=None if time is None else time.name,
        replicates=several and time is None,
    )


def _is_time(column: ColumnTraits, chosen: tuple[ColumnTraits, ...]) -> bool:
    """Return whether numbers increase within the columns together, and not within fewer."""
    fewer = itertools.combinations(chosen, len(chosen) - 1)
    return increases_within(column, *chosen) and not any(
        increases_within(column, *some) for some in fewer
    )


def _alike(value: ColumnTraits, labels: Sequence[ColumnTraits]) -> bool:
    """Return whether values of different labels are of one quantity, by their sizes."""
    held = value.numbers
    assert held is not None
    for each in labels:
        counts = np.bincount(each.codes)
        mean = np.bincount(each.codes, np.nan_to_num(held)) / counts
        within = np.nanstd(held - mean[each.codes])
        if mean.std() > _APART * within:
            return False
    return True
