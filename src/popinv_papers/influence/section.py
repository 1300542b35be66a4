"""The settings of the method ``influence`` on a study, and their demands on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from popinv.methods.section import MethodSection, StudySections
from popinv.sections.base import Count, Fraction, NotBoolean
from popinv.sections.messages import ConfigProblem
from popinv_papers.kit.paper import PLAIN_SYSTEMS

# Half of the fresh solves are the target.
_FEWEST_FRESH = 20


class Influence(MethodSection):
    """The selection of solves to train the surrogate on, and of candidates to solve."""

    special_systems: ClassVar[str] = PLAIN_SYSTEMS
    trains_network: ClassVar[bool] = True
    question: ClassVar[str] = (
        "Selection of the solves worth training the surrogate on, and the solves saved if their "
        "worth for the answer chose them"
    )
    condition: ClassVar[str] = (
        "`{}` requests it with the defaults.\n\nIt needs `assessment.surrogate_check`."
    )

    selected: Fraction = Field(
        default=0.1, description="Share of the solves that is selected to train further on."
    )
    landmarks: Fraction = Field(
        default=0.25,
        description="Share of the solves whose gradients the others are interpolated from.",
    )
    targets: Count = Field(
        default=64,
        description=(
            "Largest number of fresh solves that represent the population. The others measure the "
            "error."
        ),
    )
    steps: Annotated[int, Field(ge=10), NotBoolean] = Field(
        default=1000, description="Steps of each training."
    )
    repeats: Annotated[int, Field(ge=2), NotBoolean] = Field(
        default=4, description="Repeats of each training, whose spread is reported."
    )

    def problems(self, study: StudySections) -> Iterator[ConfigProblem]:
        """Refuse too few fresh solves."""
        fresh = study.assessment.surrogate_check if study.assessment else _FEWEST_FRESH
        if fresh < _FEWEST_FRESH:
            yield ConfigProblem(
                (),
                f"requested, but assessment.surrogate_check is {fresh}: its fresh solves are the "
                f"target and the test set, and at least {_FEWEST_FRESH} are needed.",
            )
