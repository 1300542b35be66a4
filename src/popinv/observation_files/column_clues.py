"""Clues to the use of columns: which look like names of systems, times or known quantities."""

from __future__ import annotations

import math

import numpy as np

from popinv.observation_files.column_traits import ColumnTraits, counts_within
from popinv.observation_files.column_uses import Use

# Chance, for one file, at which a column of random numbers would look sorted by system.
_CHANCE = 0.001


def may_repeat(column: ColumnTraits, first: bool) -> bool:
    """Return whether a column seems to name systems, some of them several times."""
    if column.gaps or len(column.levels) < 2 or not repeated(column):
        return False
    if column.named_like("system") and is_name(column):
        return True
    return column.repeats and first and (is_text(column) or (is_name(column) and _sorted(column)))


def _sorted(column: ColumnTraits) -> bool:
    """Return whether equal cells are side by side, as in a file sorted by system, not by chance.

    Of ``n! / prod n_i!`` orders of n cells, ``L!`` have the n_i cells of each of L levels together.
    """
    counts = np.bincount(column.codes)
    orders = math.lgamma(len(column.codes) + 1) - sum(math.lgamma(n + 1) for n in counts)
    return column.runs and math.lgamma(len(counts) + 1) - orders < math.log(_CHANCE)


def is_text(column: ColumnTraits) -> bool:
    """Return whether a column holds text."""
    return column.numbers is None and column.gaps < len(column.codes)


def differs(column: ColumnTraits) -> bool:
    """Return whether a column is different in every row."""
    return len(column.levels) == len(column.codes) > 1 and not column.gaps


def likelihood(system: ColumnTraits, time: ColumnTraits) -> float:
    """Return how likely two columns are system and time, by their names and forms."""
    names = 2 * system.named_like("system") - 3 * system.named_like("time")
    names += 2 * time.named_like("time") - 3 * time.named_like("system")
    shared = 0.0
    if time.numbers is not None:
        # Times are often the same in several systems.
        counts = np.bincount(time.codes)
        shared = 0.5 * bool((counts > 1).mean() > 0.5)
    form = (system.numbers is None) + 2 * time.dates - 2 * (not is_name(system))
    # Most files are sorted by system, and have more systems than times of each.
    form += system.runs + (len(system.levels) >= int(np.bincount(system.codes).max()))
    counter = counts_within(time, system) * (0.75 if time.named_like("time") else 1.5)
    return names + form + shared - counter


def is_name(column: ColumnTraits) -> bool:
    """Return whether a column holds text or whole numbers, as names of systems are."""
    return column.numbers is None or column.whole


def one_of_equal_systems(
    pairs: list[tuple[ColumnTraits, ColumnTraits]],
) -> list[tuple[ColumnTraits, ColumnTraits]]:
    """Return the pairs of the first system, where all systems divide the rows alike."""
    first = pairs[0][0]
    same = all(np.array_equal(system.codes, first.codes) for system, _ in pairs)
    return [pair for pair in pairs if pair[0] is first] if same else pairs


def repeated(*columns: ColumnTraits) -> bool:
    """Return whether several rows hold the same cells."""
    keys = np.column_stack([each.codes for each in columns])
    return len(np.unique(keys, axis=0)) < len(keys)


def known_use(column: ColumnTraits) -> tuple[Use, str]:
    """Return the use of a column that is one value in each system."""
    if len(column.levels) < 2:
        return "ignored", "the same in all rows"
    if column.dates:
        return "ignored", "dates"
    if column.gaps:
        return "ignored", f"known of systems, but {column.gaps} cells are missing"
    if column.numbers is None:
        return "known", f"text with {len(column.levels)} different values"
    return "known", "numbers"
