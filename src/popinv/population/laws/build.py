"""Construction of the law of the parameters from the section ``law``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from popinv.forward.section import ForwardSection
from popinv.population.laws.base import Law
from popinv.population.laws.section import LawSection, flat_values, law_section
from popinv.sections.base import Section

__all__ = ["flat_values", "law", "law_spread", "law_values"]


def law(
    section: LawSection | Mapping[str, Any], forward: ForwardSection | Mapping[str, Any]
) -> Law:
    """Return the law of the ``law`` section for the parameters of the forward model."""
    if not isinstance(forward, ForwardSection):
        from popinv.forward.section import forward_section

        forward = forward_section(forward)
    return law_section(section).law(forward)


def law_values(
    section: LawSection | Mapping[str, Any],
    values: Section | Mapping[str, Any],
    forward: ForwardSection | Mapping[str, Any],
) -> np.ndarray:
    """Return unconstrained alpha for ``law.start`` or ``observations.truth.law``."""
    return law(section, forward).from_natural(flat_values(values))


def law_spread(
    section: LawSection | Mapping[str, Any], forward: ForwardSection | Mapping[str, Any]
) -> np.ndarray:
    """Return the first design's standard deviation of each entry of alpha."""
    typed = law_section(section)
    return np.array(typed.spreads(law(typed, forward).names))
