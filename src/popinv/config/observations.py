"""The sources of the observations: a synthetic population, or the user's file."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from popinv.observation_files.section import FileObservations
from popinv.population.sections import SyntheticObservations

__all__ = ["FileObservations", "Observations", "SyntheticObservations"]


def _source(value: Any) -> str | None:
    if isinstance(value, SyntheticObservations):
        return "<synthetic>"
    if isinstance(value, FileObservations):
        return "<file>"
    if not isinstance(value, dict) or ("file" in value) == ("truth" in value):
        return None
    return "<file>" if "file" in value else "<synthetic>"


Observations = Annotated[
    Annotated[SyntheticObservations, Tag("<synthetic>")]
    | Annotated[FileObservations, Tag("<file>")],
    Discriminator(
        _source,
        custom_error_type="observations_source",
        custom_error_message="it needs either 'truth' (a synthetic population drawn from known "
        "parameters) or 'file' (your own observations), and not both",
    ),
]
