"""The settings of the method ``mwgrad`` on a study, and their demands on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from popinv.methods.groups.method import Groups
from popinv.methods.section import StudySections
from popinv.sections.base import Count, NotBoolean, Positive
from popinv.sections.messages import ConfigProblem
from popinv_papers.kit.paper import PLAIN_SYSTEMS

# Parameters of a field that are the law's own, not a standard normal number of each system.
_WITHOUT_NUMBER = {"matern_field": 1, "level_set_field": 2}


class Mwgrad(Groups):
    """Whether one set of parameters can serve a group of observed systems."""

    special_systems: ClassVar[str] = PLAIN_SYSTEMS
    question: ClassVar[str] = "Parameters that serve a group of systems at once"
    condition: ClassVar[str] = "`{}` requests the first four."

    particles: Annotated[int, Field(ge=10), NotBoolean] = Field(
        default=200,
        description="Number of particles: at least twice the standard normal numbers of the law.",
    )
    iterations: Count = Field(default=600, description="Steps of each descent.")
    rate: Positive = Field(default=0.03, description="Learning rate of Adam.")

    def problems(self, study: StudySections) -> Iterator[ConfigProblem]:
        """Refuse fewer particles than a normal law in the law's coordinates needs."""
        if not (study.forward and study.law):
            return
        numbers = len(study.forward.parameter_names()) - _WITHOUT_NUMBER.get(study.law.kind, 0)
        if self.particles < 2 * numbers:
            yield ConfigProblem(
                ("particles",),
                f"got {self.particles}, but it must be at least {2 * numbers}: twice the "
                f"{numbers} standard normal numbers of the law.",
            )
