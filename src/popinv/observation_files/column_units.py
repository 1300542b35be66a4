"""Units of the columns of a table, compared with those of the tables of one study."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from popinv.errors import DataError
from popinv.sections.tables import TextTable, is_missing, is_number, place_in
from popinv.sections.units import differing_units, name_and_unit

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# Names of columns that hold units, in lower case and without marks.
_OF_UNITS = {"unit", "units", "uom", "einheit", "einheiten", "dvu", "dvunit", "dvunits"}


def units_in_names(columns: Iterable[object]) -> dict[str, str]:
    """Return the units that the names of columns state, by the names without them.

    A name with several units, such as ``c [1 h]`` and ``c [2 h]``, states places. It is left out.

    Examples
    --------
    >>> units_in_names(["id", "conc [mg/L]", "time (h)", "c [1 h]", "c [2 h]"])
    {'conc': 'mg/L', 'time': 'h'}
    """
    found: dict[str, str] = {}
    several = set()
    for name, unit in (name_and_unit(str(column)) for column in columns):
        if unit and found.setdefault(name, unit) != unit:
            several.add(name)
    return {name: unit for name, unit in found.items() if name not in several}


def stated_units(source: TextTable | pd.DataFrame | xr.Dataset) -> dict[str, str]:
    """Return the units of the columns of a table, or of the variables of a Dataset, by name."""
    if isinstance(source, TextTable):
        return units_in_names(source.cells(0, 1)[0] if source.lines else ())
    if hasattr(source, "data_vars"):
        units = {str(n): str(each.attrs.get("units", "")) for n, each in source.variables.items()}
        return {name: unit for name, unit in units.items() if unit}
    return units_in_names(source.columns)


def refuse_mixed_units(
    frame: pd.DataFrame, seen: np.ndarray, label_column: str | None = None
) -> None:
    """Refuse a long table whose column of units states several units of one quantity.

    Parameters
    ----------
    seen : ndarray of bool, shape (n,)
        The rows with a value.
    label_column : str, optional
        The column of quantities.

    Raises
    ------
    DataError
        With two units and their rows. The message does not name the file.
    """
    for column in map(str, frame.columns):
        if re.sub(r"[^a-z]", "", column.casefold()) not in _OF_UNITS:
            continue
        first: dict[str, int] = {}
        for i in np.flatnonzero(seen).tolist():
            unit = str(frame[column].iloc[i])
            if is_missing(unit) or is_number(unit):
                continue
            label = "" if label_column is None else str(frame[label_column].iloc[i])
            before = first.setdefault(label, i)
            if differing_units(unit, own := str(frame[column].iloc[before])):
                raise DataError(
                    f"{place_in(frame, before)} and {place_in(frame, i)}: the column '{column}' "
                    f"states the units {own} and {unit}"
                    + (f" of '{label}'" if label else "")
                    + ". Convert the values to one unit, or name the column that tells quantities "
                    "apart ('observations.label_column')"
                )


def refuse_other_units(given: Mapping[str, str], of_study: Mapping[str, str]) -> None:
    """Refuse a table of which a column has another unit than in the study.

    Parameters
    ----------
    given, of_study : mapping of str to str
        Units by the names of columns. Columns whose unit only one of them states are not compared.

    Raises
    ------
    DataError
        With both units. The message does not name the file.
    """
    for name, unit in given.items():
        own = of_study.get(name, "")
        if differing_units(unit, own):
            raise DataError(
                f"the column '{name}' is in '{unit}', but in the study it is in '{own}'. Convert "
                f"its values to {own}. If the units are the same, write the name of the column as "
                "the study does"
            )
