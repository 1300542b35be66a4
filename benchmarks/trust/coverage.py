"""Coverage of the intervals, with few systems and many, linear and nonlinear models.

Every data set goes through :func:`popinv.fit`, as a user's does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import popinv
from benchmarks.trust.right_models import COVERED
from popinv.errors import PopinvError

__all__ = ["covered"]


def covered(name: str, count: int, seed: int) -> dict[str, Any]:
    """Return whether each interval holds the truth, for one data set of ``count`` systems.

    A parameter that the answer says is not determined has no interval, and is left out. An interval
    without an end reaches to the end of the domain.
    """
    own = COVERED[name]
    y = own.drawn(np.random.default_rng([seed, count]), count)
    try:
        result = popinv.fit(y, **own.model, progress=False, seed=seed, tests=False)
    except PopinvError as error:
        return {"ended": str(error)}
    table, held = result.summary(), {}
    for each, value in own.truth.items():
        low, high = table.loc[each, ["lower", "upper"]].astype(float)
        if np.isfinite([low, high]).any():
            held[each] = bool(not value < low and not value > high)
    doubts = [found.name for found in result.judgements if found.verdict == "doubt"]
    return {"holds": held, "estimator": result.metrics["estimator"], "doubts": doubts}
