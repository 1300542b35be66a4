"""The section ``observations`` of a synthetic population: its size and its truth."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from popinv.errors import DataError
from popinv.observation_files.limit_keys import StatedLimit, limit_field
from popinv.observation_files.trees import MemberTree
from popinv.population.kinds import Noise
from popinv.sections.base import (
    NAMED,
    ONE,
    ONE_OR_NAMED,
    ONE_OR_SEVERAL,
    SEVERAL,
    Count,
    Number,
    Positive,
    Section,
    Several,
)
from popinv.sections.systems import WITHOUT, SystemName, systems_left

NamedValue = Annotated[Annotated[Number, ONE] | Annotated[dict[str, Number], NAMED], ONE_OR_NAMED]
LawValue = Annotated[Annotated[Number, ONE] | Annotated[dict[str, NamedValue], NAMED], ONE_OR_NAMED]
NoiseValue = Annotated[Annotated[Number, ONE] | Annotated[list[Number], SEVERAL], ONE_OR_SEVERAL]


class Truth(Section):
    """The truth of a synthetic population."""

    law: dict[str, LawValue] = Field(
        description="The true parameters of the law, with the names of `law.start`."
    )
    noise: dict[str, NoiseValue] = Field(
        description="The true parameters of the noise, with the names and forms of `noise.start`."
    )
    noise_model: Noise | None = Field(
        default=None,
        description=(
            "The family of the true noise, a section like `noise`, if it differs from the fitted "
            "family.\n\n"
            "The study then shows the effect of a wrong family. `truth.noise` has the names of "
            "this family's `start`, whose values have no effect."
        ),
        json_schema_extra={"x-default": "the study's `noise`"},
    )


class NoiseScale(Section):
    """The range of the systems' known noise scales, drawn log-uniformly."""

    low: Positive = Field(description="The smallest noise scale.")
    high: Positive = Field(description="The largest noise scale.")

    @model_validator(mode="after")
    def _ordered(self) -> NoiseScale:
        if self.low > self.high:
            raise PydanticCustomError(
                "noise_scale",
                "'low' is {low}, but it must be at most 'high' ({high})",
                {"low": self.low, "high": self.high},
            )
        return self


class KnownDistribution(Section):
    """The distribution of a known quantity over the systems of a synthetic population."""

    uniform: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = Field(
        default=None,
        description="The ends of a uniform distribution.",
    )
    normal: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = Field(
        default=None,
        description="Mean and standard deviation of a normal distribution.",
    )
    stated: Annotated[list[Number], Field(min_length=1)] | None = Field(
        default=None,
        alias="values",
        description=(
            "Values that the systems take in turns, such as the doses of a trial: `[1, 1, 4]` "
            "gives two of three systems the value 1."
        ),
    )

    @model_validator(mode="after")
    def _one(self) -> KnownDistribution:
        if sum(each is not None for each in (self.uniform, self.normal, self.stated)) != 1:
            raise PydanticCustomError("known", "it must be one of 'uniform', 'normal' or 'values'")
        return self

    def values(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Return values for ``count`` systems."""
        if self.uniform is not None:
            low, high = self.uniform
            return generator.uniform(low, high, size=count)
        if self.stated is not None:
            return np.resize(np.array(self.stated, dtype=float), count)
        assert self.normal is not None
        mean, deviation = self.normal
        return generator.normal(mean, deviation, size=count)


class SyntheticObservations(Section):
    """A synthetic population, drawn from a known truth."""

    count: Several = Field(
        default=1000, description="Number of systems observed; of groups, with `law.levels`."
    )
    members: dict[str, Count] = Field(
        default_factory=dict,
        description=(
            "With `law.levels`: the number of members of each group, `{sample: 25}`. Of several "
            "levels, the children of a node, `{specimen: 5, occasion: 3}`."
        ),
        json_schema_extra={"x-default": "none"},
    )
    heldout: Several = Field(
        default=1000, description="Number of further systems, held out for the assessment."
    )
    replicates: Count = Field(
        default=1,
        description=(
            "Number of observation vectors of each system. All have the parameters of the system, "
            "and each has its own noise."
        ),
    )
    noise_scale: NoiseScale | None = Field(
        default=None,
        description=(
            "`{low: 0.5, high: 2}` draws a known noise scale s for each system, log-uniformly. Its "
            "noise has the covariance s^2 Gamma. null: 1 for all."
        ),
    )
    known: dict[str, KnownDistribution] = Field(
        default_factory=dict,
        description=(
            "Distribution of the design and the covariates over the systems, by name: `{uniform: "
            "[low, high]}`, `{normal: [mean, standard_deviation]}` or `{values: [1, 2, 4]}`."
        ),
        json_schema_extra={"x-default": "none"},
    )
    censored_below: StatedLimit | None = limit_field("censored_below")
    censored_above: StatedLimit | None = limit_field("censored_above")
    not_below: StatedLimit | None = limit_field("not_below")
    not_above: StatedLimit | None = limit_field("not_above")
    without: list[SystemName] = Field(
        default_factory=list, description=WITHOUT, json_schema_extra={"x-default": "none"}
    )
    truth: Truth = Field(description="The truth from which the population is drawn.")

    @property
    def members_of_group(self) -> int:
        """M, the number of members of each system; 1 without levels."""
        return math.prod(self.members.values())

    def tree(self, levels: tuple[str, ...]) -> MemberTree | None:
        """Return the members of each system; None without levels."""
        if not levels:
            return None
        return MemberTree.regular(levels, [self.members[level] for level in levels[1:]])

    @field_validator("without")
    @classmethod
    def _known(cls, without: list[int | str], info: ValidationInfo) -> list[int | str]:
        if without and "count" in info.data:
            try:
                systems_left(without, None, info.data["count"])
            except DataError as error:
                raise PydanticCustomError("without", "{said}", {"said": str(error)}) from None
        return without
