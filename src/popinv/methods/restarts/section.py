"""The settings of many descents, and their demands on the study."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from popinv.methods.section import MethodSection
from popinv.sections.base import NotBoolean, Positive


class Restarts(MethodSection):
    """Many starts of the study's descent."""

    question: ClassVar[str] = (
        "Whether another start of the descent finds a better answer, and how often"
    )
    condition: ClassVar[str] = (
        "`{}` asks for it with the defaults. It does not take noise of kind `full`."
    )
    unrestricted_noise: ClassVar[str] = (
        "moves by steps of its own, whose ends have no standard errors to be compared by"
    )

    starts: Annotated[int, Field(ge=2), NotBoolean] = Field(
        default=12,
        description="Starts of the descent, drawn as the study draws its restarts. The probability "
        "of a better answer is known to about 3 divided by their number.",
    )
    apart: Positive = Field(
        default=2.0, description="Standard errors by which a parameter differs in another answer."
    )
    draws: Annotated[int, Field(ge=4), NotBoolean] = Field(
        default=24, description="Draws of the loss at the ends."
    )
