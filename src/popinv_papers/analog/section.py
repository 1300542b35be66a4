"""The settings of the method ``analog`` on a study, and their demands on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from popinv.methods.section import MethodSection, StudySections
from popinv.sections.base import Count, Fraction, NotBoolean
from popinv.sections.messages import ConfigProblem
from popinv_papers.kit.paper import PLAIN_SYSTEMS


class Analog(MethodSection):
    """The surrogate on an analog accelerator, and its last layers trained there."""

    special_systems: ClassVar[str] = PLAIN_SYSTEMS
    trains_network: ClassVar[bool] = True
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
        # A Fourier neural operator has three more: one lifts and two project.
        fourier = study.surrogate.network == "fno"
        layers = study.surrogate.fourier_layers + 3 if fourier else study.surrogate.depth + 1
        if self.layers > layers:
            yield ConfigProblem(
                ("layers",), f"got {self.layers}, but the surrogate has {layers} dense layers."
            )
