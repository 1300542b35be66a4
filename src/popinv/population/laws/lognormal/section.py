"""The section of the lognormal law."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from popinv.forward.section import ForwardSection
from popinv.population.laws.by_parameter import ByParameter

if TYPE_CHECKING:
    from popinv.population.laws.lognormal.law import LognormalLaw


class LognormalSection(ByParameter):
    """Lognormal parameters."""

    kind: Literal["lognormal"] = Field(
        description="Lognormal parameters; mean, deviation and correlations are those of the "
        "logarithm."
    )

    def law(self, forward: ForwardSection) -> LognormalLaw:
        """Return the law of the forward model's parameters."""
        from popinv.population.laws.lognormal.law import LognormalLaw

        return LognormalLaw(forward.parameter_names(), **self.structure())
