"""A simulator behind the UM-Bridge protocol as a forward model."""

from __future__ import annotations

from contextlib import closing
from functools import partial

from popinv.forward.external.differentiable import DifferentiableExternalModel
from popinv.forward.external.model import ExternalModel
from popinv.forward.umbridge.client import UMBridgeClient
from popinv.forward.umbridge.section import UMBridge

_ADVICE = (
    "Correct Gradient and ApplyJacobian of the model. To disable them, set 'forward.derivatives: "
    "false'."
)


def forward_model(section: UMBridge, seed: int) -> ExternalModel:
    """Return the server's model as a forward model, differentiable if the server supports it.

    Raises
    ------
    ConfigError, SolverError
        If the server does not answer, or has no model that fits.
    """
    start = partial(
        UMBridgeClient,
        section.url,
        section.server_model,
        section.config,
        len(section.inputs()),
        section.observations.asked_count(),
        section.time_limit,
    )
    # The protocol evaluates one system in each request.
    if section.derivatives:
        with closing(start()) as client:
            if client.differentiable:
                return DifferentiableExternalModel(
                    section, seed, start, rows_per_call=1, advice=_ADVICE
                )
    return ExternalModel(section, seed, start, rows_per_call=1)
