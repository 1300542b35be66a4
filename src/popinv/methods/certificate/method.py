"""The record of certified removals, with its settings and their demands on the study."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from popinv.forward.section import ForwardSection
from popinv.methods.method import (
    NOT_RESTRICTED,
    USUALLY_REFUSED,
    Method,
    StudySizes,
    Use,
    megabytes_of,
)
from popinv.methods.section import MethodSection, ObservedSystems, named_system_problems
from popinv.sections.base import Count, Fraction, NotBoolean, Positive
from popinv.sections.messages import ConfigProblem
from popinv.sections.systems import SystemName


class Certificate(MethodSection):
    """Removal of systems, under certificate, from the answer on law and noise."""

    question: ClassVar[str] = (
        "Cost of removing systems from law and noise with a certificate, and the error from its "
        "noise"
    )
    condition: ClassVar[str] = (
        "`{}` requests the first three systems.\n\n"
        "The method needs held-out systems, which a file of at least 200 systems has. It takes "
        "noise of kind `full` of up to 10 observations."
    )

    systems: list[SystemName] = Field(
        default_factory=list,
        max_length=100,
        description=(
            "Systems to remove: their names or, without names, their numbers in "
            "`observations.zarr.zip`, from 0. They are removed one by one in this order, and all "
            "at once."
        ),
        json_schema_extra={"x-default": "the first three"},
    )
    epsilon: Positive = Field(
        default=1.0,
        description="Epsilon of the guarantee. Delta is one over the number of systems.",
    )
    epochs: Count = Field(
        default=10,
        description="Largest number of epochs of the first removal. Fewer epochs need more noise.",
    )
    rate: Fraction = Field(
        default=0.5,
        description="Learning rate. An epoch leaves the share 1 - rate of what a system has done.",
    )
    clipping: Positive = Field(
        default=5.0,
        description=(
            "Length to which the contribution of a system is shortened, in root mean square "
            "lengths of a contribution."
        ),
    )
    runs: Annotated[int, Field(ge=20), NotBoolean] = Field(
        default=1000,
        description=(
            "Runs with different noise. They measure the price of the noise, and an attack on the "
            "guarantee. The first run is certified."
        ),
    )
    noise: Literal["seeded", "secret"] = Field(
        default="seeded",
        description=(
            "`seeded` noise follows from the study's seed. `secret` noise is drawn anew, and its "
            "seed is not kept.\n\n"
            "`seeded` noise is the same in every run, but whoever knows the seed can subtract it."
        ),
    )

    def data_problems(
        self, observed: ObservedSystems, forward: ForwardSection | None
    ) -> Iterator[ConfigProblem]:
        """Refuse systems that are not there, and a study without systems aside."""
        yield from named_system_problems(self.systems, observed)
        if observed.heldout == 0:
            yield ConfigProblem(
                (),
                "requested, but it needs a reference answer of systems that are not removed, and "
                f"all {observed.count} are learned from; at least 200 systems are needed.",
            )


# Parameters of law and noise, about.
_PARAMETERS = 10

# Evaluations of the likelihood by which the reference is fitted, and draws and calls of each.
_EVALUATIONS, _DRAWS, _CALLS = 30, 60, 4
# Epochs of learning, twice, and of each removal; seconds of a number that an epoch moves.
_LEARNING, _SECONDS = 60, 2e-8


def _megabytes(sizes: StudySizes, asked: Certificate) -> float:
    return (
        500 + sizes.descent_megabytes + megabytes_of(4 * sizes.systems * _PARAMETERS * asked.runs)
    )


def _minutes(sizes: StudySizes, asked: Certificate) -> float:
    fitting = _EVALUATIONS * sizes.systems * _DRAWS * _CALLS * sizes.network_seconds
    epochs = _LEARNING + asked.epochs * (len(asked.systems) + 2)
    running = epochs * sizes.systems * asked.runs * _PARAMETERS * _SECONDS
    return (fitting + running) / 60 + 1


METHOD = Method(
    name="certificate",
    package="popinv.methods.certificate",
    section=Certificate,
    refuses={
        **USUALLY_REFUSED,
        **NOT_RESTRICTED,
        "priors": "its bounds hold for the likelihood alone",
        "unrestricted noise of over 10 observations": (
            "it has too many parameters for a step from a reference"
        ),
    },
    use=Use(
        message="removing systems under certificate",
        stores=("observations", "surrogate", "population"),
        sections=("forward", "law", "noise", "polish"),
        imports=("law", "noise"),
        figures=("forgetting",),
        files=("certificate_sequence.json", "certificate_batch.json"),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
