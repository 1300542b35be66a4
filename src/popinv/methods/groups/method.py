"""The record of the tests of a group, with its settings and their demands on the study."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from popinv.forward.section import ForwardSection
from popinv.methods.method import (
    NOT_DISCREPANT,
    NOT_RANDOM,
    WITH_TORCH_MB,
    Method,
    StudySizes,
    Use,
    megabytes_of,
)
from popinv.methods.section import MethodSection, ObservedSystems, system_problems
from popinv.sections.base import CountOrZero, NotBoolean
from popinv.sections.messages import ConfigProblem


class Groups(MethodSection):
    """Whether the systems of a group may have the same parameters."""

    question: ClassVar[str] = (
        "Whether a group of systems may share their parameters, and which of them stand apart"
    )
    condition: ClassVar[str] = "`{}` tests the first four."

    systems: list[CountOrZero] = Field(
        default=[0, 1, 2, 3],
        min_length=2,
        max_length=20,
        description="Numbers of the systems of the group, as in `observations.zarr.zip`, from 0.",
    )
    simulated: Annotated[int, Field(ge=20), NotBoolean] = Field(
        default=200, description="Simulated groups on which the errors of the tests are measured."
    )

    def data_problems(
        self, observed: ObservedSystems, forward: ForwardSection | None
    ) -> Iterator[ConfigProblem]:
        """Refuse systems that are named twice or are not there."""
        yield from system_problems(self.systems, observed)


# Minutes of the fits of one group of one system.
_MINUTES = 0.05 / 60


def _minutes(sizes: StudySizes, asked: Groups) -> float:
    systems = len(asked.systems)
    return asked.simulated * systems * _MINUTES * (1 + systems)


METHOD = Method(
    name="groups",
    package="popinv.methods.groups",
    section=Groups,
    refuses={
        **NOT_RANDOM,
        **NOT_DISCREPANT,
        "levels": (
            "it tests whether systems have the same parameters, and the members of two groups are "
            "different units, none of which corresponds to another"
        ),
    },
    use=Use(
        message="testing whether a group of systems may share their parameters",
        stores=("observations", "surrogate", "population"),
        sections=("forward", "law", "noise"),
        imports=("law", "noise"),
        figures=("tests",),
        megabytes=lambda sizes, asked: WITH_TORCH_MB + megabytes_of(sizes.systems * sizes.row),
        minutes=_minutes,
    ),
)
