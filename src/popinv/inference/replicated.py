"""The simulator of systems with several replicates, which have the same noise-free observations.

The forward model is solved once for each system, so that a surrogate answers d_y numbers, and not
R d_y.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from popinv.surrogate.simulator import is_exact

Simulate = Callable[[torch.Tensor], torch.Tensor]


class _Replicated:
    """G, R times side by side: Tensor (n, d_z) to Tensor (n, R d_y)."""

    def __init__(self, simulate: Simulate, count: int) -> None:
        self.simulate, self.count = simulate, count

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return self.simulate(z).repeat(1, self.count)

    @property
    def exact(self) -> bool:
        """Whether the simulator is the forward model itself."""
        return is_exact(self.simulate)


class _Linearised(_Replicated):
    """The same of a simulator with derivatives along tangents."""

    @property
    def differentiable(self) -> bool:
        """Whether the simulator has derivatives."""
        return bool(getattr(self.simulate, "differentiable", True))

    def linearise(
        self, z: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return y for z (n, d_z) and its derivatives along tangents (k, n, d_z)."""
        y, change = self.simulate.linearise(z, tangents)  # type: ignore[attr-defined]
        return y.repeat(1, self.count), change.repeat(1, 1, self.count)


def replicated_simulator(simulate: Simulate, count: int) -> Simulate:
    """Return the simulator of so many replicates; that of one is left as it is."""
    if count == 1:
        return simulate
    return (_Linearised if hasattr(simulate, "linearise") else _Replicated)(simulate, count)
