"""The kinds of laws and of noise families, and the section of any of them.

The configuration is checked against all of them. Computing modules do not import this module, so a
stage depends only on the code of its own study's law and noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import Field, TypeAdapter

from popinv.population.laws.fields_section import LevelSetFieldSection, MaternFieldSection
from popinv.population.laws.free_form_section import FreeFormSection
from popinv.population.laws.gaussian_section import (
    LognormalSection,
    NormalSection,
    TransformedNormalSection,
)
from popinv.population.laws.mixture_section import MixtureSection
from popinv.population.laws.section import LawSection
from popinv.population.noise.channels_section import ChannelSection
from popinv.population.noise.kernel_section import KernelSection
from popinv.population.noise.section import NoiseSection
from popinv.population.noise.time_series_section import (
    AutoregressiveSection,
    BlockSection,
)
from popinv.population.noise.unstructured_section import (
    DiagonalSection,
    FullSection,
    IsotropicSection,
)
from popinv.sections.outside import OrOutside

# Each law's section joins this union. Its `kind` identifies it.
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

# Each family's section joins this union. Its `kind` identifies it.
Noise = Annotated[
    IsotropicSection
    | DiagonalSection
    | KernelSection
    | AutoregressiveSection
    | BlockSection
    | ChannelSection
    | FullSection,
    Field(discriminator="kind"),
    OrOutside(NoiseSection, "noise family"),
]


def sections_by_kind(union: Any) -> dict[str, Any]:
    """Return the sections of a union, :data:`Law` or :data:`Noise`, by their kind."""
    sections = get_args(get_args(union)[0])
    return {get_args(each.model_fields["kind"].annotation)[0]: each for each in sections}


def law_section(section: LawSection | Mapping[str, Any]) -> LawSection:
    """Return the section of a law as an object; a checked mapping is converted."""
    return _LAW.validate_python(section)


def noise_section(section: NoiseSection | Mapping[str, Any]) -> NoiseSection:
    """Return the section of a noise family as an object; a checked mapping is converted."""
    return _NOISE.validate_python(section)


_LAW: TypeAdapter[LawSection] = TypeAdapter(Law)
_NOISE: TypeAdapter[NoiseSection] = TypeAdapter(Noise)
