"""The section of errors that differ from Gaussian noise of a constant size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from popinv.sections.base import NotBoolean, Positive, Section
from popinv.sections.messages import Problem

if TYPE_CHECKING:
    from popinv.population.noise.base import NoiseModel


class Errors(Section):
    """How the noise grows with the signal, and its tails; the family gives its correlations."""

    grows: Literal["constant", "proportional", "combined"] = Field(
        default="constant",
        description="How the standard deviation depends on the noise-free observation g: not at "
        "all; `proportional`, the family's deviation times |g|, so that the family's deviations "
        "are shares of the signal; or `combined`, the root of the family's variance plus "
        "(`proportional` g)^2.",
    )
    proportional: Positive = Field(
        default=0.1,
        description="Start of the descent: the share of the signal in a `combined` error.",
    )
    tails: Literal["gaussian", "student"] = Field(
        default="gaussian",
        description="The distribution of the noise: Gaussian, or with the heavy tails of Student's "
        "t distribution. The standard deviation of the family is that of the noise for both.",
    )
    degrees_of_freedom: Annotated[float, Field(gt=2), NotBoolean] = Field(
        default=6.0,
        description="Start of the descent: the degrees of freedom of `student` tails, larger than "
        "2. Few of them are heavy tails.",
    )

    @property
    def vary(self) -> bool:
        """Whether the noise is other than Gaussian noise of a constant size."""
        return self.grows != "constant" or self.tails != "gaussian" or bool(self.covariates)

    covariates: list[str] = Field(
        default_factory=list,
        description="Covariates on which the logarithm of the standard deviation depends linearly: "
        "columns of the observation file, or a column and one of its values such as `sex_male`. "
        "Each has a coefficient, `noise_NAME_coefficient`, which starts at 0.",
        json_schema_extra={"x-default": "none"},
    )

    def start_values(self) -> dict[str, float]:
        """Return the start of the parameters that the errors add to the family's."""
        values = {}
        if self.grows == "combined":
            values["proportional"] = self.proportional
        if self.tails == "student":
            values["degrees_of_freedom"] = self.degrees_of_freedom
        return values | {f"noise_{name}_coefficient": 0.0 for name in self.covariates}

    def noise(self, base: NoiseModel, covariates: Sequence[str] = ()) -> NoiseModel:
        """Return noise with these errors, whose correlations are those of a family.

        Parameters
        ----------
        base : NoiseModel
            Of the family.
        covariates : sequence of str
            The names of all covariates that are known of a system, in order.
        """
        from popinv.population.noise.varying import VaryingNoise

        if not self.vary:
            return base
        columns = [list(covariates).index(name) for name in self.covariates]
        return VaryingNoise(base, self.grows, self.tails == "student", self.covariates, columns)

    def value_problems(self, values: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield true values of the added parameters that are outside their domain."""
        least = {"proportional": 0.0, "degrees_of_freedom": 2.0}
        for name in self.start_values():
            value = values.get(name, 1e300)
            if not isinstance(value, int | float):
                yield Problem((name,), f"got {value}, but it must be a number.")
            elif name in least and value <= least[name]:
                yield Problem((name,), f"got {value}, but it must be larger than {least[name]:g}.")
