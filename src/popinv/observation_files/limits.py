"""Limits of observations: how the section states them, and what a table makes of them.

A limit is a number, a list with one for each observation, or in columns. In a long table a column
has the limit of each value. In a wide table one column has the limit of all observations of a
system, or each of as many columns as observations has the limit of one. In a Dataset a variable
has the dimensions of the observations. A limit that lacks in a column is none.

The columns CENS and LIMIT of Monolix and NONMEM state limits of single values. A value with CENS 1
is censored below, and one with CENS -1 above. The value is the limit, and LIMIT is what it is known
not to lie beyond. They say nothing of the limits of values with CENS 0, which the model's own
observations need. If all censored values of a quantity have the same limits, and no other value
lies beyond, these are the limits of all its values; otherwise only of the censored values.
Where the column of values has the marks, cells such as ``<0.4`` are the marked ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from popinv.errors import DataError
from popinv.forward.base import Observations
from popinv.observation_files.limit_keys import ORDER, VARIABLES
from popinv.observation_files.table import ObservationTable
from popinv.sections.base import Section
from popinv.sections.tables import named_column, numbers_of, place_in

if TYPE_CHECKING:
    import pandas as pd

    from popinv.observation_files.section import FileObservations

_NONE = dict(zip(VARIABLES, (-np.inf, np.inf, -np.inf, np.inf), strict=True))


def stated_limits(
    section: Section,
    observations: Observations,
    count: int,
    replicates: int,
    read: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Return l, u, a and b of systems, each (count, R d_y), in the unit of what a file holds.

    Parameters
    ----------
    section : FileObservations or SyntheticObservations
    count, replicates : int
        Number of systems, and of replicates of each.
    read : mapping of str to ndarray of shape (count, R d_y), optional
        Limits that were read from columns, NaN where there is none.
    """
    ends = {}
    for name, none in _NONE.items():
        given, found = getattr(section, name), (read or {}).get(name)
        each = np.full(len(observations), none) if given is None or found is not None else given
        every = np.tile(
            np.broadcast_to(np.asarray(each, dtype=float), len(observations)), replicates
        )
        every = np.broadcast_to(every, (count, len(every)))
        ends[name] = every if found is None else np.where(np.isnan(found), none, found)
    return ends


def held_at_limits(
    table: ObservationTable, section: FileObservations, observations: Observations
) -> ObservationTable:
    """Return a table with all its limits, whose values beyond these are at them.

    Raises
    ------
    DataError
        If limits contradict each other, or are not positive where logarithms are observed. The
        message has row and column, but does not name the file.
    """
    shape = table.values.shape
    ends = stated_limits(section, observations, shape[0], table.replicate_count, table.limits)
    seen, finite = ~np.isnan(table.values), {key: np.isfinite(each) for key, each in ends.items()}

    def refuse(bad: np.ndarray, key: str, words: str, other: str | None = None) -> None:
        for at in map(tuple, np.argwhere(seen & finite[key] & bad)[:1]):
            than = "" if other is None else f" and '{other}' is {ends[other][at]:g}"
            where = f"{table.rows[at[0]]}, {table.columns[at[1] % len(table.columns)]}"
            raise DataError(f"{where}: '{key}' is {ends[key][at]:g}{than}{words}")

    for low, high in ORDER:
        bad = finite[high] & (ends[low] >= ends[high])
        refuse(bad, low, "; the first must be smaller", high)
    for known, limit in (("not_below", "censored_below"), ("not_above", "censored_above")):
        words = f", but there is no '{limit}' beyond which values are censored; state it too"
        refuse(~finite[limit], known, words)
    if observations.logarithm:
        for name in ("censored_below", "censored_above"):
            words = ", but it must be positive, as logarithms are observed"
            refuse(ends[name] <= 0, name, words)
    values = np.clip(table.values, ends["censored_below"], ends["censored_above"])
    return replace(table, values=values, limits=ends)


def read_limits(
    frame: pd.DataFrame, columns: Mapping[str, Sequence[str]], width: int
) -> dict[str, np.ndarray]:
    """Return limits from columns of a table, each (rows, width).

    Parameters
    ----------
    frame : DataFrame
        A table of text.
    columns : mapping of str to sequence of str
        Of each key the column, or as many columns as the ``width``.

    Raises
    ------
    DataError
        If a column lacks, or there are others than one or as many as the width.
    """
    found = {}
    for key, names in columns.items():
        if len(names) not in (1, width):
            raise DataError(
                f"'observations.{key}' names {len(names)} columns, but there are {width} "
                "observations; name one column, or one for each observation"
            )
        own = [named_column(frame, name, f"observations.{key}.column") for name in names]
        each = np.column_stack([numbers_of(frame, name) for name in own])
        found[key] = np.broadcast_to(each, (len(frame), width)).copy()
    return found


