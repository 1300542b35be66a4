"""The settings of the method ``posterior`` on a study, and their demands on it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from popinv.downstream.section import MethodSection
from popinv.sections.base import Count, NotBoolean

__all__ = ["Posterior"]


class Posterior(MethodSection):
    """The parameters of every observed system, with the recovered population as their prior."""

    question: ClassVar[str] = "Parameters of each system, given its own observation"

    chains: Annotated[int, Field(ge=2), NotBoolean] = Field(
        default=2, description="Chains of each system."
    )
    warmup: Count = Field(default=300, description="Moves before the first draw.")
    draws: Annotated[int, Field(ge=20), NotBoolean] = Field(
        default=200, description="Draws of each chain."
    )
    thin: Count = Field(default=10, description="Moves from one draw to the next.")
    kept_draws: Count = Field(
        default=100, description="Draws of each system that are kept in `posterior.zarr.zip`."
    )
