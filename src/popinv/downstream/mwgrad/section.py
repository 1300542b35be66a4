"""The settings of the method ``mwgrad`` on a study, and their demands on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from popinv.downstream.section import MethodSection, ObservedSystems, StudySections, system_problems
from popinv.forward.section import ForwardSection
from popinv.sections.base import Count, CountOrZero, NotBoolean, Positive
from popinv.sections.messages import Problem

__all__ = ["Mwgrad"]

# Parameters of a field that are the law's own, not a standard normal number of each system.
_WITHOUT_NUMBER = {"matern_field": 1, "level_set_field": 2}


class Mwgrad(MethodSection):
    """Whether one set of parameters can serve a group of observed systems."""

    question: ClassVar[str] = "Parameters that serve a group of systems at once"
    condition: ClassVar[str] = "`{}` requests the first four."

    systems: list[CountOrZero] = Field(
        default=[0, 1, 2, 3],
        min_length=2,
        max_length=20,
        description="Numbers of the systems of the group, as in `observations.zarr.zip`, from 0.",
    )
    particles: Annotated[int, Field(ge=10), NotBoolean] = Field(
        default=200,
        description="Number of particles: at least twice the standard normal numbers of the law.",
    )
    iterations: Count = Field(default=600, description="Steps of each descent.")
    rate: Positive = Field(default=0.03, description="Learning rate of Adam.")

    simulated: Annotated[int, Field(ge=20), NotBoolean] = Field(
        default=200,
        description="Simulated groups on which the errors of the tests are measured.",
    )

    def problems(self, study: StudySections) -> Iterator[Problem]:
        """Refuse fewer particles than a normal law in the law's coordinates needs."""
        if not (study.forward and study.law):
            return
        numbers = len(study.forward.parameter_names()) - _WITHOUT_NUMBER.get(study.law.kind, 0)
        if self.particles < 2 * numbers:
            yield Problem(
                ("particles",),
                f"got {self.particles}, but it must be at least {2 * numbers}: twice the "
                f"{numbers} standard normal numbers of the law.",
            )

    def data_problems(
        self, observed: ObservedSystems, forward: ForwardSection | None
    ) -> Iterator[Problem]:
        """Refuse systems that are named twice or are not there."""
        yield from system_problems(self.systems, observed)
