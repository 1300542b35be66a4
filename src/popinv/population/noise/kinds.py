"""The family of noise covariances, one of several kinds."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from popinv.population.noise.autoregressive.section import AutoregressiveSection
from popinv.population.noise.blocks.section import BlockSection
from popinv.population.noise.channels.section import ChannelSection
from popinv.population.noise.diagonal.section import DiagonalSection
from popinv.population.noise.full.section import FullSection
from popinv.population.noise.isotropic.section import IsotropicSection
from popinv.population.noise.kernel.section import KernelSection
from popinv.population.noise.section import NoiseSection
from popinv.sections.outside import OrOutside

__all__ = ["Noise", "NoiseSection"]

# Each family's section joins this union, told apart by its `kind`.
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
