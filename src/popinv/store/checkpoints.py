"""Checkpoints of long jobs, kept apart from the declared outputs.

Snakemake deletes the outputs of a job that fails, so a job keeps the state from which it can
continue elsewhere, under ``results/.checkpoints``. A checkpoint is used only by a job with the same
inputs and settings as the one that wrote it. It is deleted when the job has succeeded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import xarray as xr

from popinv.errors import DataError
from popinv.store import storage
from popinv.store.variables import arrays_dataset, arrays_of
from popinv.store.whole_files import discard

State = TypeVar("State")

# Conversions from an array to a field of a state, by the text of the field's annotation. All other
# fields are arrays.
_FROM_ARRAY: dict[str, Callable[[np.ndarray], Any]] = {
    "int": int,
    "float": float,
    "str": lambda array: array.astype(np.uint8).tobytes().decode("ascii"),
}


def state_to_arrays(state: Any) -> dict[str, np.ndarray]:
    """Return the fields of a state (a dataclass) as arrays. Text becomes its ASCII bytes."""
    values = {f.name: getattr(state, f.name) for f in fields(state)}
    return {
        name: np.frombuffer(value.encode("ascii"), dtype=np.uint8)
        if isinstance(value, str)
        else np.asarray(value)
        for name, value in values.items()
    }


def state_from_arrays(kind: type[State], arrays: Mapping[str, np.ndarray]) -> State:
    """Return the state of a kind from the arrays of :func:`state_to_arrays`.

    Raises
    ------
    DataError
        If an array is missing.
    """
    wanted = fields(cast(Any, kind))
    missing = [f.name for f in wanted if f.name not in arrays]
    if missing:
        raise DataError(f"the checkpoint of a {kind.__name__} lacks {', '.join(missing)}")
    return kind(**{f.name: _FROM_ARRAY.get(str(f.type), np.array)(arrays[f.name]) for f in wanted})


class Checkpoint:
    """The checkpoint of one job.

    Parameters
    ----------
    path : Path
        The place of the checkpoint.
    config : mapping
        Settings, seed and the hashes of the inputs: all that the job's result depends on.
    seconds : float
        How much work may be lost: :meth:`write_when_due` writes after this time. A store takes
        a third of a second to write, which is more than many epochs of a small training.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], seconds: float = 15.0) -> None:
        self.path = path
        self.config = dict(config)
        self.seconds = seconds
        self._last = time.monotonic()

    @classmethod
    def of_job(
        cls, snakemake: Any, config: Mapping[str, Any], inputs: Iterable[xr.Dataset]
    ) -> Checkpoint:
        """Return the checkpoint of a rule's job.

        Parameters
        ----------
        snakemake : object
            The object that Snakemake gives to the script. The rule's params are ``checkpoint`` (its
            place), ``seed`` and ``code``.
        config : mapping
            The settings that the result depends on.
        inputs : iterable of Dataset
            Artefacts that the result depends on.
        """
        params = snakemake.params
        hashes = [dataset.attrs["content_sha256"] for dataset in inputs]
        given = {**config, "inputs": hashes, "seed": params.seed, "code": params.code}
        return cls(Path(params.checkpoint), given, snakemake.config["checkpoint_seconds"])

    @property
    def due(self) -> bool:
        """Whether enough time has passed since the last one was written, or since the start."""
        return time.monotonic() - self._last >= self.seconds

    def write_when_due(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Write the checkpoint if it is due."""
        if self.due:
            self.write(arrays)

    def write(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the checkpoint, completely or not at all."""
        dataset = arrays_dataset(arrays, "state of an unfinished job")
        storage.save(dataset, self.path, config=self.config, seed=0, created_by="checkpoint")
        self._last = time.monotonic()

    def read(self) -> dict[str, np.ndarray] | None:
        """Return the arrays, or None if there is no checkpoint of the same job."""
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
