"""Columns of a table that hold what is known of each system: design, covariates, and the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from popinv.errors import DataError, nearest
from popinv.sections.tables import is_dates, is_missing, is_number, place_in
from popinv.sections.units import columns_called

_SHOWN = 8
# Largest number of columns that the study does not use and that are tested, the first of the table.
_MOST_UNUSED = 16


@dataclass(frozen=True)
class KnownColumns:
    """Design and covariates of the systems of a table.

    Parameters
    ----------
    design : ndarray of shape (n, d_design)
    covariates : ndarray of shape (n, k)
        Numbers less their mean over the systems; indicators of categories as 0 and 1.
    centres : ndarray of shape (k,)
        What was subtracted.
    """

    design: np.ndarray
    covariates: np.ndarray
    centres: np.ndarray

    @classmethod
    def of_values(
        cls,
        values: Mapping[str, np.ndarray],
        design: Sequence[str],
        covariates: Sequence[str],
        centres: np.ndarray,
        count: int,
    ) -> KnownColumns:
        """Return the quantities of ``count`` systems from values (count,) by name."""
        none = np.empty((count, 0))
        return cls(
            np.column_stack([none, *(values[name] for name in design)]),
            np.column_stack([none, *(values[name] for name in covariates)]) - centres,
            centres,
        )

    def of(self, rows: np.ndarray) -> KnownColumns:
        """Return the quantities of some systems."""
        return KnownColumns(self.design[rows], self.covariates[rows], self.centres)


def unused_columns(frame: pd.DataFrame, row: np.ndarray, used: Iterable[str]) -> pd.DataFrame:
    """Return the columns that hold one value in each system, and that the study does not use.

    Dates, columns that are the same in all systems, and names that are different in all tell
    nothing that a test could find. A cell without a value is empty.

    Parameters
    ----------
    frame : DataFrame
        A table of text.
    row : ndarray of int, shape (n,)
        The system of each row, numbered in the order of the table.
    used : iterable of str
        Columns that are used.

    Returns
    -------
    DataFrame
        Text, with a row for each system.
    """
    found, taken = dict[str, np.ndarray](), set(used)
    for place, name in enumerate(map(str, frame.columns)):
        if not name or name in taken or name in found or len(found) == _MOST_UNUSED:
            continue
        cells = frame.iloc[:, place].astype(str)
        each = cells.mask(cells.map(is_missing)).groupby(row).agg(["nunique", "first"])
        labels = each["first"].dropna()
        differ = labels.nunique()
        names = differ == len(labels) and not labels.map(is_number).all()
        if each["nunique"].max() > 1 or differ < 2 or names or is_dates(labels.tolist()):
            continue
        found[name] = each["first"].fillna("").to_numpy(dtype=str)
    return pd.DataFrame(found)


def source_columns(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the columns from which known quantities are read, each once.

    Parameters
    ----------
    columns : sequence of str
        Columns of the file.
    names : sequence of str
        A column, or a column and one of its values such as ``sex_male``.

    Raises
    ------
    DataError
        If there is no such column. The message does not name the file.
    """
    return list(dict.fromkeys(_source(columns, name) for name in names))


def known_columns(
    systems: pd.DataFrame,
    design: Sequence[str],
    covariates: Sequence[str],
    stand_ins: Sequence[float] = (),
    centres: Sequence[float] | None = None,
) -> KnownColumns:
    """Return the known quantities of systems.

    Parameters
    ----------
    systems : DataFrame
        One row of text for each system; the index is the line of the file.
    design, covariates : sequence of str
    stand_ins : sequence of float
        Numbers that stand for a missing value.
    centres : sequence of float, optional
        What is subtracted from the covariates; by default their means. A covariate may then be the
        same in all systems, and a category of none.

    Raises
    ------
    DataError
        If a column lacks, holds text where numbers are needed, or has missing values; or if a
        covariate is the same in all systems. The message does not name the file.
    """
    given = centres is not None
    known = {name: _values(systems, name, stand_ins, given) for name in (*design, *covariates)}
    if centres is not None:
        own = np.asarray(centres, dtype=float)
        return KnownColumns.of_values(known, design, covariates, own, len(systems))
    means = np.zeros(len(covariates))
    for i, name in enumerate(covariates):
        values = known[name]
        if np.ptp(values) == 0:
            raise DataError(
                f"the covariate '{name}' is {values[0]:g} in all systems, so nothing can depend on "
                "it; leave it out of 'law.covariates'"
            )
        if columns_called(list(systems.columns), name):
            means[i] = values.mean()
    return KnownColumns.of_values(known, design, covariates, means, len(systems))


def _source(columns: Sequence[str], name: str) -> str:
    if len(found := columns_called(columns, name)) == 1:
        return found[0]
    prefixes = [column for column in columns if name.startswith(f"{column}_")]
    if prefixes:
        return max(prefixes, key=len)
    raise DataError(
        f"there is no column '{name}', which the study's design or covariates name; the columns "
        f"are {', '.join(map(str, columns))}.{nearest(name, list(map(str, columns)))}"
    )


def _values(
    systems: pd.DataFrame, name: str, stand_ins: Sequence[float], absent: bool
) -> np.ndarray:
    source = _source([str(column) for column in systems.columns], name)
    cells = systems[source].tolist()
    if source not in columns_called(list(systems.columns), name):
        return _indicator(systems, name, source, absent)
    values = np.array([_number(cell) for cell in cells])
    values[np.isin(values, stand_ins)] = np.nan
    for row in np.flatnonzero(~np.isfinite(values))[:1]:
        cell, advice = cells[row], "Leave out the system, or complete the file."
        held = "no value" if is_missing(cell) else repr(cell)
        if np.isfinite(_number(cell)):
            held = f"{cell}, which stands for a missing value"
        elif not is_missing(cell):
            advice = f"Categories are named with their value, such as '{name}_{cell}'."
        raise DataError(
            f"{place_in(systems, row)}: the column '{name}' holds {held}, but every system needs "
            f"a finite number there. {advice}"
        )
    return values


def _number(cell: str) -> float:
    return float(cell) if is_number(cell) else np.nan


def _indicator(systems: pd.DataFrame, name: str, source: str, absent: bool) -> np.ndarray:
    column = systems[source]
    for row in np.flatnonzero([is_missing(cell) for cell in column])[:1]:
        raise DataError(
            f"{place_in(systems, row)}: the column '{source}' holds no value, which is in no "
            "category; leave out the system, or complete the file"
        )
    level = name.removeprefix(f"{source}_")
    if is_number(level):
        # A column of numbers with a gap reads 1 as 1.0.
        same = [is_number(cell) and float(cell) == float(level) for cell in column]
        column = column.where(~np.array(same), level)
    levels = sorted(column.unique())
    # Another spelling of the category is a mistake also where the category may be absent.
    alike = any(each.strip().casefold() == level.casefold() for each in levels)
    if level not in levels and (alike or not absent):
        raise DataError(
            f"'{name}' is 1 where the column '{source}' holds '{level}', but it holds "
            f"{', '.join(levels[:_SHOWN])}{', ...' if len(levels) > _SHOWN else ''}."
            f"{nearest(level, levels)}"
        )
    return (column == level).to_numpy(dtype=float)
