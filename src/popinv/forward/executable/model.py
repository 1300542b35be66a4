"""A program of one's own as a forward model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from popinv.forward.executable.program import Program
from popinv.forward.external.model import ExternalModel

__all__ = ["forward_model"]


def forward_model(forward: Mapping[str, Any], seed: int) -> ExternalModel:
    """Return the forward model of a ``forward`` section."""
    start = partial(
        Program,
        forward["command"],
        [parameter["name"] for parameter in forward["parameters"]],
        forward["format"],
        forward["pass_seed"],
        forward["time_limit"],
    )
    return ExternalModel(forward, seed, start, forward["rows_per_call"])
