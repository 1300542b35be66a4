"""Survey of a file of observations, before a configuration describes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from popinv.errors import DataError
from popinv.observation_files.columns import (
    Asked,
    ColumnUse,
    Given,
    Layout,
    Use,
    refuse_to_ask,
)
from popinv.observation_files.files import (
    check_exists,
    has_named_columns,
    named_in_errors,
    wrong_type,
)
from popinv.observation_files.first_lines import names_columns, trait_of_places
from popinv.observation_files.gridded_files import is_long, read_gridded
from popinv.observation_files.layouts import DOSE_OF_SYSTEM, layout_of
from popinv.observation_files.nominal_times import NominalTimes, nominal_times
from popinv.observation_files.stand_ins import StandIn, stand_ins_in, without_stand_ins
from popinv.observation_files.table import (
    ObservationTable,
    check_columns,
    check_table,
    check_varies,
)
from popinv.observation_files.wide_tables import refuse_counted_rows, wide_table
from popinv.sections.tables import (
    Seen,
    TextTable,
    different_times,
    is_dates,
    is_missing,
    is_number,
    nearest_time,
    numbers_of,
    read_text,
    times_of,
    without_marks,
)
from popinv.sections.units import name_and_unit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KnownColumn", "Survey", "name_and_unit", "survey"]

# A simulator returns at most this many times; more are rounded to so many nominal times.
_MOST_TIMES, _NOMINAL = 300, 200
MANY_TIMES = 50
"""Number of times from which advice on rounding is given."""
# The advised times round by at most this share of the time to a system's next observation, and are
# at most this share of the times of the file.
_LITTLE, _FEWER = 0.05, 0.5
# At most this many whole numbers may be categories.
_CATEGORIES = 6


@dataclass(frozen=True)
class KnownColumn:
    """A column that may be used as design or covariate.

    Parameters
    ----------
    text : bool
        Whether it holds text.
    categories : tuple of str
        Its categories, if it holds text or a few whole numbers.
    """

    name: str
    text: bool = False
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Survey:
    """The probable contents of a file of observations.

    Parameters
    ----------
    entries : int
        Number of observations of each system; of a long table, those at all times.
    missing : int
        Number of missing values: in a long table, cells of its column of values in rows that are
        no doses.
    rows : int
        Number of rows of a long table.
    spread : float
        Standard deviation over the systems: the median over the columns; in a long table,
        over all values.
    size : float
        Mean of the absolute values.
    layout : Layout, optional
        The use of each column of a CSV file with names.
    header : bool
        Whether the first line of a CSV file seems to hold places or times, and is skipped.
    stand_ins : tuple of StandIn
        Numbers that may stand for missing values; they count as missing.
    known : tuple of KnownColumn
        Columns that may be used as design or covariates.
    names : tuple of str
        Names of the observations of a wide table, if it has a line of names.
    times : tuple of float
        The different times of a long table.
    dates : bool
        Whether the times are dates in the file.
    labels : tuple of str
        The quantities of a long table.
    fewest, most : int
        Numbers of observations of a system, or of its replicate in a wide table.
    limits : int
        Number of cells of a long table that hold a limit, such as ``<0.4``.
    dose : (str, float) or None
        The column with the doses, and the mean of those that are positive.
    doses_over_time : bool
        Whether these are inputs over time. Otherwise each system has one.
    censored : int
        Number of values of a long table beyond a limit, by the columns that state limits.
    replicates : (int, int)
        The smallest and the largest number of replicates of a system.
    nominal : NominalTimes, optional
        The times to which the times of the file are rounded, where it has too many.
    fewer : NominalTimes, optional
        The times to which they may be rounded, where it has many.
    members : int
        Number of members of the largest group, if columns name levels; of crossed ones, of all.
    """

    systems: int
    entries: int
    missing: int
    spread: float
    size: float
    rows: int = 0
    layout: Layout | None = None
    header: bool = False
    stand_ins: tuple[StandIn, ...] = ()
    known: tuple[KnownColumn, ...] = ()
    names: tuple[str, ...] = ()
    times: tuple[float, ...] = ()
    dates: bool = False
    labels: tuple[str, ...] = ()
    fewest: int = 0
    most: int = 0
    censored: int = 0
    dose: tuple[str, float] | None = None
    doses_over_time: bool = False
    limits: int = 0
    replicates: tuple[int, int] = (1, 1)
    nominal: NominalTimes | None = None
    fewer: NominalTimes | None = None
    members: int = 1

    @property
    def long(self) -> bool:
        """Whether each row of the file is one observation."""
        return self.layout is not None and self.layout.long

    @property
    def rounded_together(self) -> bool:
        """Whether a system has several values at a rounded time, though no replicates."""
        return bool(self.nominal and self.layout and self.layout.rows_are_replicates)

    @property
    def columns(self) -> tuple[ColumnUse, ...]:
        """The use of each column; empty where the file does not name them."""
        return self.layout.columns if self.layout else ()

    @property
    def system_column(self) -> str | None:
        """The column that seems to name the systems, or None."""
        return self.named("system")

    def named(self, use: Use) -> str | None:
        """Return the column of a use, or None."""
        return self.layout.named(use) if self.layout else None

    def ignored(self) -> list[str]:
        """Return the columns of a wide table that hold no observations."""
        uses = () if self.long else self.columns
        return [each.name for each in uses if each.use in ("known", "ignored")]


def survey(file: Path, given: Given | None = None, ask: Asked = refuse_to_ask) -> Survey:
    """Survey a file of observations.

    Parameters
    ----------
    given : Given, optional
        What the user states of the layout and the columns.
    ask : callable
        It answers what the file does not decide.

    Raises
    ------
    DataError
        If the file is missing, has another type, cannot be read, or holds something other than
        observations; if a column without a name counts the rows of a CSV file, or never varies; or
        if the use of a column has to be stated.
    """
    given = given or Given()
    check_exists(file)
    if not (has_named_columns(str(file)) or is_long(file)):
        if given != Given():
            raise DataError(
                f"{file}: only a CSV file has a layout and named columns, and a long table"
            )
        with named_in_errors(file):
            if told := wrong_type(str(file)):
                raise DataError(told)
            table = read_gridded(file)
            check_table(table, mask_missing=True)
            return _of_wide(table)
    with named_in_errors(file):
        text = read_text(file)
        header = trait_of_places(text) is not None
        titled = header or names_columns(text)
        frame = text.frame(titled)
        plain, marks = without_marks(frame)
        layout = layout_of(plain, given, ask)
        if marks and not (layout.long and set(marks) == {layout.named("value")}):
            # Only the values of a long table may be limits: this refuses the others.
            layout_of(frame, given, ask)
        _check_names(frame, layout)
        if layout.long:
            if not titled:
                raise DataError(_no_names(layout))
            surveyed = _of_long(plain, layout)
            limits = sum(marks.values())
            return replace(surveyed, limits=limits, censored=surveyed.censored or limits)
        refuse_counted_rows(frame, titled)
        return _of_columns(text, frame, layout if titled else None, header)


def _check_names(frame: pd.DataFrame, layout: Layout) -> None:
    """Refuse a name of several columns, unless all of them are observed (as places may repeat)."""
    names = [str(name) for name in frame.columns]
    for name, each in zip(names, layout.columns, strict=True):
        if (count := names.count(name)) > 1 and (layout.long or each.use != "observed"):
            called = f"are called '{name}'" if name else "have no name"
            raise DataError(f"{count} columns {called}; give each its own name, or remove it")


def _no_names(layout: Layout) -> str:
    first, second = layout.named("system"), layout.named("time")
    increases = f" and {second} increases within it" if second else ""
    return (
        f"looks like a long table, as {first} repeats{increases}; name the columns in a first "
        "line, or state --layout wide if each row is a system"
    )


def _of_columns(
    text: TextTable, frame: pd.DataFrame, layout: Layout | None, header: bool
) -> Survey:
    """Return the survey of a wide table with cells of text."""
    uses = layout.columns if layout else ()
    table, _ = wide_table(
        text,
        system_column=layout.named("system") if layout else None,
        header=header or None,
        others=[each.name for each in uses if each.use in ("known", "ignored", "replicate")],
    )
    check_table(table, mask_missing=True, repeated_systems=bool(layout and layout.replicated))
    return replace(_of_wide(table, layout), header=header, known=_known(frame, uses))


def _of_wide(table: ObservationTable, layout: Layout | None = None) -> Survey:
    """Return the survey of a wide table."""
    stand_ins = stand_ins_in(table.columns, list(table.values.T))
    table = without_stand_ins(table, [each.number for each in stand_ins])
    check_columns(table)
    check_varies(table)
    values, count, replicates = table.pooled().values, len(table.values), (1, 1)
    if layout and layout.replicated and table.system_ids is not None:
        numbers = np.unique(table.system_ids, return_counts=True)[1]
        count, replicates = len(numbers), (int(numbers.min()), int(numbers.max()))
    elif table.replicate_count > 1:
        replicates = (1, table.replicate_count)
    each = np.isfinite(values).sum(axis=1)
    return Survey(
        systems=count,
        entries=values.shape[1],
        missing=int(np.isnan(values).sum()),
        spread=float(np.median(np.nanstd(values, axis=0))),
        size=float(np.nanmean(np.abs(values))),
        layout=layout,
        stand_ins=tuple(stand_ins),
        names=tuple(table.names or ()),
        fewest=int(each.min()),
        most=int(each.max()),
        replicates=replicates,
    )


def _of_long(frame: pd.DataFrame, layout: Layout) -> Survey:
    system, value, time = (layout.named(use) for use in ("system", "value", "time"))
    label = layout.named("label")
    assert system is not None
    assert value is not None
    members = frame[layout.members].agg("\n".join, axis=1) if layout.levels else frame[system]
    known = _known(frame, layout.columns)
    numeric = [value, *(each.name for each in known if not each.text)]
    columns = [f"the column '{name}'" for name in numeric]
    stand_ins = stand_ins_in(columns, [numbers_of(frame, name) for name in numeric])
    values = numbers_of(frame, value, [each.number for each in stand_ins])
    held = ~np.isnan(values)
    seen = members[held].value_counts()
    by_values = Seen(value, tuple(each.number for each in stand_ins))
    places = different_times(frame, time, seen=by_values) if time else []
    labels = list(dict.fromkeys(frame[label][held])) if label else []
    nominal = fewer = None
    if time and len(places) >= MANY_TIMES:
        of_values = times_of(frame[held], time)
        if len(places) > _MOST_TIMES:
            nominal = nominal_times(of_values, members[held], most=_NOMINAL)
            places = list(nominal.times)
            layout = _with_close_times(frame, layout, values, places)
        else:
            fewer = nominal_times(of_values, members[held], share=_LITTLE)
            fewer = fewer if len(fewer.times) <= _FEWER * len(places) else None
    return Survey(
        systems=frame[system].nunique(),
        entries=max(1, len(places)) * max(1, len(labels)),
        missing=int(np.isnan(values).sum()) - layout.doses,
        rows=len(frame),
        spread=float(np.nanstd(values)),
        size=float(np.nanmean(np.abs(values))),
        layout=layout,
        stand_ins=tuple(stand_ins),
        known=known,
        times=tuple(places),
        dates=bool(time) and is_dates(frame[time].tolist()),
        labels=tuple(labels),
        fewest=int(seen.min()),
        most=int(seen.max()),
        censored=_censored(frame, layout, values),
        dose=_dose(frame, layout),
        doses_over_time=layout.named("dose") is not None,
        replicates=_replicates_of_long(frame[held], layout),
        nominal=nominal,
        fewer=fewer,
        members=_members(frame, layout),
    )


def _members(frame: pd.DataFrame, layout: Layout) -> int:
    """Return the number of members of the largest group."""
    if not layout.levels:
        return 1
    members = frame[layout.members].drop_duplicates()
    return len(members) if layout.crossed else int(members[layout.levels[0]].value_counts().max())


def _censored(frame: pd.DataFrame, layout: Layout, values: np.ndarray) -> int:
    """Return the number of values beyond a limit that a column states."""
    marks, limits = layout.named("censoring"), layout.named("lower_limit")
    if marks is not None:
        return int(np.count_nonzero((numbers_of(frame, marks) != 0) & ~np.isnan(values)))
    if limits is not None:
        return int(np.count_nonzero(values <= numbers_of(frame, limits)))
    return 0


def _dose(frame: pd.DataFrame, layout: Layout) -> tuple[str, float] | None:
    """Return the column with the doses and the mean of the positive ones; None without doses."""
    found = [c.name for c in layout.columns if c.use == "dose" or c.why == DOSE_OF_SYSTEM]
    if not found:
        return None
    amounts = numbers_of(frame, found[0])
    return found[0], float(amounts[amounts > 0].mean())


def _with_close_times(
    frame: pd.DataFrame, layout: Layout, values: np.ndarray, places: Sequence[float]
) -> Layout:
    """Return the layout with replicates where a system has several values at a rounded time."""
    if layout.replicated:
        return layout
    time, label = (str(layout.named(use)) for use in ("time", "label"))
    seen = ~np.isnan(values)
    rounded = nearest_time(times_of(frame, time), np.array(places))
    keys = [*(frame[name].to_numpy() for name in layout.members), rounded]
    if layout.named("label"):
        keys.append(frame[label].to_numpy())
    rows = list(zip(*(key[seen] for key in keys), strict=True))
    return replace(layout, rows_are_replicates=len(set(rows)) < len(rows))


def _replicates_of_long(seen: pd.DataFrame, layout: Layout) -> tuple[int, int]:
    """Return the smallest and the largest number of replicates, of rows with a value."""
    replicate = layout.named("replicate")
    if replicate is not None:
        numbers = seen.groupby(layout.members)[replicate].nunique()
    elif layout.rows_are_replicates:
        of_each = [name for use in ("time", "label") if (name := layout.named(use))]
        numbers = seen.groupby([*layout.members, *of_each]).size().groupby(layout.members).max()
    else:
        return 1, 1
    return int(numbers.min()), int(numbers.max())


def _known(frame: pd.DataFrame, uses: Sequence[ColumnUse]) -> tuple[KnownColumn, ...]:
    """Return the columns that are known of each system, with their categories."""
    found = []
    for each in uses:
        if each.use == "known":
            cells = frame[each.name]
            # Where the rows of doses alone have a cell, the others are empty.
            levels = tuple(sorted({cell for cell in cells if not is_missing(cell)}))
            text = not all(map(is_number, levels))
            whole = not text and all(float(level) % 1 == 0 for level in levels)
            few = whole and 2 < len(levels) <= _CATEGORIES
            found.append(KnownColumn(each.name, text, levels if text or few else ()))
    return tuple(found)
