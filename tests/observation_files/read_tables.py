"""Wide tables that tests read without a forward model, as a study reads them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from popinv.forward.base import Observations
from popinv.observation_files.files import check_exists, named_in_errors
from popinv.observation_files.fit import read_wide
from popinv.observation_files.section import FileObservations
from popinv.observation_files.table import ObservationTable


def observed_at(times: np.ndarray) -> Observations:
    """Return the observations of one quantity at some times."""
    return Observations(times[:, None], ("t",), "y")


def read_file(path: str | os.PathLike[str], **keys: Any) -> ObservationTable:
    """Return the observations of a file; the keys are those of the section ``observations``."""
    section = FileObservations.model_validate({"file": str(path), **keys})
    check_exists(path)
    with named_in_errors(path):
        return read_wide(section)
