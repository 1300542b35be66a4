"""The command ``popinv predict``: new systems of a finished study, without a refit."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from popinv.api.fit import load
from popinv.errors import DataError
from popinv.judgement.files import ANSWER_FILE, METRICS_FILE
from popinv.methods.posterior.prediction_files import config_of, told, write_predictions
from popinv.workflow.records import NAME, PREDICTION, made


def predicted(
    results: Path, table: Path, to: Path | None, at: Sequence[str], **settings: Any
) -> str:
    """Write the predictions of the systems of a table, and return what to print.

    Parameters
    ----------
    results : path
        The folder of the study.
    to : path, optional
        By default ``predictions/NAME`` in that folder, with the name of the table.
    at : sequence of str
        Times or sensors.

    Raises
    ------
    PopinvError
        As :meth:`popinv.api.result.Result.predict`.
    """
    started = time.monotonic()
    places = [cell.strip() for each in at for cell in each.split(",") if cell.strip()]
    folder = to or default_folder(results, table)
    if (folder / METRICS_FILE).exists() or (folder / ANSWER_FILE).exists():
        raise DataError(f"{folder}: holds a study; name another folder for its predictions (--to)")
    result = load(results)
    new = result.predict(table, at=places or None, **settings)
    files = write_predictions(new, folder, config_of(new), int(new.attrs["seed"]))
    params = {"at": places, **{name: str(value) for name, value in settings.items()}}
    answer = results / "population.zarr.zip"
    inputs, outputs = (map(_from_here, each) for each in ((table, answer), files))
    study, seconds = {"study": results.name}, time.monotonic() - started
    record = made(PREDICTION, study, params, inputs, outputs, seconds)
    record.write(folder / NAME / f"{PREDICTION}.json")
    pictures = sum(path.suffix == ".png" for path in files)
    return "\n\n".join(
        [
            told(new),
            f"{folder}: systems.csv, observations.csv, {files[0].name}, {pictures} pictures in "
            "figures",
        ]
    )


def default_folder(results: Path, table: Path) -> Path:
    """Return the folder of the predictions of a table, which has the name of the table."""
    compressed = table.suffix in (".zip", ".gz")
    stem = table.name.removesuffix("".join(table.suffixes[-2:]) if compressed else table.suffix)
    # A name of dots would be another folder.
    return results / "predictions" / (stem.strip(".") or "table")


def _from_here(path: Path) -> str:
    """Return a path as records have it: relative to the working directory, if it is in there."""
    whole, here = os.path.abspath(path), os.getcwd()
    inside = os.path.commonpath([whole, here]) == here
    return os.path.relpath(whole) if inside else whole
