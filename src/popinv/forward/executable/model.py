"""The user's own program as a forward model."""

from __future__ import annotations

from functools import partial

from popinv.forward.executable.program import Program
from popinv.forward.executable.section import Executable
from popinv.forward.external.model import ExternalModel


def forward_model(section: Executable, seed: int) -> ExternalModel:
    """Return the program as a forward model."""
    start = partial(
        Program,
        section.command,
        [each.name for each in section.inputs()],
        section.format,
        section.pass_seed,
        section.observations.asked_count(),
    )
    return ExternalModel(section, seed, start, section.rows_per_call)
