"""The regimes of the test problem, and their descriptions."""

from __future__ import annotations

__all__ = ["REGIMES"]

REGIMES = {
    "classical": "equal workers, messages that take no time",
    "classical_varied": "equal workers whose gradients vary in time, messages that take no time",
    "slow_communication": "equal workers, messages that take ten gradients",
    "heterogeneous_compute": "workers of two speeds, messages that take no time",
    "heterogeneous_communication": "equal workers, messages from a tenth to ten gradients",
}
