"""The regimes of the test problem, and their descriptions."""

from __future__ import annotations

VARIATION = 0.3
"""Our coefficient of variation of gradient times; the paper's value is unknown."""
REGIMES = {
    "classical": "equal workers, messages that take no time",
    "slow_communication": "equal workers, messages that take ten gradients",
    "heterogeneous_compute": "workers of two speeds, messages that take no time",
    "heterogeneous_communication": "equal workers, messages from a tenth to ten gradients",
}
SWEPT = {"classical_0": 0.0, "classical_0.1": 0.1, "classical_1": 1.0}
"""The classical regime with other coefficients of variation, from constant times to 1."""
