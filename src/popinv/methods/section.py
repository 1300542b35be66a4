"""The base of the sections of all methods: a question, and checks against the rest of a study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from popinv.errors import DataError
from popinv.forward.section import ForwardSection
from popinv.population.laws.section import LawSection
from popinv.population.noise.section import NoiseSection
from popinv.sections.base import Section
from popinv.sections.messages import ConfigProblem
from popinv.sections.systems import systems_left
from popinv.surrogate.section import SurrogateSettings


@dataclass(frozen=True)
class StudySections:
    """The sections of a study that a method may have requirements on; None for an invalid one."""

    forward: ForwardSection | None
    law: LawSection | None
    noise: NoiseSection | None
    surrogate: SurrogateSettings | None
    assessment: Any


@dataclass(frozen=True)
class ObservedSystems:
    """The facts about the observed systems that are known before any work.

    The numbers of systems to learn from and of held-out systems are None while a file has not been
    read. The names are of the systems to learn from.
    """

    count: int | None = None
    heldout: int | None = None
    names: Sequence[str] | None = None


class MethodSection(Section):
    """The settings of a method's use on a study."""

    question: ClassVar[str]
    """The question about a study that the method answers."""
    condition: ClassVar[str] = "`{}` requests it with the defaults."
    """The request for the method, and its requirements on the study."""

    def files(self) -> Mapping[str, str]:
        """Return the files that the method reads, in the form of the study's own, by their keys."""
        return {}

    def problems(self, study: StudySections) -> Iterator[ConfigProblem]:
        """Yield each conflict with another section of the study."""
        yield from ()

    def data_problems(
        self, observed: ObservedSystems, forward: ForwardSection | None
    ) -> Iterator[ConfigProblem]:
        """Yield each conflict with the observed systems."""
        yield from ()


class HouseSettings(Section):
    """Settings that methods of one house share outside of studies."""

    def check_files(self) -> None:
        """Check that the files that the settings name can be read.

        Raises
        ------
        DataError
            If one cannot.
        """


def offered(section: type[MethodSection]) -> Any:
    """Return the field of a study's section ``downstream`` that requests a method."""
    return Field(default=None, description=f"{section.question}; {section.condition}")


def named_system_problems(
    systems: Sequence[int | str], observed: ObservedSystems
) -> Iterator[ConfigProblem]:
    """Yield the reason why these systems cannot be left out, if there is one."""
    if observed.count is None:
        return
    try:
        systems_left(systems, observed.names, observed.count)
    except DataError as error:
        yield ConfigProblem(("systems",), str(error))


def system_problems(systems: Sequence[int], observed: ObservedSystems) -> Iterator[ConfigProblem]:
    """Yield each reason why these are not the numbers of different systems to learn from."""
    if observed.count is None:
        return
    if len(set(systems)) != len(systems):
        yield ConfigProblem(("systems",), f"got {list(systems)}, but each system is named once.")
    if max(systems) >= observed.count:
        yield ConfigProblem(
            ("systems",),
            f"got {max(systems)}, but the {observed.count} systems to learn from have the "
            f"numbers from 0 to {observed.count - 1}.",
        )
