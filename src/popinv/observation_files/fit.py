"""Check that a table of observations fits the forward model."""

from __future__ import annotations

import numpy as np

from popinv.errors import DataError
from popinv.observation_files.reading import read_observations
from popinv.observation_files.section import FileObservations
from popinv.observation_files.table import ObservationTable

__all__ = ["check_fits", "read_fitting"]

# Fewer systems do not make a population.
_FEWEST_SYSTEMS = 4


def read_fitting(section: FileObservations, width: int, times: int | None) -> ObservationTable:
    """Read the file of a study's ``observations`` section, and check that it fits.

    Parameters
    ----------
    section : FileObservations
    width, times : int, int or None
        As in :func:`check_fits`.

    Raises
    ------
    DataError
        If the file cannot be read, or as :func:`check_fits`.
    """
    table = read_observations(
        section.file,
        mask_missing=section.missing == "mask",
        system_column=section.system_column,
        noise_scale_column=section.noise_scale_column,
        header=section.header,
    )
    check_fits(table, section.file, width, times)
    return table


def check_fits(table: ObservationTable, path: str, width: int, times: int | None) -> None:
    """Check that a table has a column for each observation of the forward model, and enough rows.

    Parameters
    ----------
    table : ObservationTable
    path : str
        The file that the table was read from, for the message.
    width : int
        Number of observations of each system.
    times : int, optional
        Number of times among them, if the observations are time series.

    Raises
    ------
    DataError
        The message holds the numbers found and expected.
    """
    values = table.values
    if table.time_count is not None and table.time_count != times:
        raise DataError(
            f"{path}: has a time axis of length {table.time_count}, but the forward model has "
            f"{'no time' if times is None else f'{times} times'}"
        )
    if values.shape[1] != width:
        per_time = width // (times or 1)
        expected = f"{per_time} sensors" + ("" if times is None else f" at {times} times")
        raise DataError(
            f"{path}: has {values.shape[1]} columns of observations, but the study has "
            f"{expected} (rows are systems, columns are sensors).{_hint(values, width)}"
        )
    if len(values) < _FEWEST_SYSTEMS:
        raise DataError(
            f"{path}: has {len(values)} rows, but a population needs at least {_FEWEST_SYSTEMS}"
        )


def _hint(values: np.ndarray, width: int) -> str:
    rows, columns = values.shape
    if rows == width:
        return " It looks transposed."
    counts = values[:, 0] - values[0, 0]
    if columns == width + 1 and np.array_equal(counts, np.arange(rows)):
        return (
            " Its first column counts the rows; leave it out, or name it in "
            "'observations.system_column'."
        )
    return ""
