"""Memory and time that a job asks of a cluster, from the size of its study.

Each rule has a function that adds up the arrays which grow with the problem and the operations on
them (:mod:`popinv.stage_demands`, :mod:`popinv.estimator_demands`, :mod:`popinv.method_demands`).
They are upper bounds, not predictions: a job that asks for too much waits a little longer in the
queue, one that asks for too little is killed. A retry asks for twice what the attempt before it
did. What real runs needed stands in their benchmark files; :mod:`popinv.demand` sets the two side
by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from popinv.method_demands import METHODS
from popinv.stage_demands import STAGES
from popinv.study_sizes import Demand, NotAsked, Sizes, Wildcards, sizes

__all__ = [
    "RULES",
    "Demand",
    "NotAsked",
    "Sizes",
    "demand",
    "memory_mb",
    "runtime_minutes",
    "sizes",
]

# Start of Snakemake and Python, compilation of kernels, a busy file system.
_START_SECONDS = 600.0

RULES: dict[str, Callable[[Sizes, Wildcards], Demand]] = {**STAGES, **METHODS}


def demand(rule: str, of: Sizes, wildcards: Wildcards) -> Demand:
    """Return what a job of a rule needs at its first attempt.

    Raises
    ------
    KeyError
        If the rule is not one of `RULES`.
    """
    return RULES[rule](of, wildcards)


def memory_mb(needed: Demand, attempt: int = 1) -> int:
    """Return megabytes to ask for, in steps of 100; twice as many at each further attempt."""
    return math.ceil(needed.megabytes / 100) * 100 * 2 ** (attempt - 1)


def runtime_minutes(needed: Demand, attempt: int = 1) -> int:
    """Return minutes to ask for, in steps of 10; twice as many at each further attempt."""
    seconds = _START_SECONDS + 2 * needed.seconds
    return math.ceil(seconds / 600) * 10 * 2 ** (attempt - 1)
