"""The section of the law of parameters that are normal after a transform of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from popinv.forward.section import ForwardSection
from popinv.population.laws.by_parameter import ByParameter
from popinv.population.laws.transform_keys import (
    TRANSFORMS,
    TransformKey,
    chosen_transforms,
    transform_problems,
)
from popinv.sections.messages import Problem

if TYPE_CHECKING:
    from popinv.population.laws.transformed_normal.law import TransformedNormalLaw


class TransformedNormalSection(ByParameter):
    """Parameters that are normal after a transform of each."""

    kind: Literal["transformed_normal"] = Field(
        description="Parameters that are normal after a transform of each; mean, deviation and "
        "correlations are those of the transformed parameters."
    )
    transforms: dict[str, TransformKey] = Field(description=TRANSFORMS)

    def law(self, forward: ForwardSection) -> TransformedNormalLaw:
        """Return the law of the forward model's parameters."""
        from popinv.population.laws.transformed_normal.law import TransformedNormalLaw

        names = forward.parameter_names()
        transforms = chosen_transforms(self.transforms, names)
        return TransformedNormalLaw(names, transforms, **self.structure())

    def problems(self, forward: ForwardSection) -> Iterator[Problem]:
        """Yield what does not fit the forward model, and intervals without length."""
        yield from super().problems(forward)
        yield from transform_problems(self.transforms, tuple(self.moments()))
