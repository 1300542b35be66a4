"""Files of observations in one of several formats, before anything is known of the study.

Values that cannot be observations (text, infinity) are refused, and the message names their place.
Missing values (an empty cell, NA, NaN) are refused too, or kept as NaN if the caller requests it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from popinv.errors import DataError, nearest
from popinv.observation_files.gridded_files import read_gridded
from popinv.observation_files.section import FILE_TYPES, conversion, has_named_columns
from popinv.observation_files.stand_ins import without_stand_ins
from popinv.observation_files.table import ObservationTable, check_table
from popinv.observation_files.wide_tables import wide_table
from popinv.sections.tables import read_text
from popinv.sections.text_files import kind_of


def read_observations(
    path: str | os.PathLike[str],
    *,
    mask_missing: bool = False,
    repeated_systems: bool = False,
    system_column: str | None = None,
    noise_scale_column: str | None = None,
    header: bool | None = None,
    others: Sequence[str] = (),
    stand_ins: Sequence[float] = (),
) -> ObservationTable:
    """Read observations from a CSV, Parquet (.parquet), NetCDF (.nc) or zarr (.zarr) file.

    Parameters
    ----------
    path : path
        Relative to the working directory, or absolute.
    mask_missing : bool
        Whether missing values are kept as NaN. Otherwise they are refused.
    repeated_systems : bool
        Whether a system may have several rows.
    system_column, noise_scale_column : str, optional
        Columns of a CSV file that do not hold observations.
    header : bool, optional
        Whether the first line of a CSV file is skipped, as it holds names, places or times. None
        skips it if it holds no number or a column is named.
    others : sequence of str
        Further columns of a CSV file that do not hold observations.
    stand_ins : sequence of float
        Numbers that stand for a missing value.

    Raises
    ------
    DataError
        If the file is missing (the message gives the nearest existing name), has another type,
        cannot be read, is empty, or holds something other than observations (with row and column);
        or if a first line of numbers looks like places or times and ``header`` is None.
    """
    file = Path(path)
    check_exists(path)
    with named_in_errors(path):
        if kind_of(file) not in FILE_TYPES:
            raise DataError(
                f"an observation file ends in {', '.join(FILE_TYPES[:-1])} or {FILE_TYPES[-1]}"
                f"{conversion(str(path))}"
            )
        if has_named_columns(str(path)):
            table, _ = wide_table(
                read_text(file),
                system_column=system_column,
                noise_scale_column=noise_scale_column,
                header=header,
                others=others,
            )
        else:
            table = read_gridded(file)
        if len(stand_ins):
            table = without_stand_ins(table, stand_ins)
        check_table(table, mask_missing, repeated_systems)
    return table


@contextlib.contextmanager
def named_in_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name a file before the message of a DataError."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def check_exists(path: str | os.PathLike[str]) -> None:
    """Check that a file is there.

    Raises
    ------
    DataError
        If not. The message names the file, and the nearest name that there is.
    """
    file = Path(path)
    if not file.exists():
        raise DataError(f"{path}: there is no such file.{_nearest_file(file)}")


def _nearest_file(file: Path) -> str:
    folder = file.parent
    if not folder.is_dir():
        return f" There is no folder '{folder}' in '{Path.cwd()}'."
    # Names are compared without their endings too: data.csv for data.nc is a likely slip.
    names = [entry.name for entry in folder.iterdir()]
    same_stem = [name for name in names if Path(name).stem == file.stem]
    hint = nearest(file.name, same_stem or names)
    return hint.replace("'", f"'{folder}/", 1) if hint and str(folder) != "." else hint
