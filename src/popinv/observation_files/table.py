"""A table of observations, and the checks that do not depend on the file's format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from popinv.errors import DataError
from popinv.observation_files.doubtful_cells import aggregate_row, alike
from popinv.sections.messages import control_characters

if TYPE_CHECKING:
    import pandas as pd

    from popinv.observation_files.known_columns import KnownColumns
    from popinv.observation_files.trees import MemberTree


_ADVICE = (
    "Every observation must be a finite number. Leave out the systems that lack one, or mask "
    "missing values: 'observations.missing: mask'."
)


# Equal systems are reported if chance would make fewer than this many, and this many are shown.
_BY_CHANCE, _SHOWN = 1e-3, 3


@dataclass(frozen=True)
class Account:
    """How many values a table holds, and why some of them are not used.

    Attributes
    ----------
    total : int
        Cells of the observed columns that are not empty.
    masked : mapping of str to int
        Values that are not used, by the reason: words that follow "60 values".

    Examples
    --------
    >>> account = Account(168, {"in rows with EVID 1": 60, "that stand for missing ones": 0})
    >>> account.used, account.sentence()
    (108, '108 of the 168 values of the table are used, but not 60 in rows with EVID 1')
    """

    total: int
    masked: Mapping[str, int] = field(default_factory=dict)

    @property
    def used(self) -> int:
        """The number of values that the answer learns from."""
        return self.total - sum(self.masked.values())

    def without(self, reason: str, count: int) -> Account:
        """Return the account with further values that are not used."""
        return replace(self, masked={**self.masked, reason: count})

    def sentence(self) -> str:
        """Return the account in words."""
        masked = [f"{count} {reason}" for reason, count in self.masked.items() if count]
        if not masked:
            return f"all {self.total} values of the table are used"
        return (
            f"{self.used} of the {self.total} values of the table are used, but not "
            + " and not ".join(masked)
        )


@dataclass(frozen=True)
class ObservationTable:
    """The observations of a file, and where in the file each of them stands.

    Parameters
    ----------
    values : ndarray of float64, shape (n, R d_y)
        One row per system, NaN where nothing was observed. Observations with a time axis are
        place-major, time fastest. The R replicates of a system are side by side.
    rows, columns : sequence of str, length n, d_y
        The places of rows and columns, for messages, such as "line 2" and "column 3".
    noise_scale : ndarray of shape (n,), optional
        Known factor on the standard deviation of each system's noise.
    system_ids : ndarray of str, shape (n,), optional
        The names of the systems in the file.
    time_count : int, optional
        Length of the time axis, if the file has its own.
    known : KnownColumns, optional
        Design and covariates of the systems.
    names : sequence of str, length d_y, optional
        The names of the observations in the file, all different.
    units : sequence of str, optional
        The units that the file states of its observations, "" where it states none.
    column_units : mapping of str to str
        The units that the file states of any of its columns, by their names.
    replicate_count : int
        R, the largest number of replicates of a system; 1 if each is observed once.
    time_shifts : ndarray of shape (n, R d_y), optional
        The time of each observation minus the time of the forward model, if times were rounded.
    limits : mapping of str to ndarray of shape (n, R d_y), optional
        Limits of the observations, by the keys that state them; NaN where columns have none.
    limits_shared : bool
        False if only the limits of censored values are known.
    labels : ndarray of str, shape (n, L), optional
        The labels of each row at the levels of the study, from outer to inner. A row is then a
        member of a group.
    tree : MemberTree, optional
        The members of a row, if a row is a group.
    member_ids : ndarray of str, shape (n, M), optional
        Their names, "" for members that a group lacks.
    equal_labels : str
        How equal labels of several groups count, in words, where most labels come up in most
        groups.
    unused : DataFrame, optional
        Columns of text with one value for each system, which the study does not use; None for
        groups.
    account : Account
        The values of the source, and those that are not used. Every reader of a source states it,
        and :func:`check_account` refuses a table whose reader does not.
    """

    values: np.ndarray
    rows: Sequence[str]
    columns: Sequence[str]
    noise_scale: np.ndarray | None = None
    system_ids: np.ndarray | None = None
    time_count: int | None = None
    known: KnownColumns | None = None
    names: Sequence[str] | None = None
    units: Sequence[str] = ()
    column_units: Mapping[str, str] = field(default_factory=dict)
    replicate_count: int = 1
    time_shifts: np.ndarray | None = None
    limits: Mapping[str, np.ndarray] | None = None
    limits_shared: bool = True
    labels: np.ndarray | None = None
    tree: MemberTree | None = None
    member_ids: np.ndarray | None = None
    equal_labels: str = ""
    unused: pd.DataFrame | None = None
    account: Account = Account(0)

    @property
    def present_members(self) -> np.ndarray:
        """Boolean mask (n, M): the members of each row that have a value."""
        members = 1 if self.tree is None else self.tree.members
        seen = np.isfinite(self.values.reshape(len(self.values), members, -1))
        return np.asarray(seen.any(axis=2))

    def pooled(self) -> ObservationTable:
        """Return the replicates as rows of their own, without those that lack."""
        if self.replicate_count == 1:
            return self
        width = self.values.shape[1] // self.replicate_count
        values = self.values.reshape(-1, width)
        seen = np.isfinite(values).any(axis=1)
        rows = np.repeat(np.array(self.rows, dtype=object), self.replicate_count)
        return ObservationTable(
            values[seen], rows[seen].tolist(), self.columns[:width], names=self.names
        )


def check_table(
    table: ObservationTable,
    mask_missing: bool,
    repeated_systems: bool = False,
    population: bool = True,
) -> None:
    """Check that a table holds observations.

    With ``repeated_systems`` a system may have several rows. Systems that are no ``population`` to
    learn from may have no observation, and are not compared with each other.

    Raises
    ------
    DataError
        If a value is infinite; if a value is missing, unless ``mask_missing``; if a system has no
        observation; if a noise scale is not positive and finite; if two systems have the same
        name, or names that look the same; or if a row sums up others. The message names row and
        column, but not the file.
    """
    values = table.values
    if values.size == 0:
        raise DataError("holds no observations")
    _refuse(table, np.isinf(values), "is infinite", "Every observation must be a finite number.")
    missing = np.isnan(values)
    if not mask_missing:
        _refuse(table, missing, "is missing", _ADVICE)
    for row in np.flatnonzero(missing.all(axis=1) & population)[:1]:
        raise DataError(
            f"{table.rows[row]} holds no observation at all; a system without observations carries "
            "no information, so leave it out"
        )
    if table.noise_scale is not None:
        _check_scale(table, table.noise_scale)
    _check_text(table)
    if table.system_ids is not None:
        _check_ids(table, table.system_ids, repeated_systems)
    if population and (found := aggregate_row(values, _names(table))) is not None:
        raise DataError(
            f"{table.rows[found[0]]} {found[1]}, so it is no system. Leave out the rows that sum "
            "up others; a system of that name needs another one"
        )


def check_account(table: ObservationTable) -> None:
    """Check that every value of the source is used, or left out for a stated reason.

    Raises
    ------
    DataError
        If a reader has lost a value.
    """
    read = int(np.count_nonzero(~np.isnan(table.values)))
    if read != table.account.used:
        raise DataError(
            f"{read} values were read, but {table.account.sentence()}; this is a fault of the "
            "reader, please report it with the table"
        )


def check_columns(table: ObservationTable) -> None:
    """Check that every column holds an observation.

    Raises
    ------
    DataError
        With the first column that holds none. The message does not name the file.
    """
    for column in np.flatnonzero(~np.isfinite(table.pooled().values).any(axis=0))[:1]:
        raise DataError(
            f"{table.columns[column]} holds no observation of any system; leave out the sensor, "
            "here and in the study's forward model"
        )


def check_varies(table: ObservationTable, rows: np.ndarray | None = None) -> None:
    """Check that every column varies over the systems.

    Parameters
    ----------
    rows : ndarray of int, optional
        The systems that must differ; by default all.

    Raises
    ------
    DataError
        If a column holds one number alone. Such a column is no observation with noise: a variance
        of zero has no logarithm and no inverse to weigh the data by. The message does not name the
        file.
    """
    if rows is not None:
        table = replace(table, values=table.values[rows], rows=[table.rows[i] for i in rows])
    values = table.pooled().values
    seen = np.isfinite(values)
    low = np.where(seen, values, np.inf).min(axis=0, initial=np.inf)
    high = np.where(seen, values, -np.inf).max(axis=0, initial=-np.inf)
    for column in np.flatnonzero(low == high)[:1]:
        count = int(seen[:, column].sum())
        raise DataError(
            f"{table.columns[column]} is {low[column]:g} in all {count} systems"
            f"{' to learn from' if rows is not None else ''}; a sensor that never varies carries "
            "no information on the population or the noise, so leave it out, here and in the "
            "study's forward model"
        )


def moved_by_rounding(table: ObservationTable, y: np.ndarray, times: np.ndarray) -> float:
    r"""Return by how much rounding moves the observations, as a root mean square.

    To first order an observation at t + d instead of t is moved by ``d dG/dt``. The slopes
    belong to the noise-free curves y, by differences between the times of the forward model.

    Parameters
    ----------
    table : ObservationTable
        With ``time_shifts``.
    y : ndarray of shape (m, d_y)
        Noise-free observations of some systems, place-major, time fastest.
    times : ndarray of shape (n_t,)
        At least two.
    """
    assert table.time_shifts is not None
    curves = y.reshape(len(y), -1, len(times))
    slopes = np.gradient(curves, times, axis=2)
    square = (slopes**2).mean(axis=0).ravel()
    shifts = table.time_shifts.reshape(-1, len(square))
    return float(np.sqrt(np.nanmean(shifts**2 * square)))


def described_rounding(table: ObservationTable) -> str:
    """Return the size of the rounding in words, or "" if no time was rounded."""
    if table.time_shifts is None or not np.nanmax(np.abs(table.time_shifts)) > 0:
        return ""
    largest = float(np.nanmax(np.abs(table.time_shifts)))
    typical = float(np.sqrt(np.nanmean(table.time_shifts**2)))
    return (
        f"times are rounded to the nearest of the forward model, by at most {largest:.3g} "
        f"({typical:.3g} as a root mean square)"
    )


def described_equals(table: ObservationTable) -> str:
    """Return which systems have equal observations in words, or "" if none have beyond chance.

    By chance a pair of n systems with d values each is equal about n (n - 1) / 2 q^d times, with q
    the chance that two values of the table are equal.
    """
    seen = np.isfinite(table.values)
    counts = np.unique(table.values[seen], return_counts=True)[1]
    chance, systems = float(np.sum((counts / counts.sum()) ** 2)), len(table.values)
    groups: dict[bytes, list[int]] = {}
    for row, values in enumerate(table.values):
        groups.setdefault(values.tobytes(), []).append(row)
    pairs = systems * (systems - 1) / 2
    equal = [
        rows
        for rows in groups.values()
        if len(rows) > 1 and pairs * chance ** int(seen[rows[0]].sum()) < _BY_CHANCE
    ]
    if not equal:
        return ""
    names, ids = table.rows, _names(table)
    if ids is not None:
        names = [f"'{name}'" for name in ids]
    shown = "; ".join(
        f"{', '.join(names[row] for row in rows[:-1])} and {names[rows[-1]]}"
        for rows in equal[:_SHOWN]
    )
    more = f"; and {len(equal) - _SHOWN} more" if len(equal) > _SHOWN else ""
    return (
        f"{'systems have' if ids is not None else 'rows hold'} equal observations: {shown}{more}. "
        "If one is a copy of the other, leave it out: it would count twice"
    )


def described(table: ObservationTable) -> list[str]:
    """Return what is told of a table before its first run: its values, and what may be equal."""
    return [
        told
        for told in (table.account.sentence(), described_equals(table), table.equal_labels)
        if told
    ]


def _refuse(table: ObservationTable, bad: np.ndarray, fault: str, advice: str) -> None:
    if not bad.any():
        return
    count, (row, column) = int(bad.sum()), np.argwhere(bad)[0]
    others = f" (the first of {count} such values)" if count > 1 else ""
    raise DataError(f"{table.rows[row]}, {table.columns[column]} {fault}{others}. {advice}")


def _names(table: ObservationTable) -> list[str] | None:
    return None if table.system_ids is None else list(map(str, table.system_ids))


def _check_scale(table: ObservationTable, scale: np.ndarray) -> None:
    for row in np.flatnonzero(~(np.isfinite(scale) & (scale > 0)))[:1]:
        given = "missing" if np.isnan(scale[row]) else f"{scale[row]:g}"
        raise DataError(
            f"{table.rows[row]}: the noise scale is {given}, but every system needs one that is "
            "positive and finite"
        )


def _check_text(table: ObservationTable) -> None:
    """Refuse names and units with characters that a terminal takes for commands."""
    of_systems = zip(table.rows, _names(table) or [], strict=False)
    of_columns = zip(table.columns, table.names or [], strict=False)
    of_units = (("the unit", unit) for unit in (*table.units, *table.column_units.values()))
    for place, text in (*of_systems, *of_columns, *of_units):
        if signs := control_characters(text):
            raise DataError(
                f"{json.dumps(place)[1:-1]} has the control character {signs[0]!r} in "
                f"{json.dumps(text)}; leave it out"
            )


def _check_ids(table: ObservationTable, ids: np.ndarray, repeated: bool) -> None:
    if (found := alike(list(map(str, ids)))) is not None:
        first, second, words = found
        raise DataError(f"{table.rows[first]} and {table.rows[second]} name the systems {words}")
    seen: dict[str, int] = {}
    for row, name in enumerate(map(str, ids)):
        if not name:
            raise DataError(f"{table.rows[row]}: the system has no name")
        if name in seen and not repeated:
            raise DataError(
                f"{table.rows[seen[name]]} and {table.rows[row]} both belong to system '{name}', "
                "but each system has one row. If they are replicates, observations of the same "
                "parameters with noise of their own, set 'observations.replicates: rows'"
            )
        seen[name] = row
