"""Systems that the ranks of MPI divide among each other, and sums over all of them.

A rank of a divided problem (:meth:`popinv.inference.density.problem.Problem.divided`) has the data
of its own systems, and computes with these alone. The own systems are consecutive, in whole blocks
of :data:`BLOCK` systems. A quantity of all systems is a sum over them (:func:`total`). The sum adds
each block, and then the blocks in pairs, in an order that depends only on their number. Results of
single systems are computed in the same blocks. The bits therefore depend neither on the number of
ranks nor on whether there are any. About the systems of other ranks, a rank holds the known
quantities besides the observations, and the sums of the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from popinv.inference.density.conditions import Conditions
from popinv.store.rows import Rows
from popinv.workers import agreeing

if TYPE_CHECKING:
    from popinv.inference.density.problem import Problem

BLOCK = 2000
"""Systems of a block: two chunks of a store."""


@dataclass(frozen=True)
class Part:
    """The information of a divided problem about all systems.

    Attributes
    ----------
    first : int
        The number of its own first system.
    data : ndarray or StoredRows of shape (N, d_y)
        The observations of all systems. They stay in their store if they are many.
    conditions : Conditions
        Of all systems. communicator : mpi4py.MPI.Comm
        The communicator of all ranks.
    """

    first: int
    data: Rows
    conditions: Conditions
    communicator: Any


def systems_of_rank(count: int, rank: int, size: int) -> slice | None:
    """Return which of ``count`` systems a rank has; None if there are fewer blocks than ranks.

    Examples
    --------
    >>> systems_of_rank(7000, 1, 3)
    slice(2000, 4000, None)
    >>> systems_of_rank(3000, 0, 3)
    """
    blocks = -(-count // BLOCK)
    if blocks < size:
        return None
    first, last = (BLOCK * (blocks * end // size) for end in (rank, rank + 1))
    return slice(first, min(last, count))


def block_with(row: int, count: int) -> slice:
    """Return the block of a row of a problem with ``count`` systems.

    Examples
    --------
    >>> block_with(2001, 3000)
    slice(2000, 3000, None)
    """
    first = row // BLOCK * BLOCK
    return slice(first, min(first + BLOCK, count))


def blocks_of_rows(rows: np.ndarray) -> Iterator[slice]:
    """Yield which of some rows of a problem, in increasing order, belong to the same block.

    Examples
    --------
    >>> [*blocks_of_rows(np.array([3, 1999, 2000, 9000]))]
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    number = rows // BLOCK
    ends = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(rows)]
    yield from (slice(*ends[i : i + 2]) for i in range(len(ends) - 1) if len(rows))


def together(problem: Problem) -> AbstractContextManager[None]:
    """Compute with a rank's own systems; an error on one rank is raised on all ranks.

    The ranks exchange nothing within. If the problem is not divided, ranks share loops as usual.
    """
    return nullcontext() if problem.part is None else agreeing(problem.part.communicator)


def total(problem: Problem, sum_of: Callable[..., Any], *rows: np.ndarray) -> Any:
    """Return the sum over all systems of a function of the rank's own rows.

    Parameters
    ----------
    sum_of : callable
        Returns the sum (...) over systems from their rows of each array.
    rows : ndarray of shape (n, ...)
        Of the own systems.
    """
    starts = range(0, max(1, len(rows[0])), BLOCK)
    return added(
        problem, np.array([sum_of(*(x[start : start + BLOCK] for x in rows)) for start in starts])
    )


def added(problem: Problem, sums: np.ndarray) -> Any:
    """Return the sum over all systems from the sums over the rank's own blocks (b, ...)."""
    every = joined(problem, sums)
    while len(every) > 1:
        pairs = len(every) // 2 * 2
        every = np.concatenate([every[:pairs:2] + every[1:pairs:2], every[pairs:]])
    return every[0]


def mapped(of_block: Callable[..., np.ndarray], *rows: np.ndarray) -> np.ndarray:
    """Return a function of rows (n, ...), block by block: a product may depend on their number."""
    starts = range(0, max(1, len(rows[0])), BLOCK)
    parts = [of_block(*(x[start : start + BLOCK] for x in rows)) for start in starts]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def joined(problem: Problem, rows: np.ndarray) -> np.ndarray:
    """Return the rows (n, ...) of all ranks, one rank after the other, on each of them."""
    if problem.part is None:
        return rows
    return np.concatenate(problem.part.communicator.allgather(rows))


def collected(problem: Problem, rows: np.ndarray) -> np.ndarray:
    """Return the rows of all ranks on the first rank, and the own rows on the others."""
    if problem.part is None:
        return rows
    every = problem.part.communicator.gather(rows)
    return rows if every is None else np.concatenate(every)


def of_first(problem: Problem, value: Any) -> Any:
    """Return the value of the first rank on all of them."""
    return value if problem.part is None else problem.part.communicator.bcast(value)
