r"""Dosing tables in the columns of the field, expanded into single doses.

A row is a dose if its amount is positive. The columns have NONMEM's names and meaning:

- ``EVID``: 0 an observation, 1 a dose, 2 another event.
- ``ADDL`` and ``II``: so many further doses, each II after the one before.
- ``RATE``: the dose is an infusion at this rate, so that it lasts ``AMT / RATE``; 0 is a bolus.
- ``CMT``: the compartment, 1 if it is not stated.

Source: NONMEM Users Guide, part V, chapter 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from popinv.errors import DataError
from popinv.sections.tables import numbers_of, place_in
from popinv.sections.units import differing_units, name_and_unit

if TYPE_CHECKING:
    import pandas as pd

AMOUNT, DURATION, COMPARTMENT = "amount", "duration", "compartment"
QUANTITIES = (AMOUNT, DURATION, COMPARTMENT)
"""What may be known of a dose, in addition to its time."""

_EVENT, _LACKS, _RATE, _COMPARTMENT, _FURTHER, _INTERVAL, _STEADY = (
    "EVID",
    "MDV",
    "RATE",
    "CMT",
    "ADDL",
    "II",
    "SS",
)
_MOST_DOSES = 100_000
# Times of two infusions that touch differ by rounding.
_ROUNDING = 1e-9


def standard_column(frame: pd.DataFrame, name: str) -> str | None:
    """Return the column of a name of the field, in any case and with or without its unit."""
    columns = [str(column) for column in frame.columns]
    found = [each for each in columns if name_and_unit(each)[0].strip().upper() == name]
    return found[0] if found else None


def is_compartment(column: str) -> bool:
    """Return whether a column has the name of that of compartments."""
    return name_and_unit(column)[0].strip().upper() == _COMPARTMENT


def is_of_dosing(column: str) -> bool:
    """Return whether a column has the name of one that tells how doses are given."""
    name = name_and_unit(column)[0].strip().upper()
    return name in (_RATE, _COMPARTMENT, _FURTHER, _INTERVAL, _STEADY)


def has_marks(frame: pd.DataFrame) -> bool:
    """Return whether a column says which rows are doses."""
    return standard_column(frame, _EVENT) is not None


def quantities_of(frame: pd.DataFrame) -> list[str]:
    """Return what a table says of its doses in addition to their times."""
    stated = {DURATION: _RATE, COMPARTMENT: _COMPARTMENT}
    held = [each for each, name in stated.items() if standard_column(frame, name) is not None]
    return [AMOUNT, *held]


def numbers_in(frame: pd.DataFrame, column: str | None, missing: float = np.nan) -> np.ndarray:
    """Return a column of numbers (n,); all missing for None."""
    if column is None:
        return np.full(len(frame), missing)
    values = numbers_of(frame, column)
    return np.where(np.isnan(values), missing, values)


def dose_rows(frame: pd.DataFrame, amount_column: str) -> np.ndarray:
    """Return which rows (n,) of a table are doses.

    Raises
    ------
    DataError
        If an amount is negative, if amount and EVID contradict each other, or if EVID has a value
        that is not read. The message does not name the file.
    """
    amount = numbers_in(frame, amount_column, 0.0)
    for i in np.flatnonzero(amount < 0)[:1]:
        raise DataError(
            f"{place_in(frame, i)}: the column '{amount_column}' holds {amount[i]:g}, but an "
            "amount is not negative; correct it, or leave the cell empty in a row that is no dose"
        )
    column = standard_column(frame, _EVENT)
    if column is None:
        given: np.ndarray = amount > 0
        return given
    event = numbers_in(frame, column, 0.0)
    for i in np.flatnonzero(~np.isin(event, (0, 1, 2)))[:1]:
        told = "resets a system" if event[i] in (3, 4) else "has no meaning"
        raise DataError(
            f"{place_in(frame, i)}: the column '{column}' holds {event[i]:g}, which {told}; 0 (an "
            "observation), 1 (a dose) and 2 (another event) are read. Take what follows a reset "
            "for a system of its own"
        )
    for i in np.flatnonzero((event == 1) != (amount > 0))[:1]:
        raise DataError(
            f"{place_in(frame, i)}: the column '{column}' holds {event[i]:g}, and the amount "
            f"'{amount_column}' is {amount[i]:g}; a dose has EVID 1 and a positive amount, and "
            f"another row has none. With a column '{column}', write observation and dose of one "
            "time in two rows"
        )
    return np.asarray(event == 1)


def rows_without_observation(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return which rows (n,) of a table of doses and observations hold no observation, by reason.

    These are the rows with MDV 1, and the rows whose EVID is not 0. Without these columns, a row
    may hold both a dose and an observation. The reasons follow a number of values, as "in rows with
    MDV 1" does.
    """
    found: dict[str, np.ndarray] = {}
    taken = np.zeros(len(frame), dtype=bool)
    for name, what in ((_LACKS, "1"), (_EVENT, "other than 0")):
        column = standard_column(frame, name)
        if column is not None:
            rows = (numbers_in(frame, column, 0.0) != 0) & ~taken
            found[f"in rows with {column} {what}"] = rows
            taken |= rows
    return found


