"""Read the results of studies and methods into plain records."""

from __future__ import annotations

import csv
import json
import re
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from popinv.charts.style import readable
from popinv.config import study as config
from popinv.config.study import Study
from popinv.errors import DataError
from popinv.judgement.files import ANSWER_FILE, METRICS_FILE, read_answer, read_metrics
from popinv.judgement.judgements import judgements
from popinv.report.records import (
    Comparison,
    DesignedNext,
    Listed,
    MethodRecord,
    Picture,
    Predicted,
    Row,
    StageCosts,
    Store,
    StudyRecord,
    UseRecord,
)
from popinv.sections.base import plain
from popinv.store.storage import attributes_of
from popinv.workflow.benchmarks import Job, asked_and_taken, read_job

# Rules that write pages and draw the gallery do not count as cost of a study.
_PAGES = ("write_study_page", "draw_systems", "draw_noise")
# A smaller p-value is counted.
# Columns of a design's groups that are no known quantities.
_GROUP = ("group", "systems", "places")
_FAR = 0.05


def jobs_of(folder: Path, study: Study) -> list[Job]:
    """Return the jobs of :func:`asked_and_taken`, without those that write pages."""
    return [job for _, job in asked_and_taken(folder, study) if job.rule not in _PAGES]


def stages(jobs: Iterable[Job]) -> tuple[StageCosts, ...]:
    """Return the resources of the jobs of each rule together, the longest first."""
    by_rule: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_rule[job.rule].append(job)
    totals = [
        StageCosts(
            rule,
            len(own),
            sum(job.seconds for job in own),
            max(job.seconds for job in own),
            sum(job.processor_seconds or 0.0 for job in own),
            max((job.megabytes for job in own if job.megabytes is not None), default=None),
        )
        for rule, own in by_rule.items()
    ]
    return tuple(sorted(totals, key=lambda stage: -stage.seconds))


_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def pictures_in(folder: Path, subject: str) -> tuple[Picture, ...]:
    """Return the figures of a folder, with their titles as captions."""
    pictures = []
    for file in sorted(folder.glob("*.png")):
        name = readable(file.stem)
        words = title_of(file) or name.capitalize()
        pictures.append(Picture(name, file, words, f"{words}: figure of the {subject}"))
    return tuple(pictures)


