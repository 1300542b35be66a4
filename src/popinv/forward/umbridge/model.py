"""A simulator behind the UM-Bridge protocol as a forward model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from functools import partial
from typing import Any

from popinv.forward.external.description import observed
from popinv.forward.external.differentiable import DifferentiableExternalModel
from popinv.forward.external.model import ExternalModel
from popinv.forward.umbridge.client import UMBridgeClient

__all__ = ["forward_model"]


_ADVICE = (
    "Correct Gradient and ApplyJacobian of the model. Or do without: set 'forward.derivatives: "
    "false'."
)


def forward_model(forward: Mapping[str, Any], seed: int) -> ExternalModel:
    """Return the forward model of a ``forward`` section, differentiable if the server says so.

    Raises
    ------
    ConfigError, SolverError
        If the server does not answer, or has no model that fits.
    """
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
    if forward["derivatives"]:
        with closing(start()) as client:
            if client.differentiable:
                return DifferentiableExternalModel(
                    forward, seed, start, rows_per_call=1, advice=_ADVICE
                )
    return ExternalModel(forward, seed, start, rows_per_call=1)
