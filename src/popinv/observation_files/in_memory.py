"""Observations in memory, in the place of a file: a table of pandas, or a Dataset of xarray.

A table holds text, as one that is read from a CSV file, so that both are read alike: see
:func:`text_frame`. A Dataset has the form of :mod:`popinv.observation_files.gridded_files`. Its
variables along the systems alone are what is known of each system.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from popinv.errors import DataError
from popinv.observation_files.gridded_files import gridded_table
from popinv.observation_files.table import ObservationTable
from popinv.sections.tables import named_column, numbers_of
from popinv.sections.text_files import cell_text

Given = pd.DataFrame | xr.Dataset
"""A table of text, or a Dataset."""

FIRST_LINE = 2
"""The number of the first row of a table in memory: the line that it would have in a CSV file."""


def text_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table as text, as :func:`popinv.sections.tables.read_frame` returns that of a file.

    Parameters
    ----------
    frame : DataFrame
        Its index is left out.

    Raises
    ------
    DataError
        If two columns have the same name, or columns have names of several levels.

    Examples
    --------
    >>> text_frame(pd.DataFrame({"a": [1.5, None], 0.5: ["x", "y"]})).to_numpy().tolist()
    [['1.5', 'x'], ['', 'y']]
    """
    if frame.columns.nlevels > 1:
        raise DataError("its columns have names of several levels; give each column one name")
    names = [str(name) for name in frame.columns]
    for name in names:
        if (count := names.count(name)) > 1:
            raise DataError(f"{count} columns are called '{name}'; give each its own name")
    cells = {name: _cells(frame.iloc[:, i]) for i, name in enumerate(names)}
    index = pd.RangeIndex(FIRST_LINE, FIRST_LINE + len(frame), name="line")
    return pd.DataFrame(cells, columns=names, index=index, dtype=object)


def _cells(column: pd.Series) -> list[str]:
    if column.dtype == bool:
        column = column.astype(int)
    missing = column.isna().to_numpy()
    return [
        "" if gap else cell_text(cell).strip()
        for cell, gap in zip(column.tolist(), missing, strict=True)
    ]


def systems_frame(given: Given) -> pd.DataFrame:
    """Return the table of text that holds what is known of each system.

    Of a Dataset, these are its variables and coordinates along the systems alone.
    """
    if isinstance(given, pd.DataFrame):
        return given
    systems = max(given.data_vars.values(), key=lambda array: array.ndim).dims[0]
    systems = "system" if "system" in given.dims else systems
    columns = {
        str(name): array.values
        for name, array in given.variables.items()
        if array.dims == (systems,)
    }
    return text_frame(pd.DataFrame(columns))


def wide_table(
    given: Given,
    system_column: str | None,
    noise_scale_column: str | None,
    others: Sequence[str],
    limits: Mapping[str, Sequence[str]],
) -> ObservationTable:
    """Return the observations of a table with a row for each system, or of a Dataset.

    Parameters
    ----------
    given : DataFrame or Dataset
    system_column, noise_scale_column : str, optional
        Columns of a table that do not hold observations.
    others : sequence of str
        Further columns of a table that do not hold observations.
    limits : mapping of str to sequence of str
        The variables of a Dataset with limits, by the keys that name them.

    Raises
    ------
    DataError
        If a column lacks, or a cell is neither a number nor missing.
    """
    if isinstance(given, xr.Dataset):
        return gridded_table(given, limits)
    special = {"system_column": system_column, "noise_scale_column": noise_scale_column}
    found = {
        key: named_column(given, name, f"observations.{key}")
        for key, name in special.items()
        if name is not None
    }
    skipped = {named_column(given, name, "observations.ignored_columns") for name in others}
    observed = [name for name in given.columns if name not in {*found.values(), *skipped}]
    values = np.column_stack(
        [np.empty((len(given), 0)), *(numbers_of(given, name) for name in observed)]
    )
    scale, system = found.get("noise_scale_column"), found.get("system_column")
    return ObservationTable(
        values,
        rows=[f"line {line}" for line in given.index],
        columns=[f"column '{name}'" for name in observed],
        noise_scale=None if scale is None else numbers_of(given, scale),
        system_ids=None if system is None else given[system].to_numpy(dtype=np.str_),
        names=observed,
    )
