"""The settings of the method ``posterior`` on a study, and their demands on it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from popinv.methods.section import MethodSection
from popinv.sections.base import Count, NotBoolean


class Posterior(MethodSection):
    """The parameters of every observed system, with the recovered population as their prior."""

    question: ClassVar[str] = "Parameters of each system, given its own observation"

    law_and_noise: Literal["uncertain", "fixed"] = Field(
        default="uncertain",
        description="`uncertain` includes the error of the recovered law and noise in the "
        "intervals, `fixed` takes them as known.",
    )
    effective: Annotated[int, Field(ge=20), NotBoolean] = Field(
        default=200,
        description="The effective sample size of every parameter at which a system is finished.",
    )
    chains: Annotated[int, Field(ge=2), NotBoolean] = Field(
        default=4, description="Chains of each system."
    )
    most_moves: Annotated[int, Field(ge=200), NotBoolean] = Field(
        default=8000, description="Moves of each chain after which a system is left as it is."
    )
    kept_draws: Count = Field(
        default=100, description="Draws of each system that are kept in `posterior.zarr.zip`."
    )
