"""The settings of the method ``birch`` on a study, and their demands on it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from popinv.downstream.section import MethodSection
from popinv.sections.base import Count, NotBoolean, Positive

__all__ = ["Birch"]


class Birch(MethodSection):
    """The surrogate trained by worker processes of unequal speed."""

    trains_network: ClassVar[bool] = True
    question: ClassVar[str] = (
        "Choice of a policy by which machines of unequal speed share the surrogate's training"
    )
    condition: ClassVar[str] = (
        "`{}` asks for it with the defaults. It starts a process for each worker."
    )

    seconds: list[Positive] = Field(
        default=[0.01, 0.01, 0.02, 0.04],
        min_length=2,
        max_length=16,
        description="Shortest time of a gradient of each worker, in seconds. A worker that is done "
        "sooner waits.",
    )
    message: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False), NotBoolean] = Field(
        default=0.01, description="Time of a message from worker to server, in seconds."
    )
    gradients: Annotated[int, Field(ge=20), NotBoolean] = Field(
        default=400, description="Gradients that each policy applies."
    )
    batch_size: Count = Field(default=32, description="Solves in a gradient.")
