"""Checkpoints of long jobs, kept apart from the declared outputs.

Snakemake deletes the outputs of a job that fails, so what a job needs to go on lies elsewhere:
under ``results/.checkpoints``. A checkpoint is used only by a job with the same inputs and
settings as the one that wrote it, and goes when the job has succeeded.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from popinv import storage
from popinv.artefacts import arrays_dataset, arrays_of
from popinv.errors import DataError
from popinv.whole_files import discard

__all__ = ["Checkpoint"]


class Checkpoint:
    """The checkpoint of one job.

    Parameters
    ----------
    path : Path
        Where it lies.
    config : mapping
        Settings, seed and the hashes of the inputs: everything the job's result depends on.
    seconds : float
        How much work may be lost: :meth:`write_when_due` writes after so much time. A store takes
        a third of a second to write, which is more than many epochs of a small training.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], seconds: float = 15.0) -> None:
        self.path = path
        self.config = dict(config)
        self.seconds = seconds
        self._last = time.monotonic()

    def write_when_due(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Write, if the last time, or the beginning, is long enough ago."""
        if time.monotonic() - self._last >= self.seconds:
            self.write(arrays)
            self._last = time.monotonic()

    def write(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the checkpoint, whole or not at all."""
        dataset = arrays_dataset(arrays, "state of an unfinished job")
        storage.save(dataset, self.path, config=self.config, seed=0, created_by="checkpoint")

    def read(self) -> dict[str, np.ndarray] | None:
        """Return the arrays, or None if there is no checkpoint of this very job."""
        if not self.path.exists():
            return None
        try:
            return arrays_of(storage.load(self.path, config=self.config))
        except DataError as error:
            print(f"an old checkpoint is not used: {error}")
            self.clear()
            return None

    def clear(self) -> None:
        """Delete the checkpoint."""
        discard(self.path)