def marked_limits(
    frame: pd.DataFrame, values: np.ndarray, censoring: str, limit: str | None
) -> dict[str, np.ndarray]:
    """Return the limits (n,) of values (n,) that the columns CENS and LIMIT state, else NaN.

    Raises
    ------
    DataError
        If a mark is not 0, 1 or -1, or LIMIT is not beyond a censored value.
    """
    mark = numbers_of(frame, named_column(frame, censoring, "observations.censoring_column"))
    beyond = np.full(len(mark), np.nan)
    if limit is not None:
        beyond = numbers_of(frame, named_column(frame, limit, "observations.limit_column"))
    seen = ~np.isnan(values)
    for row in np.flatnonzero(seen & ~np.isin(mark, (0, 1, -1)))[:1]:
        raise DataError(
            f"{place_in(frame, row)}: the column '{censoring}' holds {mark[row]:g}; it must hold "
            "1 for a value that is censored below, -1 for one that is censored above, 0 for others"
        )
    for row in np.flatnonzero(seen & (mark * (values - beyond) <= 0) & (mark != 0))[:1]:
        side, other = ("below", "smaller") if mark[row] > 0 else ("above", "larger")
        raise DataError(
            f"{place_in(frame, row)}: the value {values[row]:g} is censored {side}, so that its "
            f"limit in the column '{limit}' must be {other}, but it is {beyond[row]:g}"
        )
    return limits_of_marks(values, mark, beyond)


def limits_of_marks(
    values: np.ndarray, mark: np.ndarray, beyond: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the limits (n,) of values with mark 1 (censored below) or -1 (above), else NaN.

    Parameters
    ----------
    values, mark, beyond : ndarray of shape (n,)
        A marked value is its limit; ``beyond`` is what it is known not to lie beyond, or NaN.
    """
    sides = {"censored_below": (1, values), "not_below": (1, beyond)}
    sides |= {"censored_above": (-1, values), "not_above": (-1, beyond)}
    return {name: np.where(mark == sign, x, np.nan) for name, (sign, x) in sides.items()}


def shared_limits(
    values: np.ndarray, limits: Mapping[str, np.ndarray], labels: Sequence[str]
) -> tuple[dict[str, np.ndarray], bool]:
    """Return limits of all values where the censored ones of a quantity share one.

    Parameters
    ----------
    values : ndarray of shape (n, R, d_y)
    limits : mapping of str to ndarray of shape (n, R, d_y)
        NaN where a value is not censored.
    labels : sequence of str, length d_y
        The quantity of each observation.

    Returns
    -------
    limits : dict
    shared : bool
        Whether the limits of all values are known.
    """
    found, shared = {name: each.copy() for name, each in limits.items()}, True
    for label in set(labels):
        own = np.array([each == label for each in labels])
        for name, known, sign in (
            ("censored_below", "not_below", 1),
            ("censored_above", "not_above", -1),
        ):
            at, beyond = limits[name][..., own], limits[known][..., own]
            marked = ~np.isnan(at)
            if not marked.any():
                continue
            # No number equals NaN, which is none.
            none = np.nan_to_num(beyond[marked], nan=-sign * np.inf)
            pairs = np.unique(np.column_stack([at[marked], none]), axis=0)
            rest = values[..., own][~marked]
            if len(pairs) > 1 or (sign * (rest - pairs[0, 0]) <= 0).any():
                shared = False
                continue
            found[name][..., own] = pairs[0, 0]
            if np.isfinite(pairs[0, 1]):
                found[known][..., own] = pairs[0, 1]
    return found, shared


def told_limits(table: ObservationTable) -> str:
    """Return a note on limits of the values that are not censored, if these are not known."""
    if table.limits_shared:
        return ""
    return (
        "The censored values have different limits, and the limits of other values are not stated. "
        "The likelihood does not need them. The pseudo-likelihood, the distance and simulated data "
        "take the other values to have none, and are biased by it: state the limits of all values "
        "in a column, 'observations.censored_below: {column: ...}'."
    )
