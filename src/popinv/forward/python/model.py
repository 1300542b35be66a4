"""A function of one's own in Python as a forward model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from popinv.forward.external.model import ExternalModel
from popinv.forward.python.process import WorkerProcess

__all__ = ["forward_model"]


def forward_model(forward: Mapping[str, Any], seed: int) -> ExternalModel:
    """Return the forward model of a ``forward`` section."""
    start = partial(WorkerProcess, forward["function"], forward["path"], forward["time_limit"])
    return ExternalModel(forward, seed, start, forward["rows_per_call"])
