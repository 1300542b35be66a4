"""Files of observations: the types that are read, and messages that name a file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePath

from popinv.errors import DataError, nearest
from popinv.sections.text_files import kind_of

FILE_TYPES = (".csv", ".csv.gz", ".parquet", ".nc", ".zarr")
# The function of pandas that reads a format, and the package that it needs.
_CONVERSIONS = {
    ".feather": ("read_feather", "pyarrow"),
    ".xlsx": ("read_excel", "openpyxl"),
}


def has_named_columns(file: str) -> bool:
    """Return whether a file is a table whose first line may name its columns."""
    return kind_of(file) in (".csv", ".parquet")


def wrong_type(file: str) -> str | None:
    """Return why a file of this name is not read, None if its type is known.

    A table of another common format has a sentence on how to make a CSV file of it.
    """
    if kind_of(file) in FILE_TYPES:
        return None
    told = (
        f"the name of an observation file ends in {', '.join(FILE_TYPES[:-1])} or {FILE_TYPES[-1]}"
    )
    path = PurePath(file)
    if path.suffix.lower() not in _CONVERSIONS:
        return told
    function, package = _CONVERSIONS[path.suffix.lower()]
    return (
        f"{told}. Make a CSV file of it: python -c \"import pandas; pandas.{function}('{file}')"
        f".to_csv('{path.with_suffix('.csv')}', index=False)\", after python -m pip install "
        f"{package}"
    )


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
    if not (file.is_file() or file.is_dir()):
        raise DataError(f"{path}: is a pipe or a device; write its content to a file, and name it")


def _nearest_file(file: Path) -> str:
    folder = file.parent
    if not folder.is_dir():
        return f" There is no folder '{folder}' in '{Path.cwd()}'."
    # Names are compared without their endings too: data.csv for data.nc is a likely slip.
    names = [entry.name for entry in folder.iterdir()]
    same_stem = [name for name in names if Path(name).stem == file.stem]
    hint = nearest(file.name, same_stem or names)
    return hint.replace("'", f"'{folder}/", 1) if hint and str(folder) != "." else hint
