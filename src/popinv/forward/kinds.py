"""The kinds of forward models, and the section of any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from popinv.forward.registry import PACKAGES
from popinv.forward.section import ForwardSection, section_class
from popinv.sections.outside import OrOutside

__all__ = ["KINDS", "Forward"]

KINDS = tuple(PACKAGES)

# The section of any kind, as the configuration is checked against it.
if TYPE_CHECKING:
    Forward = ForwardSection
else:
    Forward = Annotated[
        Union[tuple(map(section_class, KINDS))],  # noqa: UP007
        Field(discriminator="kind"),
        OrOutside(ForwardSection, "forward model"),
    ]
