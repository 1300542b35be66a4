"""The numbers of solves of a study whose surrogate is no network, where it states none.

The defaults of the sections are for networks and cheap solvers. A Gaussian process takes the place
of an expensive solver: the sections that a study leaves out, or states in part, are completed by
numbers that make 220 solves together with the check. Without a surrogate, solves only check the
function and its derivatives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FEW_SOLVES: Mapping[str, Mapping[str, Mapping[str, int]]] = {
    "gaussian_process": {
        "active_learning": {
            "first_design": 60,
            "solves_per_round": 40,
            "chunk_size": 10,
        },
        "assessment": {"surrogate_check": 40},
    },
    "none": {
        "active_learning": {"rounds": 1, "first_design": 100},
        "assessment": {"surrogate_check": 40},
    },
}
"""The defaults of a study with such a kind of surrogate, by section."""

MOST_SOLVES, MOST_INPUTS = 1000, 30
"""The largest numbers of solves and of inputs (parameters and design) of a Gaussian process: its
cost grows with the cube of the first, and each of the second has a length scale to be found."""


def with_few_solves(study: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study as its file states it, completed where its surrogate is no network."""
    completed, surrogate = dict(study), study.get("surrogate")
    kind = surrogate.get("kind") if isinstance(surrogate, Mapping) else None
    for name, numbers in FEW_SOLVES.get(str(kind), {}).items():
        section = completed.get(name, {})
        if isinstance(section, Mapping):
            completed[name] = {**numbers, **section}
    return completed
