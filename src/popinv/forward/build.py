"""From the ``forward`` section of a checked configuration to the forward model.

Sections are plain mappings with every default filled in, as
:func:`popinv.config.loading.as_mapping` returns them. Each kind of forward model is a package of
this one with two modules: ``description`` says what it is asked and answers and is quick to
import, ``model`` solves. Both are imported only where they are used, so that a stage depends on
the code of its own forward model alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from popinv.forward.base import ForwardModel, Observations, Parameter

if TYPE_CHECKING:
    from popinv.forward.fields import Field

__all__ = ["Section", "field", "forward_model", "observed", "parameters"]

Section = Mapping[str, Any]


def _description(forward: Section) -> ModuleType:
    return import_module(f"popinv.forward.{forward['kind']}.description")


def parameters(forward: Section) -> tuple[Parameter, ...]:
    """Return the entries of z, in order."""
    return _description(forward).parameters(forward)


def field(forward: Section) -> Field | None:
    """Return the random field that the first parameters describe, None if there is none."""
    return _description(forward).field(forward)


def observed(forward: Section, seed: int) -> Observations:
    """Return what is observed, without building the solver."""
    return _description(forward).observed(forward, seed)


def forward_model(forward: Section, seed: int) -> ForwardModel:
    """Return the forward model of the ``forward`` section."""
    return import_module(f"popinv.forward.{forward['kind']}.model").forward_model(forward, seed)
