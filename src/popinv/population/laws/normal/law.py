"""Normal parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from popinv.population.laws.gaussian import GaussianLaw
from popinv.population.laws.transforms import NONE


class NormalLaw(GaussianLaw):
    """Normal parameters, ``z_i = m_i + s_i omega_i`` where they are independent.

    Parameters
    ----------
    parameters : sequence of str
        Names of the entries of z.
    **structure
        Further arguments of :class:`~popinv.population.laws.gaussian.GaussianLaw`.
    """

    def __init__(self, parameters: Sequence[str], **structure: Any) -> None:
        super().__init__(parameters, [NONE] * len(parameters), **structure)