def title_of(file: Path) -> str:
    """Return the title that a PNG file holds as text, or "" if there is none."""
    with file.open("rb") as stream:
        if stream.read(8) != _SIGNATURE:
            return ""
        while len(head := stream.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            keyword, _, text = stream.read(length).partition(b"\0")
            stream.read(4)
            if kind == b"IDAT":
                break
            if keyword == b"Title" and kind == b"tEXt":
                return text.decode("latin-1")
            # Only if it is not compressed and has no language and no translated keyword.
            if keyword == b"Title" and kind == b"iTXt" and text.startswith(b"\0\0\0\0"):
                return text[4:].decode("utf-8")
    return ""


PROBLEM = "test problem"
_EVIDENCE = ("error_against_systems", "designs", "calibration")


def gather_study(
    file: str | Path,
    section: config.Study,
    stores: Iterable[str | Path] = (),
) -> StudyRecord:
    """Return the record of a finished study.

    Parameters
    ----------
    file : path
        ``answer.json`` in the study's folder.
    section : popinv.config.study.Study
        Requested results beyond the answer (baselines, evidence, downstream methods) are read if
        they exist.
    stores : iterable of path
        Stores whose hashes are shown, as paths.

    Raises
    ------
    DataError
        If ``answer.json`` or a store is missing or cannot be read.
    """
    folder = Path(file).parent
    answer = read_answer(folder)
    evidence = {
        name: read_metrics(folder / "evidence" / f"{name}.json")
        for name, wanted in zip(_EVIDENCE, _evidence_asked(section), strict=True)
        if wanted and (folder / "evidence" / f"{name}.json").exists()
    }
    comparison = folder / "baselines" / "comparison.json"
    compared = section.assessment.baselines and comparison.exists()
    asked = [name for name, method in section.downstream if method is not None]
    return StudyRecord(
        name=folder.name,
        config=section,
        answer=answer,
        judgements=judgements(answer, evidence.get("calibration")),
        stages=stages(jobs_of(folder / "benchmarks", section)),
        stores=tuple(read_store(path, folder) for path in stores),
        baselines=read_metrics(comparison) if compared else {},
        evidence=evidence,
        uses={
            name: _use(folder / "downstream" / name, folder.name)
            for name in asked
            if (folder / "downstream" / name / METRICS_FILE).exists()
        },
    )


def predictions_of(results: str | Path, name: str) -> list[Predicted]:
    """Return the predictions of new systems that ``popinv predict`` has left with a study."""
    found = []
    for table in sorted(Path(results, name, "predictions").glob("*/systems.csv")):
        rows = _rows_of(table)
        far = sum(float(row["p-value"] or "nan") < _FAR for row in rows)
        href = f"../{name}/predictions/{table.parent.name}"
        found.append(Predicted(name, table.parent.name, len(rows), far, href))
    return found


def designs_of(results: str | Path, name: str) -> list[DesignedNext]:
    """Return the designs that ``popinv design`` has left with a study."""
    found = []
    for table in sorted(Path(results, name, "designs").glob("*/groups.csv")):
        groups = []
        for row in _rows_of(table):
            known = [f"{key} = {row[key]}" for key in row if key not in _GROUP]
            groups.append((int(row["systems"]), "; ".join([*known, row["places"]])))
        parameters = [
            (row["parameter"], float(row["value"]), float(row["lower"]), float(row["upper"]))
            for row in _rows_of(table.with_name("parameters.csv"))
        ]
        href = f"../{name}/designs/{table.parent.name}"
        found.append(DesignedNext(name, table.parent.name, tuple(groups), tuple(parameters), href))
    return found


def _rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def gather_listed(results: str | Path, name: str, section: config.Study | None) -> Listed:
    """Return the record of a study in the index.

    Parameters
    ----------
    results : path
        The folder of the results.
    section : popinv.config.study.Study or None
        None if it is not part of the configuration, but among
        :func:`popinv.report.folder.found_studies`.

    Raises
    ------
    DataError
        If the study is part of the configuration and has no answer, or if that cannot be read.
    """
    results = Path(results)
    folder, page = results / name, (results / "report" / "studies" / f"{name}.html").exists()
    current = section is not None
    if not current and not (folder / ANSWER_FILE).exists():
        return Listed(name, "", None, (), page, current)
    answer = read_answer(folder)
    calibration = folder / "evidence" / "calibration.json"
    evidence = read_metrics(calibration) if calibration.exists() else None
    judged = judgements(answer, evidence)
    doubts = tuple(judgement for judgement in judged if judgement.verdict == "doubt")
    forward = _forward_in(folder) if section is None else section.forward.kind
    return Listed(name, forward, answer, doubts, page or current, current)


def _forward_in(folder: Path) -> str:
    """Return the kind of the forward model with which a study was observed, "" if not known."""
    try:
        config = attributes_of(folder / "observations.zarr.zip")["config"]
        kind = json.loads(config)["forward"]["kind"]
    except (DataError, ValueError, KeyError, TypeError):
        return ""
    return str(kind)


def gather_comparison(file: str | Path) -> Comparison:
    """Return the record of a comparison of models from its ``comparison.json``.

    Raises
    ------
    DataError
        If the file is missing or cannot be read.
    """
    return Comparison(Path(file).parent.name, read_metrics(file))


def _evidence_asked(section: config.Study) -> tuple[Any, ...]:
    asked = section.evidence
    return asked.system_counts, asked.design_counts, asked.calibration


def gather_method(
    name: str,
    results: str | Path,
    studies: Mapping[str, config.Study],
    about: str = "",
    question: str = "",
    benchmarks: Mapping[str, str | Path] | None = None,
    cells: Callable[[Mapping[str, str]], dict[str, str]] = dict,
) -> MethodRecord:
    """Return the record of a downstream method, from its results so far.

    Parameters
    ----------
    name : str
        Name of its folders.
    results : path
        The folder of the results.
    studies : mapping of str to popinv.config.study.Study
        The studies that use it; studies without its ``metrics.json`` are left out.
    about : str
        Its page of documentation. Its title, its first paragraph and the beginning of the section
        on its use on a study are shown.
    question : str
        The question that it answers about a study.
    benchmarks : mapping of str to path, optional
        The benchmark file of its job on each study, and, as "test problem", of its own problem.
    cells : callable
        Returns what is shown of a row of its ``claims.csv``, by column.
    """
    results = Path(results)
    took = {} if benchmarks is None else benchmarks
    title, lead = _beginning(about)
    own = results / "downstream" / name
    problem = None
    if (own / "metrics.json").exists():
        problem = _use(own, PROBLEM, took.get(PROBLEM), cells)
    uses = tuple(
        _use(results / study / "downstream" / name, study, took.get(study))
        for study in studies
        if (results / study / "downstream" / name / "metrics.json").exists()
    )
    title = title or readable(name).capitalize()
    return MethodRecord(
        name,
        title,
        lead,
        question,
        _on_a_study(about),
        problem,
        uses,
        {use.study: plain(studies[use.study]) for use in uses},
    )


def _beginning(text: str) -> tuple[str, str]:
    """Return title and first paragraph of a page in Markdown, or empty texts."""
    blocks = [" ".join(block.split()) for block in text.split("\n\n") if block.strip()]
    # A line in italics below the title is about the sources.
    blocks = [block for block in blocks if not (block.startswith("*To be") and block[-1] == "*")]
    if not blocks or not blocks[0].startswith("# "):
        return "", ""
    return blocks[0][2:], blocks[1] if len(blocks) > 1 and not blocks[1].startswith("#") else ""


def _on_a_study(text: str) -> tuple[str, ...]:
    """Return the first statements of a page in Markdown on the method's use on a study.

    These are the first paragraph below the heading "On a study", and the following lists and
    paragraphs that begin with emphasis. The rest are measurements on other studies.
    """
    _, _, section = text.partition("\n## On a study")
    blocks: list[str] = []
    for block in re.split(r"\n\s*\n", section.partition("\n## ")[0])[1:]:
        if block.startswith("```"):
            continue
        if blocks and not block.startswith(("*", "- ")):
            break
        items = re.split(r"\n(?=- )", block)
        blocks += [" ".join(item.removeprefix("- ").split()) for item in items]
    return tuple(blocks)


def _use(
    folder: Path,
    study: str,
    benchmark: str | Path | None = None,
    cells: Callable[[Mapping[str, str]], dict[str, str]] = dict,
) -> UseRecord:
    table = folder / "claims.csv"
    took = Path(benchmark) if benchmark is not None else None
    return UseRecord(
        study=study,
        metrics=read_metrics(folder / "metrics.json"),
        claims=_rows(table, cells) if table.exists() else (),
        pictures=pictures_in(folder / "figures", study),
        stages=stages([read_job(took)]) if took is not None and took.exists() else (),
        hashes={
            file.name: sha256(file.read_bytes()).hexdigest()
            for file in sorted(folder.iterdir())
            if file.suffix in (".json", ".csv")
        },
    )


def _rows(table: Path, cells: Callable[[Mapping[str, str]], dict[str, str]]) -> tuple[Row, ...]:
    with table.open(newline="", encoding="utf-8") as lines:
        rows = [{key: value or "" for key, value in row.items()} for row in csv.DictReader(lines)]
    return tuple(Row(row["part"], row["status"], cells(row)) for row in rows)


def read_store(path: str | Path, folder: Path) -> Store:
    """Return the rule that made a store and the hash of its content, from its metadata.

    Parameters
    ----------
    path : path
        The store.
    folder : Path
        Folder of the study, to which the shown path is relative.

    Raises
    ------
    DataError
        If this is not a store written by popinv.
    """
    path = Path(path)
    try:
        attributes = attributes_of(path)
        name = path.relative_to(folder).as_posix()
        return Store(
            name,
            attributes["created_by"],
            int(attributes["seed"]),
            attributes["package_version"],
            attributes["content_sha256"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is not a store of popinv ({error})") from None
