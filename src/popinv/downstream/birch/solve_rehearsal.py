"""Processes that share a round's solves, and sleep for as long as these would take."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from popinv.errors import DataError

__all__ = ["rehearse"]


def rehearse(
    rates: Sequence[float], overhead: float, units: Sequence[float], *, pulled: bool
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
    pulled : bool
        True if an idle process takes the next chunk; otherwise process i takes chunk i.

    Raises
    ------
    DataError
        If a process ends without having done its work.
    """
    context = multiprocessing.get_context("fork")
    barrier, following = context.Barrier(len(rates)), context.Value("q", 0)
    begun, ended = (context.RawArray("d", len(rates)) for _ in range(2))
    processes = [
        context.Process(
            target=_solve,
            args=(i, rate, overhead, units, following if pulled else None, barrier),
            kwargs={"begun": begun, "ended": ended},
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
    if following is None:
        # A machine without solves has no chunk.
        if units[machine] > 0:
            time.sleep(overhead + rate * units[machine])
    else:
        while True:
            with following:
                chunk = following.value
                following.value += 1
            if chunk >= len(units):
                break
            time.sleep(overhead + rate * units[chunk])
    ended[machine] = time.perf_counter()
