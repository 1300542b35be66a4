"""The section of the normal law."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from popinv.forward.section import ForwardSection
from popinv.population.laws.section import ByParameter

if TYPE_CHECKING:
    from popinv.population.laws.normal.law import NormalLaw

__all__ = ["NormalSection"]


class NormalSection(ByParameter):
    """Independent normal parameters."""

    kind: Literal["normal"] = Field(
        description="Independent normal parameters, each with unknown mean and deviation."
    )

    def law(self, forward: ForwardSection) -> NormalLaw:
        """Return the law of the forward model's parameters."""
        from popinv.population.laws.normal.law import NormalLaw

        return NormalLaw(forward.parameter_names())
