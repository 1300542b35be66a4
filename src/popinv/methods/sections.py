"""The methods that a study can request, and settings that methods share outside of studies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import create_model

from popinv.forward.section import ForwardSection
from popinv.methods.registry import HOUSES, METHODS
from popinv.methods.section import HouseSettings, ObservedSystems, StudySections, offered
from popinv.sections.base import Section
from popinv.sections.messages import ConfigProblem

_SETTINGS = tuple(settings for house in HOUSES for settings in house.settings)


class _Asked(Section):
    """Downstream methods that are used on the study; none unless named here."""

    def asked(self) -> dict[str, Any]:
        """Return the sections of the requested methods, by name."""
        return {name: section for name, section in self if section is not None}

    def problems(self, study: StudySections) -> Iterator[ConfigProblem]:
        """Yield each conflict of a method with another section of the study."""
        for name, section in self.asked().items():
            for problem in section.problems(study):
                yield problem.under(name)

    def data_problems(
        self, observed: ObservedSystems, forward: ForwardSection | None
    ) -> Iterator[ConfigProblem]:
        """Yield each conflict of a method with the observed systems."""
        for name, section in self.asked().items():
            for problem in section.data_problems(observed, forward):
                yield problem.under(name)


class _Shared(HouseSettings):
    """The downstream methods' own test problems, which `snakemake downstream` runs."""

    def check_all_files(self) -> None:
        """Check the files that the settings of all houses name, as each house does."""
        for settings in _SETTINGS:
            settings.check_files(self)


if TYPE_CHECKING:

    class Downstream(_Shared):
        """Its fields are the fields of the houses' settings."""

    class StudyDownstream(_Asked):
        """It has a field for each method."""

else:
    StudyDownstream = create_model(
        "StudyDownstream",
        __base__=_Asked,
        __doc__=_Asked.__doc__,
        __module__=__name__,
        **{
            name: (record.section | None, offered(record.section))
            for name, record in METHODS.items()
        },
    )
    Downstream = create_model(
        "Downstream", __base__=(*_SETTINGS, _Shared), __doc__=_Shared.__doc__, __module__=__name__
    )
