"""What the simulator is asked and answers: what the configuration says of it."""

from __future__ import annotations

from popinv.forward.external.description import field, observed, parameters

__all__ = ["field", "observed", "parameters"]
