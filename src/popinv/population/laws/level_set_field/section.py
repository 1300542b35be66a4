"""The section of the level-set field."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from popinv.forward.section import ForwardSection
from popinv.population.laws.field import FieldLaw, FieldStart, field_shape
from popinv.population.laws.section import START
from popinv.sections.base import Positive

if TYPE_CHECKING:
    from popinv.population.laws.base import Law


class LevelSetFieldParameters(FieldStart):
    """The unknowns of a medium of two materials."""

    inverse_length: Positive = Field(
        default=5.0, description="Inverse correlation length of the level-set function."
    )
    permeability_1: Positive = Field(
        default=0.5,
        description=(
            "Permeability of the first material. By convention it is the smaller one, as "
            "exchanging the two gives the same law."
        ),
    )
    permeability_2: Positive = Field(
        default=3.0, description="Permeability of the second material."
    )


class LevelSetFieldSection(FieldLaw):
    """Two materials, separated by the zero level of a random field (forward field `level_set`)."""

    has_density: ClassVar[bool] = False
    unknowns: ClassVar[tuple[str, ...]] = tuple(LevelSetFieldParameters.model_fields)

    kind: Literal["level_set_field"] = Field(
        description="Level-set field: unknown inverse length and two permeabilities."
    )
    start: LevelSetFieldParameters = Field(
        default_factory=LevelSetFieldParameters, description=START
    )

    def law(self, forward: ForwardSection) -> Law:
        """Return the law of the forward model's field."""
        from popinv.population.laws.level_set_field.law import LevelSetLaw

        return self.shifted(LevelSetLaw(*field_shape(forward)))
