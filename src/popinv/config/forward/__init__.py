"""The forward model: what is solved, on what mesh, and where it is observed."""

from __future__ import annotations

from popinv.config.forward.base import ForwardSection, Sensors
from popinv.config.forward.porous_flow import PorousFlow

__all__ = ["Forward", "ForwardSection", "Sensors"]

# Each forward model's section joins this union, told apart by its `kind`.
Forward = PorousFlow
