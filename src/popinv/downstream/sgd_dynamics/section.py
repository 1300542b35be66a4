"""The settings of the method ``sgd_dynamics`` on a study, and their demands on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from popinv.downstream.section import MethodSection, StudySections
from popinv.sections.base import CountOrZero, NotBoolean, Positive
from popinv.sections.messages import Problem

__all__ = ["SgdDynamics"]


class SgdDynamics(MethodSection):
    """Many starts of the study's descent, and the barriers between their ends."""

    question: ClassVar[str] = (
        "Whether another start of the descent finds a better answer, and how often"
    )
    condition: ClassVar[str] = (
        "`{}` asks for it with the defaults. It does not take noise of kind `full`."
    )

    starts: Annotated[int, Field(ge=2), NotBoolean] = Field(
        default=12,
        description="Starts of the descent, drawn as the study draws its restarts. The probability "
        "of a better answer is known to about 3 divided by their number.",
    )
    apart: Positive = Field(
        default=2.0,
        description="Standard errors by which a parameter differs in another answer.",
    )
    changes: CountOrZero = Field(
        default=6,
        description="Descents that begin at the answer, where there are other answers, to count "
        "how often the noise of the descent changes it; 0 for none.",
    )
    places: Annotated[int, Field(ge=5), NotBoolean] = Field(
        default=31, description="Places on each line at which the mean slope is measured."
    )
    draws: Annotated[int, Field(ge=4), NotBoolean] = Field(
        default=24, description="Draws for the mean slope at each place, and for the loss at ends."
    )
    noise_draws: Annotated[int, Field(ge=50), NotBoolean] = Field(
        default=100, description="Draws for the gradient noise at a critical point."
    )

    def problems(self, study: StudySections) -> Iterator[Problem]:
        """Refuse unrestricted noise."""
        if study.noise and study.noise.unrestricted:
            yield Problem(
                (),
                "requested, but noise of kind 'full' moves by its own steps, which have no plain "
                "gradient; leave it out, or choose another noise.",
            )
