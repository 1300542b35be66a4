"""Time the two sides of a row in turn, after a check that their answers agree."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.rows import Contest, Disagreement, Measurement

__all__ = ["measure"]


def measure(
    contest: Contest,
    clock: Callable[[], float] = time.process_time,
    progress: Callable[[str], None] = lambda message: None,
) -> Measurement:
    """Compare the answers, then time both sides A B A B ...

    The first call of each side, whose answers are compared, also compiles what is compiled on
    first use, and is not timed.

    Parameters
    ----------
    contest : Contest
    clock : callable
        Seconds that have passed; by default the processor's, of all threads of this process, so
        that other work on the machine counts less.
    progress : callable
        Called with the name of each step.

    Raises
    ------
    Disagreement
        If the answers differ by more than the tolerance.
    """
    progress("comparing the answers")
    difference = contest.difference(contest.ours(), contest.peer())
    if not difference <= contest.tolerance:
        raise Disagreement(
            f"the answers differ by {difference:.2g}, the tolerance is {contest.tolerance:g}"
        )
    ours, peer = np.empty(contest.repeats), np.empty(contest.repeats)
    for repeat in range(contest.repeats):
        progress(f"repeat {repeat + 1} of {contest.repeats}")
        ours[repeat] = _seconds(contest.ours, clock) / contest.ours_units
        peer[repeat] = _seconds(contest.peer, clock) / contest.peer_units
    return Measurement(ours, peer, difference, contest.tolerance)


def _seconds(work: Callable[[], Any], clock: Callable[[], float]) -> float:
    gc.collect()  # neither side pays for the other's garbage
    start = clock()
    work()
    return clock() - start
