"""The record of the method ``federated``, with its settings and their demands on the study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from popinv.forward.section import ForwardSection
from popinv.methods.method import (
    NOT_RESTRICTED,
    USUALLY_REFUSED,
    WITH_TORCH_MB,
    Method,
    StudySizes,
    Use,
    megabytes_of,
)
from popinv.methods.section import MethodSection, ObservedSystems, StudySections
from popinv.observation_files.files import FILE_TYPES
from popinv.sections.base import Count, NonNegative, NotBoolean, Positive, Section, plain_path
from popinv.sections.messages import ConfigProblem
from popinv.sections.text_files import kind_of

_MOST_SITES = 50
# Fewest systems of a site in a synthetic split, as in a file.
_FEWEST_SYSTEMS = 4


def _several(sites: int | dict[str, str]) -> int | dict[str, str]:
    count = sites if isinstance(sites, int) else len(sites)
    if not 2 <= count <= _MOST_SITES:
        raise PydanticCustomError(
            "sites",
            "got {count} sites, but there are from 2 to {most}: state a number, or a file of "
            "observations for each site, such as {example}",
            {"count": count, "most": _MOST_SITES, "example": "{north: a.csv, south: b.csv}"},
        )
    return sites


def _site_file(file: str) -> str:
    if kind_of(file) not in FILE_TYPES:
        raise PydanticCustomError(
            "file_type",
            "got '{file}', but the name of a site's file of observations ends in {types}",
            {"file": file, "types": ", ".join(FILE_TYPES)},
        )
    return plain_path(file)


SiteFile = Annotated[str, AfterValidator(_site_file)]


class MessageNoise(Section):
    """Clipping and noise of the messages, with a guarantee for each system."""

    epsilon: Positive = Field(
        description=(
            "Epsilon of the guarantee of all rounds for a system. Delta is one over the number of "
            "systems."
        )
    )
    rounds: Count = Field(
        default=8,
        description=(
            "Rounds. More rounds reach an answer that is further from the study's start. Each "
            "round then has more noise, except the last.\n\n"
            "The last round has half of the divergence."
        ),
    )
    clipping: Positive = Field(
        default=2.5,
        description="Length to which the contribution of a system is shortened, in root mean "
        "square lengths of a contribution. Less takes less noise, and moves the answer more.",
    )
    kind: Literal["seeded", "secret"] = Field(
        default="seeded",
        description="`seeded` noise follows from the study's seed, and whoever knows the seed can "
        "subtract it. `secret` noise is drawn anew in every run, and its seed is not kept.",
    )


class Federated(MethodSection):
    """Inference of law and noise by sites that keep their observations."""

    question: ClassVar[str] = (
        "Law and noise by sites that do not share their observations, and what their messages "
        "reveal"
    )
    condition: ClassVar[str] = (
        "`{}` divides the study's systems among three sites.\n\n"
        "`{sites: {north: a.csv, south: b.csv}}` reads files. The method takes noise of kind "
        "`full` of up to 20 observations."
    )

    sites: Annotated[int | dict[str, SiteFile], NotBoolean, AfterValidator(_several)] = Field(
        default=3,
        description=(
            "A number of sites, among which the study's systems are divided at random, or a file "
            "of observations for each site.\n\n"
            "The files have the form of the study's own file. Their observations need not be among "
            "the study's."
        ),
    )
    law: Literal["shared", "own"] = Field(
        default="shared",
        description=(
            "`shared`: the systems of all sites have one law. `own`: each site has its own law, "
            "which does not leave it, and the noise is shared."
        ),
    )
    shift: NonNegative = Field(
        default=0.0,
        description=(
            "For a number of sites: distance of each site's law from the recovered one, in units "
            "of `law.spread`. 0 divides the study's systems.\n\n"
            "With another value, as many systems are simulated anew."
        ),
    )
    secure: bool = Field(
        default=True,
        strict=True,
        description="Whether messages are masked, so that the server sees only their sum.",
    )
    noise: MessageNoise | None = Field(
        default=None,
        description="Clipping and noise of the messages. It needs `law: shared`, and systems that "
        "differ in nothing known.",
        json_schema_extra={"x-default": "none"},
    )

    def files(self) -> Mapping[str, str]:
        """Return the file of each site, by name."""
        return {} if isinstance(self.sites, int) else self.sites

    def problems(self, study: StudySections) -> Iterator[ConfigProblem]:
        """Refuse settings that do not go together."""
        if self.noise and self.law == "own":
            yield ConfigProblem(
                ("noise",),
                "given, but with `law: own` one system moves the law of its site, and with it what "
                "all systems of the site contribute, so that clipping bounds nothing; choose "
                "`law: shared`, or leave the noise out.",
            )
        if self.shift and not isinstance(self.sites, int):
            yield ConfigProblem(
                ("shift",),
                "given, but the sites have files of observations; leave it out, or set `sites` to "
                "a number.",
            )

    def data_problems(
        self, observed: ObservedSystems, forward: ForwardSection | None
    ) -> Iterator[ConfigProblem]:
        """Refuse more sites than the systems suffice for."""
        if not isinstance(self.sites, int) or observed.count is None:
            return
        if observed.count < _FEWEST_SYSTEMS * self.sites:
            yield ConfigProblem(
                ("sites",),
                f"got {self.sites}, but the {observed.count} systems suffice for "
                f"{observed.count // _FEWEST_SYSTEMS} sites of {_FEWEST_SYSTEMS} systems.",
            )


# Evaluations of the likelihood of all systems: by the federation, in one place and by sites alone,
# and calls of the surrogate for each system in one evaluation.
_EVALUATIONS, _CALLS = 100, 200
# Numbers for each number of the observations: slopes of the messages that are inverted.
_SLOPES = 200


def _megabytes(sizes: StudySizes, asked: Federated) -> float:
    slopes = megabytes_of(_SLOPES * sizes.systems * sizes.row)
    return WITH_TORCH_MB + sizes.descent_megabytes + slopes


def _minutes(sizes: StudySizes, asked: Federated) -> float:
    calls = _EVALUATIONS * _CALLS * sizes.systems * sizes.network_seconds
    solves = sizes.systems * sizes.solve_seconds if asked.shift else 0.0
    return (calls + solves) / 60 + 10


METHOD = Method(
    name="federated",
    package="popinv.methods.federated",
    section=Federated,
    refuses={
        **USUALLY_REFUSED,
        **NOT_RESTRICTED,
        "unrestricted noise of over 20 observations": (
            "it has too many parameters for the matrices that sites send"
        ),
    },
    use=Use(
        message="inferring law and noise by sites that keep their observations",
        stores=("observations", "surrogate", "population"),
        sections=("forward", "law", "noise", "observations", "polish"),
        imports=("solver", "law", "noise"),
        figures=("answers", "reconstruction"),
        files=("answers.csv", "rounds.csv"),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
