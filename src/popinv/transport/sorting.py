"""Sort the rows of a matrix, and return the original place of each entry.

An argsort costs several sorts. This module stores the index of an entry in the last bits of an
integer key whose leading bits order like the entry. It sorts the keys, and then puts the few
neighbours that differ only in the lost bits into order by insertion. The result is the exact,
stable order. Keys of 32 bits hold the position of an entry between the row's least and largest,
in equal steps. They sort more than twice as fast as keys of 64 bits, which hold the double itself.
Keys of 64 bits serve long rows, whose index would leave too few bits, and rows with far outliers.

NumPy's sort is vectorised where the CPU has AVX-512 or AVX2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from popinv.store.compiled import njit

# A longer index would leave a 32-bit key too few bits for the value.
_LONGEST_SHORT_INDEX = 16
# Places that the entries of a row may move, on average. Beyond it another sort is faster: keys of
# 64 bits for short keys, a stable argsort for long ones.
_MOVES_SHORT, _MOVES_LONG = 4, 16


@njit
def _pack_short(rows: np.ndarray, index_bits: int, keys: np.ndarray) -> None:
    """Compute each entry's place between least and largest, with the index in the low bits."""
    top = 2.0 ** (32 - index_bits) - 1.0
    shift = np.uint32(index_bits)
    for k in range(rows.shape[0]):
        row = rows[k]
        least = np.inf
        largest = -np.inf
        for i in range(row.size):
            value = np.float64(row[i])
            if value < least:
                least = value
            if value > largest:
                largest = value
        scale = top / (largest - least) if largest > least else 0.0
        # If the range is not a number (infinite entries, or none), only the index is left.
        if not 0.0 < scale < np.inf:
            scale = 0.0
            least = 0.0
        for i in range(row.size):
            place: float = (np.float64(row[i]) - least) * scale
            # NaN and infinite entries keep some place.
            if not place > 0.0:
                place = 0.0
            if place > top:
                place = top
            keys[k, i] = (np.uint32(np.int64(place)) << shift) | np.uint32(i)


@njit
def _pack_long(keys: np.ndarray, index_bits: int) -> None:
    """Turn the bits of doubles into integers of the same order, with the index in the low bits."""
    low = (np.int64(1) << index_bits) - 1
    top = np.int64(0x7FFFFFFFFFFFFFFF)
    for k in range(keys.shape[0]):
        for i in range(keys.shape[1]):
            bits = keys[k, i]
            # Negative doubles grow downwards as integers: flip all but the sign bit.
            keys[k, i] = ((bits ^ ((bits >> 63) & top)) & ~low) | i


@njit
def _unpack(
    keys: np.ndarray,
    rows: np.ndarray,
    index_bits: int,
    moves: int,
    order: np.ndarray,
    ordered: np.ndarray,
) -> int:
    """Fill the exact stable order and the values in it; return the first row too far from it."""
    low = (np.int64(1) << index_bits) - 1
    size = keys.shape[1]
    for k in range(keys.shape[0]):
        row = rows[k]
        places = order[k]
        values = ordered[k]
        inversions = 0
        previous = -np.inf
        for i in range(size):
            place = np.int64(keys[k, i]) & low
            value = row[place]
            places[i] = place
            values[i] = value
            inversions += value < previous
            previous = value
        if inversions == 0:
            continue
        # Values that agree in all their leading bits may be out of order by a few places.
        budget = moves * size
        for i in range(1, size):
            value = values[i]
            place = places[i]
            j = i
            while j > 0 and values[j - 1] > value:
                values[j] = values[j - 1]
                places[j] = places[j - 1]
                j -= 1
            values[j] = value
            places[j] = place
            budget -= i - j
            if budget < 0:
                return k
    return -1


def _sort_long(
    rows: NDArray[Any], index_bits: int, order: NDArray[np.int32], ordered: NDArray[Any]
) -> None:
    keys = np.add(rows, 0.0, dtype=np.float64).view(np.int64)  # adding turns -0.0 into 0.0
    _pack_long(keys, index_bits)
    keys.sort(axis=1)
    done = 0
    while done < len(rows):
        rest = keys[done:], rows[done:], index_bits, _MOVES_LONG, order[done:], ordered[done:]
        bad = _unpack(*rest)
        if bad < 0:
            return
        # If nearly all values agree (a spread far below the offset), a comparison sort is faster.
        order[done + bad] = np.argsort(rows[done + bad], kind="stable")
        ordered[done + bad] = rows[done + bad][order[done + bad]]
        done += bad + 1


def sort_rows(rows: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Sort every row, and return the original place of each entry.

    The result equals ``order = np.argsort(rows, axis=1, kind="stable")`` and ``rows[order]``, but
    is faster. NaN entries keep some place and do no other harm.

    Parameters
    ----------
    rows : ndarray of shape (K, n), float64 or float32

    Returns
    -------
    order : ndarray of shape (K, n), int32
    ordered : ndarray of shape (K, n), dtype of `rows`
    """
    rows = np.ascontiguousarray(rows)
    index_bits = max(1, (rows.shape[1] - 1).bit_length())
    order, ordered = np.empty(rows.shape, np.int32), np.empty_like(rows)
    if index_bits > _LONGEST_SHORT_INDEX:
        _sort_long(rows, index_bits, order, ordered)
        return order, ordered
    keys = np.empty(rows.shape, np.uint32)
    _pack_short(rows, index_bits, keys)
    keys.sort(axis=1)
    done = 0
    while done < len(rows):
        rest = keys[done:], rows[done:], index_bits, _MOVES_SHORT, order[done:], ordered[done:]
        bad = _unpack(*rest)
        if bad < 0:
            break
        row = slice(done + bad, done + bad + 1)
        _sort_long(rows[row], index_bits, order[row], ordered[row])
        done += bad + 1
    return order, ordered
