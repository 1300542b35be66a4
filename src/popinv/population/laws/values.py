"""Values of a law's parameters, as its section gives them, in unconstrained coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from popinv.forward.section import ForwardSection
from popinv.population.laws.section import LawSection
from popinv.sections.base import Section


def law_values(
    section: LawSection, values: Section | Mapping[str, Any], forward: ForwardSection
) -> np.ndarray:
    """Return unconstrained alpha for ``law.start`` or ``observations.truth.law``."""
    return section.law(forward).from_natural(section.values(values))


def law_spread(section: LawSection, forward: ForwardSection) -> np.ndarray:
    """Return the first design's standard deviation of each entry of alpha."""
    return np.array(section.spreads(section.law(forward).names))
