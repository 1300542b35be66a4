"""The forward model: what is solved, on what mesh, and where it is observed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from popinv.config.forward.base import ForwardSection, Sensors
from popinv.config.forward.elastodynamics import Elastodynamics
from popinv.config.forward.external import Executable, PythonFunction, UMBridge
from popinv.config.forward.lorenz96 import Lorenz96
from popinv.config.forward.porous_flow import PorousFlow

__all__ = ["Forward", "ForwardSection", "Sensors"]

# Each forward model's section joins this union, told apart by its `kind`.
Forward = Annotated[
    Elastodynamics | Lorenz96 | PorousFlow | PythonFunction | UMBridge | Executable,
    Field(discriminator="kind"),
]
