"""Random numbers addressed by name.

Every draw of a study is a function of (seed, stage, index) alone. It does not depend on earlier
draws, on how the work is cut into chunks, or on the number of cores. A stage is a string such as
``"descent/2"``; an index is the global number of a row or of an iteration.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np


def _key(seed: int, stage: str) -> int:
    digest = hashlib.sha256(f"{int(seed)}:{stage}".encode()).digest()
    return int.from_bytes(digest[:16], "little")


def generator(seed: int, stage: str, index: int = 0) -> np.random.Generator:
    """Return the random generator of one (seed, stage, index).

    Philox is a counter-based generator: the key holds (seed, stage), and the highest word of the
    counter holds the index, so that every index owns a stream of 2**192 numbers.

    Parameters
    ----------
    seed : int
        The study's seed.
    stage : str
        Name of the stage that draws.
    index : int, default 0
        Global index of the row or iteration, not negative.

    Returns
    -------
    numpy.random.Generator
    """
    counter = np.array([0, 0, 0, index], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=_key(seed, stage), counter=counter))


def generators(seed: int, stage: str, indices: Iterable[int]) -> Iterator[np.random.Generator]:
    """Yield the generator of each index, as :func:`generator` returns it, at a fifth of its cost.

    It is one object, which stands at the next index's stream once that is asked for.
    """
    bits = np.random.Philox(key=_key(seed, stage))
    rng, state = np.random.Generator(bits), bits.state
    counter = state["state"]["counter"]
    for index in indices:
        counter[3] = index
        bits.state = state
        yield rng


def standard_normal_rows(seed: int, stage: str, start: int, count: int, width: int) -> np.ndarray:
    """Return standard normal rows start, ..., start + count - 1 of an endless table.

    Row i is the same for every requested range.

    Returns
    -------
    numpy.ndarray of shape (count, width)
    """
    rows = np.empty((count, width))
    for row, rng in zip(rows, generators(seed, stage, range(start, start + count)), strict=True):
        rng.standard_normal(out=row)
    return rows
