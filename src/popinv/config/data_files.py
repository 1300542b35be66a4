"""Checks on the data files that a configuration names, to be made before any work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from popinv.config.forward import Forward, ForwardSection
from popinv.config.observations import FileObservations
from popinv.config.study import Config, Study
from popinv.errors import ConfigError, DataError
from popinv.forward.external.files import check_simulator
from popinv.observation_files import ObservationTable, read_observations
from popinv.observation_files.heldout import heldout_split

__all__ = ["check_data_files", "check_observation_file", "read_table"]

# Fewer systems than this do not make a population, whatever is held out.
_FEWEST_SYSTEMS = 4


def check_observation_file(
    observations: FileObservations, forward: ForwardSection
) -> ObservationTable:
    """Read an observation file and check that it fits the forward model.

    Parameters
    ----------
    observations : FileObservations
        The file, and how it is to be read.
    forward : ForwardSection
        The forward model that is to explain the observations.

    Returns
    -------
    ObservationTable
        With one column for each observation of the forward model.

    Raises
    ------
    DataError
        If the file cannot be read, holds something else than observations, has another number of
        columns (or times) than the forward model, or too few rows.
    """
    path = observations.file
    table = read_observations(
        path,
        mask_missing=observations.missing == "mask",
        system_column=observations.system_column,
        noise_scale_column=observations.noise_scale_column,
    )
    values, width = table.values, forward.observation_count()
    if table.time_count is not None and table.time_count != forward.time_count():
        times = forward.time_count()
        raise DataError(
            f"{path}: has a time axis of length {table.time_count}, but the forward model has "
            f"{'no time' if times is None else f'{times} times'}"
        )
    if values.shape[1] != width:
        raise DataError(
            f"{path}: has {values.shape[1]} columns of observations, but the study has "
            f"{_expected(forward)} (rows are systems, columns are sensors).{_hint(values, width)}"
        )
    if len(values) < _FEWEST_SYSTEMS:
        raise DataError(
            f"{path}: has {len(values)} rows, but a population needs at least {_FEWEST_SYSTEMS}"
        )
    return table


def read_table(observations: Mapping[str, Any], forward: Mapping[str, Any]) -> ObservationTable:
    """Read the observation file of a study given as plain mappings.

    Raises
    ------
    DataError
        As :func:`check_observation_file`.
    """
    model: ForwardSection = TypeAdapter(Forward).validate_python(dict(forward))
    return check_observation_file(FileObservations(**observations), model)


def check_data_files(config: Config) -> None:
    """Check the files of each study: its simulator's, if it has one of its own, and its data.

    Raises
    ------
    ConfigError
        With the study, and what is wrong with its simulator.
    DataError
        With the study, and what is wrong with its file.
    """
    for name, study in config.studies.items():
        try:
            check_simulator(study.forward.model_dump())
        except ConfigError as error:
            raise ConfigError(f"studies.{name}.forward.{error}") from error
        if not isinstance(study.observations, FileObservations):
            continue
        try:
            table = check_observation_file(study.observations, study.forward)
            _check_split(table, study, study.observations, config.seed)
        except DataError as error:
            raise DataError(f"studies.{name}.observations.file: {error}") from error
        kept = len(heldout_split(len(table.values), study.observations.heldout_fraction, 0)[0])
        if study.descent.batch_size and study.descent.batch_size > kept:
            raise DataError(
                f"studies.{name}.descent.batch_size: got {study.descent.batch_size}, but "
                f"{study.observations.file} leaves {kept} observations to learn from; null uses all"
            )


def _check_split(
    table: ObservationTable, study: Study, observations: FileObservations, seed: int
) -> None:
    count = len(table.values)
    kept, heldout = heldout_split(
        count, observations.heldout_fraction, seed if study.seed is None else study.seed
    )
    if min(len(kept), len(heldout)) < 2:
        raise DataError(
            f"{observations.file} has {count} rows; a held-out share of "
            f"{observations.heldout_fraction:g} leaves {len(kept)} to learn from and "
            f"{len(heldout)} to check with, and each needs at least 2"
        )
    # From one value a mean can be taken, but no spread.
    seen = np.isfinite(table.values[kept]).sum(axis=0)
    for column in np.flatnonzero(seen < 2)[:1]:
        raise DataError(
            f"{observations.file}: {table.columns[column]} is observed in {seen[column]} of the "
            f"{len(kept)} systems to learn from, and at least 2 are needed; leave out the sensor, "
            "or hold out fewer systems"
        )


def _expected(forward: ForwardSection) -> str:
    count, times = forward.observation_count(), forward.time_count()
    return f"{count} sensors" if times is None else f"{count // times} sensors at {times} times"


def _hint(values: np.ndarray, width: int) -> str:
    rows, columns = values.shape
    if rows == width:
        return " It looks transposed."
    counts = values[:, 0] - values[0, 0]
    if columns == width + 1 and np.array_equal(counts, np.arange(rows)):
        return (
            " Its first column counts the rows; leave it out, or name it in "
            "'observations.system_column'."
        )
    return ""
