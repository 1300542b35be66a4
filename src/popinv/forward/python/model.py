"""A function of one's own in Python as a forward model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from popinv.forward.external.differentiable import DifferentiableExternalModel
from popinv.forward.external.model import ExternalModel
from popinv.forward.python.process import WorkerProcess

__all__ = ["forward_model"]


_ADVICE = {
    "jacobian": "Correct the Jacobian: its entry [i, j, k] is the derivative of observation j of "
    "system i in parameter k.",
    "torch": "All that leads from z to the observations must be computed by torch, without "
    "detach(), numpy(), item() or no_grad().",
}
_OR_NOT = "Or do without: leave 'forward.derivatives' out."


def forward_model(forward: Mapping[str, Any], seed: int) -> ExternalModel:
    """Return the forward model of a ``forward`` section, differentiable if that says so."""
    derivatives = forward["derivatives"]
    start = partial(
        WorkerProcess,
        forward["function"],
        forward["path"],
        forward["time_limit"],
        derivatives or "",
    )
    if derivatives is None:
        return ExternalModel(forward, seed, start, forward["rows_per_call"])
    advice = f"{_ADVICE[derivatives]} {_OR_NOT}"
    return DifferentiableExternalModel(forward, seed, start, forward["rows_per_call"], advice)
