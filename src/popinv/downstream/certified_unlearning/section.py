"""The settings of the method ``certified_unlearning`` on a study, and their demands on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from popinv.downstream.section import MethodSection, ObservedSystems, system_problems
from popinv.forward.section import ForwardSection
from popinv.sections.base import Count, CountOrZero, Fraction, NotBoolean, Positive
from popinv.sections.messages import Problem

__all__ = ["CertifiedUnlearning"]

# The scale of the read-out comes from half of the held-out systems.
_FEWEST_HELDOUT = 8


class CertifiedUnlearning(MethodSection):
    """Removal of systems, under certificate, from a read-out of the observations."""

    question: ClassVar[str] = (
        "Cost of removing systems, with a certificate, from a read-out that predicts one observed "
        "quantity from the others"
    )
    condition: ClassVar[str] = (
        "`{}` asks for the first three systems. It needs at least 8 held-out systems."
    )

    systems: list[CountOrZero] = Field(
        default=[0, 1, 2],
        min_length=1,
        max_length=100,
        description="Numbers of the systems to remove, as in `observations.zarr.zip`, from 0. They "
        "are removed one by one in this order, and all at once.",
    )
    observation: CountOrZero | None = Field(
        default=None,
        description="Number of the observed quantity that is predicted from the others, from 0; "
        "`null` is the middle one.",
    )
    components: Count = Field(
        default=6,
        description="Principal components of the other quantities that serve as predictors.",
    )
    epsilon: Positive = Field(
        default=1.0,
        description="Epsilon of the guarantee. Delta is one over the number of systems.",
    )
    epochs: Count = Field(
        default=5,
        description="Largest number of epochs of the first removal. Fewer epochs need more noise.",
    )
    batch_size: Count = Field(default=32, description="Systems in each batch of the partition.")
    strong_convexity: Fraction = Field(
        default=0.005, description="Weight of the regulariser. A larger weight forgets faster."
    )
    clipping: Positive = Field(
        default=1.0,
        description="Largest residual whose gradient counts in full, in deviations of the "
        "predicted quantity.",
    )
    radius: Positive = Field(
        default=100.0, description="Radius of the ball to which parameters are projected."
    )
    repeats: Annotated[int, Field(ge=2), NotBoolean] = Field(
        default=10, description="Repeats with different noise. The first is certified."
    )
    noise: Literal["seeded", "secret"] = Field(
        default="seeded",
        description="`seeded` noise follows from the study's seed. It is the same in every run, "
        "but whoever knows the seed can subtract it. `secret` noise is drawn anew, and its seed is "
        "not kept.",
    )

    def data_problems(
        self, observed: ObservedSystems, forward: ForwardSection | None
    ) -> Iterator[Problem]:
        """Refuse systems that are not there, and too few held-out systems."""
        yield from system_problems(self.systems, observed)
        if observed.heldout is not None and observed.heldout < _FEWEST_HELDOUT:
            yield Problem(
                (),
                "requested, but the scale comes from half of the held-out systems, and there are "
                f"{observed.heldout}; set aside at least {_FEWEST_HELDOUT}.",
            )
