"""The kinds of forward models, and their sections by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from popinv.forward.section import ForwardSection
from popinv.sections.outside import OrOutside

__all__ = ["KINDS", "Forward"]

# The class of each kind's section, in ``popinv.forward.KIND.section``. Sections are imported by
# name, so that a stage depends on the code of its own forward model alone.
KINDS = {
    "elastodynamics": "Elastodynamics",
    "lorenz96": "Lorenz96",
    "porous_flow": "PorousFlow",
    "python": "PythonFunction",
    "umbridge": "UMBridge",
    "executable": "Executable",
}


def _section_class(kind: str) -> type[ForwardSection]:
    module = import_module(f"popinv.forward.{kind}.section")
    section: type[ForwardSection] = getattr(module, KINDS[kind])
    return section


# The section of any kind, as the configuration is checked against it.
if TYPE_CHECKING:
    Forward = ForwardSection
else:
    Forward = Annotated[
        Union[tuple(_section_class(kind) for kind in KINDS)],  # noqa: UP007
        Field(discriminator="kind"),
        OrOutside(ForwardSection, "forward model"),
    ]
