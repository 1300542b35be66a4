"""The user's own Python function as a forward model."""

from __future__ import annotations

from functools import partial

from popinv.forward.external.differentiable import DifferentiableExternalModel
from popinv.forward.external.model import ExternalModel
from popinv.forward.python.process import WorkerProcess
from popinv.forward.python.section import PythonFunction

_ADVICE = {
    "jacobian": "Correct the Jacobian: its entry [i, j, k] is the derivative of observation j of "
    "system i in parameter k.",
    "torch": "Every step from z to the observations must be computed by torch, without "
    "detach(), numpy(), item() or no_grad().",
}
_OR_NOT = "To disable derivatives, leave 'forward.derivatives' out."


def forward_model(section: PythonFunction, seed: int) -> ExternalModel:
    """Return the function as a forward model, differentiable if the section says so."""
    derivatives = section.derivatives
    times = section.observations.asked_times()
    start = partial(
        WorkerProcess,
        section.function,
        section.path,
        derivatives or "",
        section.vectorised,
        len(section.design()),
        times,
        section.observations.asked_count(),
    )
    if derivatives is None:
        return ExternalModel(section, seed, start, section.rows_per_call)
    advice = f"{_ADVICE[derivatives]} {_OR_NOT}"
    return DifferentiableExternalModel(section, seed, start, section.rows_per_call, advice)
