"""The section of the normal law."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from popinv.forward.section import ForwardSection
from popinv.population.laws.by_parameter import ByParameter

if TYPE_CHECKING:
    from popinv.population.laws.normal.law import NormalLaw


class NormalSection(ByParameter):
    """Normal parameters."""

    kind: Literal["normal"] = Field(
        description="Normal parameters, each with unknown mean and deviation."
    )

    def law(self, forward: ForwardSection) -> NormalLaw:
        """Return the law of the forward model's parameters."""
        from popinv.population.laws.normal.law import NormalLaw

        return NormalLaw(forward.parameter_names(), **self.structure())
