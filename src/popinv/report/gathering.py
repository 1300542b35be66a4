"""Reads what studies and methods have left into plain records."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from popinv.demand import read_job
from popinv.errors import DataError
from popinv.report.costs import jobs_of, stages
from popinv.report.judgement import judgements
from popinv.report.records import Method, Picture, Store, Study, Use
from popinv.report.words import readable
from popinv.summary import parameters_in, read_metrics

__all__ = ["PROBLEM", "gather_method", "gather_study", "read_store"]

PROBLEM = "test problem"
# What the figures of every study show.
_CAPTIONS = {
    "descent": "Course of the descent: losses, and every parameter on its way",
    "examples": "A few systems: what was observed, and what would have been without noise",
    "law": "The recovered law of the parameters",
    "noise_covariance": "The noise covariance, recovered and compared",
    "observations": "Observations, and what the fitted model observes",
    "solver_calls": "Where, and how often, the solver was called",
    "surrogate_error": "Error of the surrogate by round, and its last training",
}
_EVIDENCE = ("error_against_systems", "designs", "coverage")


def gather_study(
    metrics: str | Path,
    study: Mapping[str, Any],
    stores: Iterable[str | Path] = (),
) -> Study:
    """Return the record of a finished study.

    Parameters
    ----------
    metrics : path
        ``metrics.json`` of the study, whose folder is that of the study.
    study : mapping
        The study's section of the checked configuration: what it asks for beyond the answer
        (baselines, evidence, downstream methods) is read where it is there.
    stores : iterable of path
        Stores whose hashes are to be told, each by its ``zarr.json``.

    Raises
    ------
    DataError
        If ``metrics.json`` or a store is missing or cannot be read.
    """
    folder = Path(metrics).parent
    numbers = read_metrics(metrics)
    evidence = {
        name: read_metrics(folder / "evidence" / f"{name}.json")
        for name, wanted in zip(_EVIDENCE, _evidence_asked(study), strict=True)
        if wanted and (folder / "evidence" / f"{name}.json").exists()
    }
    parameters = parameters_in(numbers)
    comparison = folder / "baselines" / "comparison.json"
    compared = study["assessment"]["baselines"] and comparison.exists()
    asked = [name for name, section in study["downstream"].items() if section is not None]
    threshold = float(study["active_learning"]["threshold"])
    return Study(
        name=folder.name,
        config=dict(study),
        metrics=numbers,
        parameters=parameters,
        judgements=judgements(numbers, parameters, threshold, evidence.get("coverage")),
        stages=stages(jobs_of(folder / "benchmarks", study)),
        stores=tuple(read_store(path, folder) for path in stores),
        baselines=read_metrics(comparison) if compared else {},
        evidence=evidence,
        pictures=_pictures(folder / "figures", f"study {folder.name}"),
        uses={
            name: _use(folder / "downstream" / name, folder.name)
            for name in asked
            if (folder / "downstream" / name / "metrics.json").exists()
        },
    )


def _evidence_asked(study: Mapping[str, Any]) -> tuple[Any, ...]:
    asked = study["evidence"]
    return asked["system_counts"], asked["design_counts"], asked["coverage_replications"]


def gather_method(
    name: str,
    results: str | Path,
    studies: Iterable[str],
    about: str = "",
    question: str = "",
    benchmark: str | Path | None = None,
) -> Method:
    """Return the record of a downstream method, of whatever it has left.

    Parameters
    ----------
    name : str
        As its folders are called.
    results : path
        The folder of the results.
    studies : iterable of str
        Studies that use it, of which those are told that have its ``metrics.json``.
    about : str
        Its page of documentation, of which title and first paragraph are told.
    question : str
        What it answers about a study.
    benchmark : path, optional
        Benchmark file of its own test problem.
    """
    results = Path(results)
    title, lead = _beginning(about)
    own = results / "downstream" / name
    problem = None
    if (own / "metrics.json").exists():
        problem = _use(own, PROBLEM, benchmark)
    uses = tuple(
        _use(results / study / "downstream" / name, study)
        for study in studies
        if (results / study / "downstream" / name / "metrics.json").exists()
    )
    return Method(name, title or readable(name).capitalize(), lead, question, problem, uses)


def _beginning(text: str) -> tuple[str, str]:
    """Return title and first paragraph of a page in Markdown, empty where there are none."""
    blocks = [" ".join(block.split()) for block in text.split("\n\n") if block.strip()]
    if not blocks or not blocks[0].startswith("# "):
        return "", ""
    return blocks[0][2:], blocks[1] if len(blocks) > 1 and not blocks[1].startswith("#") else ""


def _use(folder: Path, study: str, benchmark: str | Path | None = None) -> Use:
    table = folder / "claims.csv"
    took = Path(benchmark) if benchmark is not None else None
    return Use(
        study=study,
        metrics=read_metrics(folder / "metrics.json"),
        claims=_claims(table) if table.exists() else (),
        pictures=_pictures(folder / "figures", study),
        stages=stages([read_job(took)]) if took is not None and took.exists() else (),
    )


def _claims(table: Path) -> tuple[dict[str, str], ...]:
    with table.open(newline="", encoding="utf-8") as lines:
        return tuple(
            {key: value or "" for key, value in row.items()} for row in csv.DictReader(lines)
        )


def _pictures(folder: Path, of: str) -> tuple[Picture, ...]:
    return tuple(
        Picture(
            name=readable(file.stem),
            file=file,
            caption=_CAPTIONS.get(file.stem, readable(file.stem).capitalize()),
            alternative=f"{_CAPTIONS.get(file.stem, readable(file.stem))}: figure of the {of}",
        )
        for file in sorted(folder.glob("*.png"))
    )


def read_store(path: str | Path, folder: Path) -> Store:
    """Return who made a store and the hash of its content, as its metadata says.

    Parameters
    ----------
    path : path
        The store's ``zarr.json``.
    folder : Path
        Of the study, from which on the store's path is told.

    Raises
    ------
    DataError
        If this is not the metadata of a store of popinv.
    """
    path = Path(path)
    try:
        attributes = json.loads(path.read_text(encoding="utf-8"))["attributes"]
        name = path.parent.relative_to(folder).as_posix()
        return Store(
            name,
            attributes["created_by"],
            int(attributes["seed"]),
            attributes["package_version"],
            attributes["content_sha256"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is not the metadata of a store of popinv ({error})") from None
