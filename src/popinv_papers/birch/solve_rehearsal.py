"""Processes that share a round's solves, and sleep for as long as these would take."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from popinv.errors import DataError


def rehearse(
    rates: Sequence[float],
    overhead: float,
    units: Sequence[float],
    order: Sequence[int] | None = None,
) -> float:
    """Return the seconds from the first start to the last end of n processes is done.

    Parameters
    ----------
    rates : sequence of float
        Seconds of a solve on each machine.
    overhead : float
        Seconds of a chunk beside its solves.
    units : sequence of float
        Times of the chunks on a machine of one second for a solve.
    order : sequence of int, optional
        The processes in the order in which they take their first chunk. Then an idle process takes
        the next one. Without it, process i takes chunk i and no other.

    Raises
    ------
    DataError
        If a process ends without having done its work.
    """
    context = multiprocessing.get_context("fork")
    barrier, following = context.Barrier(len(rates)), context.Value("q", len(rates))
    chunks = range(len(rates)) if order is None else np.argsort(order)
    begun, ended = (context.RawArray("d", len(rates)) for _ in range(2))
    processes = [
        context.Process(
            target=_solve,
            args=(i, int(chunks[i]), rate, overhead, units),
            kwargs={
                "following": None if order is None else following,
                "barrier": barrier,
                "begun": begun,
                "ended": ended,
            },
            daemon=True,
        )
        for i, rate in enumerate(rates)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise DataError("a process that rehearses solves has ended before its work did")
    return float(np.max(ended) - np.min(begun))


def _solve(
    machine: int,
    chunk: int,
    rate: float,
    overhead: float,
    units: Sequence[float],
    following: Any,
    barrier: Any,
    begun: Any,
    ended: Any,
) -> None:
    barrier.wait()
    begun[machine] = time.perf_counter()
    # A chunk without solves is none.
    while chunk < len(units) and units[chunk] > 0:
        time.sleep(overhead + rate * units[chunk])
        if following is None:
            break
        with following:
            chunk = following.value
            following.value += 1
    ended[machine] = time.perf_counter()
