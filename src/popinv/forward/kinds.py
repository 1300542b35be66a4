"""The kinds of forward models, and the section of any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from popinv.forward.section import ForwardSection
from popinv.sections.outside import OrOutside, kind_class

__all__ = ["KINDS", "Forward"]

# Each kind is a package of `popinv.forward`, whose module ``section`` holds its section.
KINDS = (
    "elastodynamics",
    "lorenz96",
    "porous_flow",
    "python",
    "umbridge",
    "executable",
)

# The section of any kind, as the configuration is checked against it.
if TYPE_CHECKING:
    Forward = ForwardSection
else:
    Forward = Annotated[
        Union[tuple(kind_class(kind, "popinv.forward", ForwardSection) for kind in KINDS)],  # noqa: UP007
        Field(discriminator="kind"),
        OrOutside(ForwardSection, "forward model"),
    ]
