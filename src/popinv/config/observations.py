"""The sources of the observations: a synthetic population, or the user's file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from popinv.errors import DataError
from popinv.observation_files.section import FileObservations
from popinv.population.sections import SyntheticObservations

__all__ = [
    "FileObservations",
    "Observations",
    "SyntheticObservations",
    "states_noise_scales",
    "states_replicates",
    "with_observed_times",
]


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


def states_replicates(observations: SyntheticObservations | FileObservations) -> bool:
    """Return whether systems have, or may have, several replicates."""
    if isinstance(observations, SyntheticObservations):
        return observations.replicates > 1
    return observations.replicated


def states_noise_scales(observations: SyntheticObservations | FileObservations) -> bool:
    """Return whether systems have noise scales of their own."""
    if isinstance(observations, SyntheticObservations):
        return observations.noise_scale is not None
    return observations.noise_scale_column is not None


def with_observed_times(study: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study as its file states it, with the times of its own long table written out.

    They are the times of the rows with a value. What is wrong with the table, or with what is
    stated of it, is left to the checks of the sections.
    """
    given = dict(study)
    forward, table = given.get("forward", {}), given.get("observations")
    described = forward.get("observations", {}) if isinstance(forward, Mapping) else {}
    times = described.get("times") if isinstance(described, Mapping) else None
    if not (isinstance(times, Mapping) and isinstance(table, Mapping) and "value_column" in table):
        return given
    # Imported here, since few studies read their times from a file.
    from popinv.forward.external.observations import TimesOfFile
    from popinv.sections.tables import Seen, times_of_file

    try:
        asked = TimesOfFile.model_validate(times)
        if PurePath(asked.file) != PurePath(table["file"]):
            return given
        seen = Seen(str(table["value_column"]), tuple(table.get("missing_values") or ()))
        held = times_of_file(asked.file, asked.column, asked.grid, seen)
    except (DataError, KeyError, TypeError, ValueError):
        return given
    given["forward"] = {**forward, "observations": {**described, "times": held}}
    return given
