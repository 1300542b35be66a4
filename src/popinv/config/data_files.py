"""Checks on the data files that a configuration names, to be made before any work."""

from __future__ import annotations

import os

import numpy as np

from popinv.config.observations import FileObservations
from popinv.config.study import Config
from popinv.errors import DataError
from popinv.observations_file import read_observations

__all__ = ["check_data_files", "check_observation_file"]

# Fewer systems than this do not make a population, whatever is held out.
_FEWEST_SYSTEMS = 4


def check_observation_file(path: str | os.PathLike[str], width: int) -> np.ndarray:
    """Read an observation file and check that it fits the sensors.

    Parameters
    ----------
    path : path
        A CSV, NetCDF or zarr file, as :func:`popinv.observations_file.read_observations` reads.
    width : int
        Number of sensors.

    Returns
    -------
    ndarray of shape (n, width)

    Raises
    ------
    DataError
        If the file cannot be read, holds anything but finite numbers, has another number of
        columns than there are sensors, or too few rows.
    """
    values = read_observations(path)
    if values.shape[1] != width:
        raise DataError(
            f"{path}: has {values.shape[1]} columns, but the study has {width} sensors "
            f"(rows are systems, columns are sensors).{_width_hint(values, width)}"
        )
    if len(values) < _FEWEST_SYSTEMS:
        raise DataError(
            f"{path}: has {len(values)} rows, but a population needs at least {_FEWEST_SYSTEMS}"
        )
    return values


def check_data_files(config: Config) -> None:
    """Check the observation file of each study that has one.

    Raises
    ------
    DataError
        With the study, and what is wrong with its file.
    """
    for name, study in config.studies.items():
        observations = study.observations
        if not isinstance(observations, FileObservations):
            continue
        at = f"studies.{name}.observations.file"
        try:
            values = check_observation_file(observations.file, study.forward.observation_count())
        except DataError as error:
            raise DataError(f"{at}: {error}") from error
        kept = len(values) - round(observations.heldout_fraction * len(values))
        if not 2 <= kept <= len(values) - 2:
            raise DataError(
                f"{at}: {observations.file} has {len(values)} rows; a held-out share of "
                f"{observations.heldout_fraction:g} leaves {kept} to learn from and "
                f"{len(values) - kept} to check with, and each needs at least 2"
            )
        if study.descent.batch_size and study.descent.batch_size > kept:
            raise DataError(
                f"studies.{name}.descent.batch_size: got {study.descent.batch_size}, but "
                f"{observations.file} leaves {kept} observations to learn from; null uses all"
            )


def _width_hint(values: np.ndarray, width: int) -> str:
    rows, columns = values.shape
    if rows == width:
        return " It looks transposed."
    counts = values[:, 0] - values[0, 0]
    if columns == width + 1 and np.array_equal(counts, np.arange(rows)):
        return " Its first column counts the rows; leave it out."
    return ""
