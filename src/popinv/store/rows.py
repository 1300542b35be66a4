"""A table of a store that is read by rows, and never in memory as a whole.

:class:`StoredRows` takes the place of an array of shape (N, d) where N systems are visited in
blocks: it has its shape, and its rows are read from the store when they are needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import xarray as xr

from popinv.store import STAYS_FROM

# Numbers of a block of rows.
_BLOCK_VALUES = 2**21


class StoredRows:
    """The rows of a two-dimensional variable that is not in memory.

    Parameters
    ----------
    variable : Variable of shape (N, d)
        From :func:`popinv.store.storage.load` with ``stored``.
    fill : ndarray of shape (d,), optional
        The value of each column that takes the place of NaN.
    """

    def __init__(self, variable: xr.Variable, fill: np.ndarray | None = None) -> None:
        if variable.ndim != 2:
            raise ValueError(f"rows of a table are wanted, and the variable is {variable.dims}")
        self._variable, self._fill = variable, fill
        self._deviations: np.ndarray | None = None

    def __len__(self) -> int:
        return int(self._variable.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """N and d."""
        return cast("tuple[int, int]", self._variable.shape)

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(self._variable.size)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Return some rows (n, d), which may occur several times and in any order."""
        if isinstance(rows, slice):
            return self._filled(self._variable[rows].values)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        # Neighbours lie in one chunk of the store, which is then decompressed once.
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and np.all(np.diff(rows) == 1):
            return self[int(rows[0]) : int(rows[-1]) + 1]
        wanted, place = np.unique(rows, return_inverse=True)
        found = self._filled(self._variable[wanted].values)
        return found if len(place) == len(wanted) and _increases(place) else found[place]

    def of(self, rows: slice) -> Rows:
        """Return some rows that follow each other, which stay in the store if they are many."""
        part = StoredRows(self._variable[rows], self._fill)
        return part if part.size >= STAYS_FROM else np.asarray(part)

    @property
    def deviations(self) -> np.ndarray:
        """Standard deviation of each column, shape (d,); the rows are read the first time."""
        if self._deviations is None:
            # Two passes, as the sum of squares about zero cancels.
            mean, squares = np.zeros(self.shape[1]), np.zeros(self.shape[1])
            for _, part in row_blocks(self):
                mean += part.sum(axis=0) / len(self)
            for _, part in row_blocks(self):
                squares += ((part - mean) ** 2).sum(axis=0)
            self._deviations = np.sqrt(squares / len(self))
        return self._deviations

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = self._filled(self._variable.values)
        return values if dtype is None else values.astype(dtype)

    def _filled(self, values: np.ndarray) -> np.ndarray:
        return values if self._fill is None else np.where(np.isnan(values), self._fill, values)


Rows = np.ndarray | StoredRows
"""Rows in memory, or in a store."""


def _increases(place: np.ndarray) -> bool:
    return bool(np.all(np.diff(place) == 1))


def in_memory(variable: xr.Variable) -> bool:
    """Return whether a variable's values are in memory."""
    return bool(variable._in_memory)


def rows_of(variable: xr.Variable, fill: np.ndarray | None = None) -> Rows:
    """Return the rows of a variable, in memory or in its store as they are.

    Parameters
    ----------
    variable : Variable of shape (N, d)
    fill : ndarray of shape (d,), optional
        The value of each column that takes the place of NaN.
    """
    if not in_memory(variable):
        return StoredRows(variable, fill)
    values = variable.values
    return values if fill is None else np.where(np.isnan(values), fill, values)


def part_of(rows: Rows, some: slice) -> Rows:
    """Return some rows that follow each other, in memory or in a store."""
    return rows[some] if isinstance(rows, np.ndarray) else rows.of(some)


def row_blocks(rows: Rows) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield blocks of rows that follow each other, and which they are."""
    size = max(1, _BLOCK_VALUES // max(1, rows.shape[1]))
    for start in range(0, len(rows), size):
        block = slice(start, min(start + size, len(rows)))
        yield block, rows[block]


def column_deviations(rows: Rows) -> np.ndarray:
    """Return the standard deviation of each column, shape (d,)."""
    if isinstance(rows, np.ndarray):
        return cast(np.ndarray, rows.std(axis=0))
    return rows.deviations