def check_units(frame: pd.DataFrame, time_column: str, amount_column: str) -> None:
    """Refuse an interval or a rate in another unit than times and amounts, where all are stated.

    Raises
    ------
    DataError
        Naming the column, its unit and the unit that it should have.
    """
    time, amount = (name_and_unit(name)[1] for name in (time_column, amount_column))
    wanted = {_INTERVAL: time, _RATE: f"{amount}/{time}" if amount and time else None}
    for name, unit in wanted.items():
        column = standard_column(frame, name)
        given = None if column is None else name_and_unit(column)[1]
        if given and unit and differing_units(given, unit):
            raise DataError(
                f"the column '{column}' is in {given}, but times and amounts are in "
                f"{time}{f' and {amount}' if amount else ''}; convert it to {unit}"
            )


def single_doses(
    frame: pd.DataFrame,
    rows: np.ndarray,
    times: np.ndarray,
    system: np.ndarray,
    amount_column: str,
    quantities: tuple[str, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """Return single doses: their system (m,), and time with the ``quantities`` (m, 1 + k).

    Parameters
    ----------
    frame : DataFrame
        A table of text.
    rows : ndarray of int
        The rows that are doses.
    times : ndarray of shape (n,)
        The times of all rows.
    system : ndarray of shape (n,)
        The number of the system of each row.

    Returns
    -------
    ndarray of int, shape (m,)
    ndarray of shape (m, 1 + k)
        In the order of the systems, then of the times.

    Raises
    ------
    DataError
        If further doses have no interval, if a rate is not one, or if infusions into one
        compartment overlap. The message does not name the file.
    """
    held = {
        name: numbers_in(frame, standard_column(frame, name), 0.0)
        for name in (_RATE, _FURTHER, _INTERVAL, _STEADY)
    }
    amount = numbers_in(frame, amount_column, 0.0)
    compartment = numbers_in(frame, standard_column(frame, _COMPARTMENT), 1.0)
    rate, further, interval = held[_RATE], held[_FURTHER], held[_INTERVAL]
    for i in rows:
        if problem := _wrong(rate[i], further[i], interval[i], held[_STEADY][i]):
            raise DataError(f"{place_in(frame, i)}: {problem}")
    if (asked := int((1 + further[rows]).sum())) > _MOST_DOSES:
        raise DataError(f"ADDL makes {asked} doses, at most {_MOST_DOSES} are read")
    again = np.repeat(rows, (1 + further[rows]).astype(int))
    # The number of each dose among those of its row.
    number = np.arange(len(again)) - np.repeat(
        np.flatnonzero(np.diff(again, prepend=-1)), (1 + further[rows]).astype(int)
    )
    # Rounded, so that the third dose every 0.1 h is at 0.3 h.
    at = np.round(times[again] + number * interval[again], 12)
    duration = np.divide(amount, rate, out=np.zeros_like(amount), where=rate > 0)
    columns = {AMOUNT: amount, DURATION: duration, COMPARTMENT: compartment}
    if DURATION not in quantities and duration[rows].any():
        raise DataError(
            f"the table has infusions ('{_RATE}'), but 'forward.inputs.columns' does not name "
            f"'{DURATION}'; leave 'columns' out"
        )
    order = np.lexsort((at, system[again]))
    again, at = again[order], at[order]
    _refuse_overlap(frame, again, at, system, duration, compartment)
    chosen = [columns[name][again] for name in quantities]
    return system[again], np.column_stack([at, *chosen])


def _wrong(rate: float, further: float, interval: float, steady: float) -> str:
    """Return what is wrong with a dose, or ""."""
    if rate < 0:
        return (
            f"the column '{_RATE}' holds {rate:g}, but a rate is positive, or 0 for a bolus; a "
            "rate or a duration that is a parameter (-1, -2) is left to the simulator: write 0"
        )
    if further < 0 or further != int(further):
        return f"the column '{_FURTHER}' holds {further:g}, but it is a number of doses, 0 or more"
    if further and not interval > 0:
        return (
            f"the column '{_FURTHER}' asks for {further:g} further doses, but '{_INTERVAL}', the "
            f"time between them, is {interval:g}; write a positive interval, or write the doses "
            "row by row"
        )
    if steady:
        return (
            f"the column '{_STEADY}' holds {steady:g}, but doses at a steady state are not read; "
            f"write the doses before it, with '{_FURTHER}' and '{_INTERVAL}'"
        )
    return ""


def _refuse_overlap(
    frame: pd.DataFrame,
    rows: np.ndarray,
    at: np.ndarray,
    system: np.ndarray,
    duration: np.ndarray,
    compartment: np.ndarray,
) -> None:
    """Refuse infusions into one compartment of a system of which one begins before another ends."""
    ends: dict[tuple[int, float], tuple[float, int]] = {}
    for i, start in zip(rows, at, strict=True):
        if not duration[i]:
            continue
        key = int(system[i]), float(compartment[i])
        end, other = ends.get(key, (-np.inf, i))
        if start < end - _ROUNDING * max(1.0, abs(end)):
            raise DataError(
                f"{place_in(frame, i)}: an infusion into compartment {compartment[i]:g} begins at "
                f"{start:g}, before the one of {place_in(frame, other)} ends at {end:g}; one "
                "infusion at a time runs into a compartment. Write intervals that do not overlap, "
                "with the sum of the rates"
            )
        ends[key] = start + duration[i], i
