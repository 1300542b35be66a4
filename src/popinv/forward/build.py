"""Parameters, random field, observations and solver of a forward section.

Each function takes the section, or the mapping that the configuration holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from popinv.forward.base import ForwardModel, Observations, Parameter
from popinv.forward.section import ForwardSection, forward_section

if TYPE_CHECKING:
    from popinv.forward.fields import Field
    from popinv.forward.section import ForwardSection

__all__ = ["Section", "field", "forward_model", "observed", "parameters"]

Section = Mapping[str, Any]


def parameters(forward: ForwardSection | Section) -> tuple[Parameter, ...]:
    """Return the entries of z, in order."""
    return forward_section(forward).parameters()


def field(forward: ForwardSection | Section) -> Field | None:
    """Return the random field that the first parameters describe, None if there is none."""
    return forward_section(forward).random_field()


def observed(forward: ForwardSection | Section, seed: int) -> Observations:
    """Return what is observed, without building the solver."""
    return forward_section(forward).observed(seed)


def forward_model(forward: ForwardSection | Section, seed: int) -> ForwardModel:
    """Return the forward model of the section."""
    return forward_section(forward).model(seed)
