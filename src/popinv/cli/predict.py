"""The command ``popinv predict``: new systems of a finished study, without a refit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from popinv.api.fit import load
from popinv.methods.posterior.prediction_files import config_of, told, write_predictions


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
    places = [cell.strip() for each in at for cell in each.split(",") if cell.strip()]
    result = load(results)
    new = result.predict(table, at=places or None, **settings)
    compressed = table.suffix in (".zip", ".gz")
    stem = table.name.removesuffix("".join(table.suffixes[-2:]) if compressed else table.suffix)
    folder = to or results / "predictions" / stem
    files = write_predictions(new, folder, config_of(new), int(new.attrs["seed"]))
    pictures = sum(path.suffix == ".png" for path in files)
    return "\n\n".join(
        [
            told(new),
            f"{folder}: systems.csv, observations.csv, {files[0].name}, {pictures} pictures in "
            "figures",
        ]
    )
