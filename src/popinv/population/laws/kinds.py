"""The law of the parameters over the population, one of several kinds."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from popinv.population.laws.free_form.section import FreeFormSection
from popinv.population.laws.level_set_field.section import LevelSetFieldSection
from popinv.population.laws.lognormal.section import LognormalSection
from popinv.population.laws.matern_field.section import MaternFieldSection
from popinv.population.laws.mixture.section import MixtureSection
from popinv.population.laws.normal.section import NormalSection
from popinv.population.laws.section import LawSection
from popinv.population.laws.transformed_normal.section import TransformedNormalSection
from popinv.sections.outside import OrOutside

__all__ = ["Law", "LawSection"]

# Each law's section joins this union, told apart by its `kind`.
Law = Annotated[
    MaternFieldSection
    | LevelSetFieldSection
    | NormalSection
    | LognormalSection
    | TransformedNormalSection
    | MixtureSection
    | FreeFormSection,
    Field(discriminator="kind"),
    OrOutside(LawSection, "law"),
]
