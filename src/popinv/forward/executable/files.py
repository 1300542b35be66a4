"""The two files between this package and a program: parameters in, observations out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from popinv.errors import SolverError
from popinv.forward.external import messages
from popinv.forward.external.evaluation import CallFailed
from popinv.sections.tables import is_number


def write_input(path: Path, names: Sequence[str], z: np.ndarray, seeds: np.ndarray | None) -> None:
    """Write the parameters of some systems, with 17 digits, which is exact.

    Parameters
    ----------
    path : Path
        Ends in ``.csv`` or ``.npy``.
    names : sequence of str, length d_z
    z : ndarray of shape (n, d_z)
    seeds : ndarray of int, shape (n,), or None
        A last column, where given.
    """
    if path.suffix == ".npy":
        np.save(path, z if seeds is None else np.column_stack([z, seeds]))
        return
    header, rows = list(names), [[f"{value:.17g}" for value in row] for row in z]
    if seeds is not None:
        header.append("seed")
        for row, seed in zip(rows, seeds, strict=True):
            row.append(str(seed))
    path.write_text("".join(",".join(row) + "\n" for row in [header, *rows]))


def read_output(path: Path, numbers: int | None = None) -> np.ndarray:
    """Read the output of a program.

    Parameters
    ----------
    path : Path
        Ends in ``.csv`` (numbers separated by commas or spaces) or ``.npy``.
    numbers : int, optional
        How many numbers are expected, which limits the size of the file.

    Returns
    -------
    ndarray of float64, shape (n, d_y)

    Raises
    ------
    CallFailed
        If there is no such file.
    SolverError
        If it is not a table of numbers, or too large to be one.
    """
    if not os.path.lexists(path):
        raise CallFailed("the program wrote no output file")
    if not path.is_file():
        # Reading a pipe could wait without end.
        raise SolverError("the program's output is not a regular file")
    most = messages.LARGEST_ANSWER if numbers is None else messages.largest_text(numbers)
    if (size := path.stat().st_size) > most:
        expected = "" if numbers is None else f" for {numbers} numbers"
        raise SolverError(
            f"the program's output has {size} bytes, but at most {most} are read{expected}; if "
            "that is correct, lower 'forward.rows_per_call', or write fewer characters"
        )
    if path.suffix == ".csv":
        return _read_csv(path)
    return _read_npy(path)


def _read_npy(path: Path) -> np.ndarray:
    try:
        # The file is mapped first, so that the size in its header is not allocated before the data
        # exist. Objects are refused, as restoring them would run code.
        values = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, TypeError, OSError, EOFError, OverflowError) as error:
        why = str(error).split(". ")[0]
        raise SolverError(f"the program's output is not a .npy file of numbers: {why}") from error
    if values.dtype.kind not in "iuf":
        raise SolverError(
            f"the program's output has entries of type {values.dtype}, but they must be numbers"
        )
    return np.array(values, dtype=np.float64)


def _read_csv(path: Path) -> np.ndarray:
    try:
        text = path.read_text()
    except UnicodeDecodeError as error:
        raise SolverError(f"the program's output is not text: {error}") from error
    lines = [(i, line.strip()) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    rows: list[list[float]] = []
    for i, (number, line) in enumerate(lines):
        cells = [cell.strip() for cell in line.split(",")] if "," in line else line.split()
        try:
            rows.append([float(cell) for cell in cells])
        except ValueError as error:
            if i == 0 and not any(map(is_number, cells)):
                continue  # the names
            raise SolverError(f"the program's output, line {number}: {error}") from None
        if len(rows[-1]) != len(rows[0]):
            raise SolverError(
                f"the program's output, line {number}: has {len(rows[-1])} columns, but the lines "
                f"before have {len(rows[0])}"
            )
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1 if rows else 0)
