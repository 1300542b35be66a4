"""The settings of the method ``sgd_dynamics`` on a study, and their demands on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from popinv.downstream.section import MethodSection, StudySections
from popinv.sections.base import Fraction, NotBoolean
from popinv.sections.messages import Problem

__all__ = ["SgdDynamics"]


class SgdDynamics(MethodSection):
    """Critical points of the descent's loss along lines, and its gradient noise there."""

    question: ClassVar[str] = (
        "Critical points at which plain stochastic gradient descent would stick on the study's "
        "loss, the time there, and the direction of escape"
    )
    condition: ClassVar[str] = (
        "`{}` asks for it with the defaults. It does not take noise of kind `full`."
    )

    places: Annotated[int, Field(ge=5), NotBoolean] = Field(
        default=21, description="Places on each line at which the mean slope is measured."
    )
    draws: Annotated[int, Field(ge=4), NotBoolean] = Field(
        default=128, description="Draws for the mean slope at each place."
    )
    noise_draws: Annotated[int, Field(ge=50), NotBoolean] = Field(
        default=400, description="Draws for the gradient noise at a critical point."
    )
    batch_size: Annotated[int, Field(ge=10), NotBoolean] = Field(
        default=100, description="Number of systems, and of model samples, in a minibatch."
    )
    rate: Fraction = Field(
        default=0.1,
        description="Learning rate of the runs times the size of the curvature.",
    )
    paths: Annotated[int, Field(ge=5), NotBoolean] = Field(
        default=20, description="Paths that are run from each critical point."
    )

    def problems(self, study: StudySections) -> Iterator[Problem]:
        """Refuse unrestricted noise."""
        if study.noise and study.noise.unrestricted:
            yield Problem(
                (),
                "requested, but noise of kind 'full' moves by its own steps, which have no plain "
                "gradient; leave it out, or choose another noise.",
            )
