"""The record of many descents, with its settings and their demands on the study."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from popinv.methods.method import NOT_DISCREPANT, NOT_RANDOM, Method, Use
from popinv.methods.section import MethodSection
from popinv.sections.base import NotBoolean, Positive


class Restarts(MethodSection):
    """Many starts of the study's descent."""

    question: ClassVar[str] = (
        "Whether another start of the descent finds a better answer, and how often"
    )
    condition: ClassVar[str] = (
        "`{}` requests it with the defaults. It does not take noise of kind `full`."
    )

    starts: Annotated[int, Field(ge=2), NotBoolean] = Field(
        default=12,
        description=(
            "Starts of the descent, drawn as the study's restarts. The probability of a better "
            "answer is known to about 3 divided by their number."
        ),
    )
    apart: Positive = Field(
        default=2.0, description="Standard errors by which a parameter differs in another answer."
    )
    draws: Annotated[int, Field(ge=4), NotBoolean] = Field(
        default=24, description="Draws of the loss at the ends."
    )


# Steps of a descent of up to four legs.
_STEPS = 800

METHOD = Method(
    name="restarts",
    package="popinv.methods.restarts",
    section=Restarts,
    refuses={
        **NOT_RANDOM,
        **NOT_DISCREPANT,
        "unrestricted noise": (
            "it moves by steps of its own, whose ends have no standard errors to be compared by"
        ),
    },
    use=Use(
        message="descending from many starts",
        shares=True,
        stores=("observations", "surrogate", "estimate", "descent"),
        sections=("forward", "law", "noise", "descent"),
        imports=("law", "noise"),
        figures=("ends",),
        megabytes=lambda sizes, asked: sizes.descent_megabytes + 300,
        minutes=lambda sizes, asked: (
            (_STEPS + asked.draws) * asked.starts * sizes.iteration_seconds / 60
        ),
    ),
)
