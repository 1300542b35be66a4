"""The settings of the method ``sgd_dynamics`` on a study, and their demands on it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from popinv.methods.restarts.method import Restarts
from popinv.sections.base import CountOrZero, NotBoolean
from popinv_papers.kit.paper import PLAIN_SYSTEMS


class SgdDynamics(Restarts):
    """Many starts of the study's descent, and the barriers between their ends."""

    special_systems: ClassVar[str] = PLAIN_SYSTEMS
    question: ClassVar[str] = (
        "Whether another start of the descent finds a better answer, and how often"
    )
    condition: ClassVar[str] = (
        "`{}` requests it with the defaults. It does not take noise of kind `full`."
    )

    changes: CountOrZero = Field(
        default=6,
        description=(
            "Descents that begin at the answer, where there are other answers. They count how "
            "often the noise of the descent changes it. 0: none."
        ),
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
