"""How much of the suite runs, and how long it waits.

The default tier, ``make test``, holds every function of the suite that costs at most four processor
seconds, with a few of its parameters. The full tier, ``make test-full``, holds all of them. What is
marked ``full`` belongs to the full tier alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

PATIENCE = float(os.environ.get("POPINV_PATIENCE", "1"))
"""Factor of all time limits of the tests, for a busy machine."""


def parameters(
    names: str, default: Iterable[Any], full: Iterable[Any] = (), **options: Any
) -> pytest.MarkDecorator:
    """Parametrize a test with the cases of both tiers, and those of the full tier alone."""
    several = "," in names

    def further(case: Any) -> Any:
        if isinstance(case, type(pytest.param())):
            return case._replace(marks=[*case.marks, pytest.mark.full])
        return pytest.param(*(case if several else [case]), marks=pytest.mark.full)

    return pytest.mark.parametrize(names, [*default, *map(further, full)], **options)


def thinned(cases: Iterable[Any], each: int) -> tuple[list[Any], list[Any]]:
    """Return one of so many cases, and the others, for :func:`parameters`."""
    every = list(cases)
    return every[::each], [case for place, case in enumerate(every) if place % each]


def patient(seconds: float) -> float:
    """Return a time limit for this machine."""
    return PATIENCE * seconds
