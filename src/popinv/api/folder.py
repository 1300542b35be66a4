"""A result in a folder, in the layout of the workflow: a study of the workflow is read alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from popinv.errors import DataError, nearest
from popinv.judgement.answer import StudyAnswer
from popinv.judgement.files import ANSWER_FILE, METRICS_FILE, read_answer, read_metrics
from popinv.store import storage
from popinv.store.whole_files import write_text

_STORES = {
    "observations": "observations",
    "truth": "truth",
    "check": "rounds/check/solves",
    "distance": "descent",
    "pseudo_likelihood": "pseudo_likelihood",
    "likelihood": "likelihood",
    "sampling_error": "sampling_error",
    "population": "population",
    "noise_known": "oracles/noise_known",
    "law_known": "oracles/law_known",
    "posterior": "posterior",
    "batch": "batch",
}
"""Paths of the artefacts of a study in its folder, without their ending."""


class Stores(Mapping[str, xr.Dataset]):
    """The artefacts in the folder of a study, each of which is read on first use.

    Parameters
    ----------
    folder : path
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        paths = {name: folder / f"{path}.zarr.zip" for name, path in _STORES.items()}
        rounds = sorted(
            int(path.parent.name)
            for path in folder.glob("rounds/*/estimate.zarr.zip")
            if path.parent.name.isdigit()
        )
        paths |= {f"estimate_{r}": folder / f"rounds/{r}/estimate.zarr.zip" for r in rounds}
        if rounds:
            paths["surrogate"] = folder / f"rounds/{rounds[-1]}/surrogate.zarr.zip"
        paths |= _of_additions(folder, paths["population"])
        self._tree = folder / "law_posterior.zarr.zip"
        self._paths = {n: path for n, path in paths.items() if path.is_file()}
        self._loaded: dict[str, xr.Dataset] = {}

    def __getitem__(self, name: str) -> xr.Dataset:
        if name not in self._loaded:
            self._loaded[name] = storage.load(self._paths[name])
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def paths(self) -> list[Path]:
        """The stores that there are."""
        return list(self._paths.values())

    @cached_property
    def law_posterior(self) -> xr.DataTree | None:
        """The posterior of law and noise, if the study requested it."""
        return storage.load_tree(self._tree) if self._tree.is_file() else None

    def __contains__(self, name: object) -> bool:
        return name in self._paths


_ADDED = ("observations", "distance", "pseudo_likelihood", "likelihood", "batch")


def _of_additions(folder: Path, population: Path) -> dict[str, Path]:
    """Return the paths of what the last addition to a study replaces, if its answer has some."""
    if not (folder / "additions").is_dir() or not population.is_file():
        return {}
    count = np.size(storage.attributes_of(population).get("added", []))
    place = folder / "additions" / str(count)
    return {name: place / f"{_STORES[name]}.zarr.zip" for name in _ADDED} if count else {}


def check_finished(folder: str | Path) -> StudyAnswer:
    """Return the record of the answer in the folder of a finished study.

    Raises
    ------
    DataError
        If there is no such folder, or no finished study in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        there = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise DataError(f"{folder}: there is no such folder.{nearest(folder.name, there)}")
    if (folder / METRICS_FILE).is_file() and (folder / "population.zarr.zip").is_file():
        return read_answer(folder)
    studies = sorted(path.parent.name for path in folder.glob(f"*/{METRICS_FILE}"))
    if studies:
        raise DataError(
            f"{folder}: holds the studies {', '.join(studies)}; open one of them, such as "
            f"popinv.load('{folder / studies[0]}')"
        )
    if (folder / "observations.zarr.zip").is_file():
        raise DataError(
            f"{folder}: the study is not finished, as it has no {METRICS_FILE}; run the same "
            "command of the workflow again, and it goes on"
        )
    raise DataError(f"{folder}: holds no result of popinv")


def calibration_in(folder: str | Path) -> dict[str, Any] | None:
    """Return the calibration of a study, if the study requested it."""
    file = Path(folder) / "evidence" / "calibration.json"
    return read_metrics(file) if file.is_file() else None


def write_result(
    folder: str | Path, artefacts: Mapping[str, xr.Dataset], answer: StudyAnswer
) -> Path:
    """Write artefacts and the record of the answer into a folder, and return it.

    Parameters
    ----------
    folder : path
    artefacts : mapping of str to Dataset
        With the attributes ``config``, ``seed`` and ``created_by``.
    """
    folder = Path(folder)
    last = max(_round(name) for name in artefacts)
    for name, dataset in artefacts.items():
        path = _STORES.get(name)
        if name == "surrogate":
            path = f"rounds/{last}/surrogate"
        elif path is None:
            path = f"rounds/{_round(name)}/estimate"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        storage.save(
            dataset,
            folder / f"{path}.zarr.zip",
            config=json.loads(dataset.attrs["config"]),
            seed=int(dataset.attrs["seed"]),
            created_by=str(dataset.attrs["created_by"]),
        )
    # Written last, because this file marks the result as complete.
    write_text(folder / ANSWER_FILE, answer.to_json())
    write_text(folder / METRICS_FILE, answer.metrics_json())
    return folder


def _round(name: str) -> int:
    number = name.removeprefix("estimate_")
    return int(number) if number.isdigit() else 0
