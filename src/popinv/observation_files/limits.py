"""Limits of quantification of the observations, below which only "less than" is known."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Discriminator, Field, Tag

from popinv.forward.base import Observations
from popinv.sections.base import Number

__all__ = ["CENSORED_BELOW", "Limits", "limits_of"]


def _one_or_several(value: Any) -> str:
    return "<several>" if isinstance(value, list | tuple) else "<one>"


Limits = Annotated[
    Annotated[Number, Tag("<one>")]
    | Annotated[list[Number], Field(min_length=1), Tag("<several>")],
    Discriminator(_one_or_several),
]

CENSORED_BELOW = (
    "Limit of quantification, in the unit of the observations: one number, or a list with one for "
    "each observation. Of a value at the limit or below it is only used that it lies there. The "
    "noise must be `isotropic` or `diagonal`, without heavy tails."
)


def limits_of(given: float | list[float] | None, observations: Observations) -> np.ndarray | None:
    """Return the limit of each observation (d_y,), of its logarithm if that is observed.

    Parameters
    ----------
    given : float, list of float or None
    observations : Observations
    """
    if given is None:
        return None
    each = np.broadcast_to(np.asarray(given, dtype=float), len(observations)).copy()
    return np.log(each) if observations.logarithm else each
