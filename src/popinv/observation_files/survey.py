"""Survey of a file of observations, before a configuration describes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from popinv.errors import DataError
from popinv.observation_files.csv_files import likely_header, likely_system_column
from popinv.observation_files.reading import read_observations
from popinv.observation_files.table import check_varies

__all__ = ["Survey", "survey"]


@dataclass(frozen=True)
class Survey:
    """The probable contents of a file of observations.

    Parameters
    ----------
    systems : int
        Number of rows.
    entries : int
        Number of observations of each system.
    system_column : str, optional
        Name of the column that seems to name the systems (CSV).
    header : bool
        Whether the first line seems to hold places or times, and is skipped (CSV).
    missing : int
        Number of missing values.
    spread : float
        Standard deviation over the systems: the median over the columns.
    """

    systems: int
    entries: int
    system_column: str | None
    header: bool
    missing: int
    spread: float


def survey(file: Path) -> Survey:
    """Survey a file of observations.

    Raises
    ------
    DataError
        As :func:`popinv.observation_files.reading.read_observations`, except for missing values;
        also if a column without a name counts the rows of a CSV file, or a column never varies.
    """
    column, header = None, False
    if file.suffix.lower() == ".csv" and file.is_file():
        try:
            header = likely_header(file)
            column = likely_system_column(file, header)
        except DataError as error:
            raise DataError(f"{file}: {error}") from None
    table = read_observations(file, mask_missing=True, system_column=column, header=header or None)
    try:
        check_varies(table)
    except DataError as error:
        raise DataError(f"{file}: {error}") from None
    values = table.values
    return Survey(
        systems=len(values),
        entries=values.shape[1],
        system_column=column,
        header=header,
        missing=int(np.isnan(values).sum()),
        spread=float(np.median(np.nanstd(values, axis=0))),
    )
