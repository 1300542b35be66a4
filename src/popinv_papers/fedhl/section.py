"""The settings of the method ``fedhl`` on a study, and their demands on it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from popinv.methods.section import MethodSection
from popinv.sections.base import Count, NotBoolean, Positive
from popinv_papers.kit.paper import PLAIN_SYSTEMS


class FedHL(MethodSection):
    """Sites with their own laws adapt the surrogate without sharing their data."""

    special_systems: ClassVar[str] = PLAIN_SYSTEMS
    trains_network: ClassVar[bool] = True
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
