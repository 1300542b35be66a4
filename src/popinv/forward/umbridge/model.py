"""A simulator behind the UM-Bridge protocol as a forward model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from popinv.forward.external.description import observed
from popinv.forward.external.model import ExternalModel
from popinv.forward.umbridge.client import UMBridgeClient

__all__ = ["forward_model"]


def forward_model(forward: Mapping[str, Any], seed: int) -> ExternalModel:
    """Return the forward model of a ``forward`` section; the server is asked when it solves."""
    start = partial(
        UMBridgeClient,
        forward["url"],
        forward["model"],
        forward["config"],
        len(forward["parameters"]),
        len(observed(forward, seed)),
        forward["time_limit"],
    )
    # The protocol evaluates one system a request.
    return ExternalModel(forward, seed, start, rows_per_call=1)
