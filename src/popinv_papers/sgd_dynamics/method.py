"""The record of the method ``sgd_dynamics``, with its settings and their demands on a study."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from popinv.methods.method import StudySizes, Use
from popinv.methods.restarts.method import METHOD as RESTARTS
from popinv.methods.restarts.method import Restarts
from popinv.sections.base import CountOrZero, NotBoolean
from popinv_papers.kit.paper import ALIKE, Check, Paper


class SgdDynamics(Restarts):
    """Many starts of the study's descent, and the barriers between their ends."""

    question: ClassVar[str] = (
        "Whether another start of the descent finds a better answer, and how often"
    )
    condition: ClassVar[str] = (
        "`{}` requests it with the defaults. It does not take noise of kind `full`."
    )

    changes: CountOrZero = Field(
        default=6,
        description=(
            "Descents that begin at the answer, where there are other answers. They count how "
            "often the noise of the descent changes it. 0: none."
        ),
    )
    places: Annotated[int, Field(ge=5), NotBoolean] = Field(
        default=31, description="Places on each line at which the mean slope is measured."
    )
    draws: Annotated[int, Field(ge=4), NotBoolean] = Field(
        default=24, description="Draws for the mean slope at each place, and for the loss at ends."
    )
    noise_draws: Annotated[int, Field(ge=50), NotBoolean] = Field(
        default=100, description="Draws for the gradient noise at a critical point."
    )


def _megabytes(sizes: StudySizes, asked: SgdDynamics) -> float:
    return sizes.descent_megabytes + 300


def _minutes(sizes: StudySizes, asked: SgdDynamics) -> float:
    # Descents of up to four legs of 200 steps, and slopes and noise on up to three lines.
    descents = 800 * (asked.starts + asked.changes)
    slopes = 3 * (asked.places * asked.draws + 3 * asked.noise_draws) + asked.draws * asked.starts
    return (descents + slopes) * sizes.iteration_seconds / 60


METHOD = Paper(
    name="sgd_dynamics",
    package="popinv_papers.sgd_dynamics",
    section=SgdDynamics,
    refuses={**RESTARTS.refuses, **ALIKE},
    checks=(
        Check(
            name="sgd_dynamics",
            message="simulating paths near critical points",
            figures=("comparisons",),
            megabytes=1000,
            minutes=240,
        ),
    ),
    use=Use(
        message="descending from many starts",
        stores=("observations", "surrogate", "estimate", "descent"),
        sections=("forward", "law", "noise", "descent"),
        imports=("law", "noise"),
        figures=("slices",),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
