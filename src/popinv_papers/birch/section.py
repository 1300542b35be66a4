"""The settings of the method ``birch`` on a study, and their demands on it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from popinv.methods.section import MethodSection
from popinv.sections.base import Count, NonNegative, NotBoolean, Positive
from popinv_papers.kit.paper import PLAIN_SYSTEMS


class Birch(MethodSection):
    """Training and solves on several machines of unequal speed."""

    special_systems: ClassVar[str] = PLAIN_SYSTEMS
    trains_network: ClassVar[bool] = True
    question: ClassVar[str] = (
        "Whether training and solves gain from several machines of unequal speed, and how"
    )
    condition: ClassVar[str] = (
        "`{}` requests it with the defaults. It starts a process for each worker."
    )

    seconds: list[Positive] = Field(
        default=[0.1, 0.1, 0.2, 0.4],
        min_length=2,
        max_length=16,
        description=(
            "Shortest time of a gradient of each worker, in seconds. A worker that finishes sooner "
            "waits."
        ),
    )
    message: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False), NotBoolean] = Field(
        default=0.01, description="Time of a message from worker to server, in seconds."
    )
    gradients: Annotated[int, Field(ge=20), NotBoolean] = Field(
        default=300,
        description="Most gradients of a run. The target is the loss that all runs reach with "
        "this number.",
    )
    repeats: Annotated[int, Field(ge=2, le=100), NotBoolean] = Field(
        default=5, description="Real runs of each way to train, with different minibatches."
    )
    batch_size: Count = Field(default=32, description="Solves in a gradient.")
    machines: dict[str, Positive] = Field(
        default={"first": 0.1, "second": 0.1, "third": 0.2, "fourth": 0.4},
        min_length=2,
        max_length=16,
        description="Machines that could share the solves of a round, and the seconds of a solve "
        "on each.",
    )
    chunk_overhead: NonNegative = Field(
        default=2.0, description="Seconds that a chunk takes in addition to its solves."
    )
    solve_variation: Annotated[float, Field(ge=0, le=5), NotBoolean] = Field(
        default=0.3, description="Coefficient of variation of the times of single solves."
    )
    machine_variation: Annotated[float, Field(ge=0, le=2), NotBoolean] = Field(
        default=0.2,
        description=(
            "Coefficient of variation of a machine's solve time between rounds, where the machine "
            "has other work too."
        ),
    )
