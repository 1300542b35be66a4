"""Plain records for the pages, independent of files and HTML."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from popinv.config.observations import SyntheticObservations
from popinv.config.study import Study
from popinv.judgement.answer import StudyAnswer
from popinv.judgement.comparison import explained, rows_of
from popinv.judgement.verdict import Judgement
from popinv.report.formats import compressed

Metrics = dict[str, Any]


@dataclass(frozen=True)
class StageCosts:
    """Resources of the jobs of one rule together."""

    rule: str
    jobs: int
    seconds: float
    longest: float
    processor_seconds: float
    megabytes: float | None


@dataclass(frozen=True)
class Store:
    """A zarr store behind the page, and the hash of its content."""

    path: str
    rule: str
    seed: int
    version: str
    sha256: str


@dataclass(frozen=True)
class Picture:
    """A PNG file, its caption, and its description for readers who cannot see it.

    Its numbers are in a CSV file beside it, if it was drawn by popinv.
    """

    name: str
    file: Path
    caption: str
    alternative: str

    @property
    def data(self) -> str:
        """The picture as lossless WebP of 256 colours in base64, a third as large as the file."""
        stream = io.BytesIO()
        with Image.open(self.file) as image:
            few = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
            few.convert("RGB").save(stream, format="WEBP", lossless=True)
        return base64.b64encode(stream.getvalue()).decode()

    @property
    def numbers(self) -> str:
        """The table of its numbers, compressed by zlib, in base64; empty if there is none."""
        table = self.file.with_suffix(".csv")
        if not table.exists():
            return ""
        return compressed(table.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Row:
    """A row of a table in parts.

    Attributes
    ----------
    cells : dict of str to str
        Texts by column.
    """

    part: str
    status: str
    cells: dict[str, str]


@dataclass(frozen=True)
class UseRecord:
    """Results of a downstream method on its own test problem or on a study.

    Attributes
    ----------
    study : str
        Its name, or "test problem".
    metrics : dict
    claims : tuple of Row
        The table of findings, in parts.
    pictures : tuple of Picture
    stages : tuple of StageCosts
        Resources of the job.
    hashes : dict of str to str
        SHA-256 of each file of numbers.
    """

    study: str
    metrics: Metrics
    claims: tuple[Row, ...] = ()
    pictures: tuple[Picture, ...] = ()
    stages: tuple[StageCosts, ...] = ()
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def statements(self) -> Metrics:
        """Metrics that are sentences, of more than two words."""
        texts = {k: v for k, v in self.metrics.items() if isinstance(v, str)}
        return {name: text for name, text in texts.items() if len(text.split()) > 2}


@dataclass(frozen=True)
class Comparison:
    """A comparison of models.

    Attributes
    ----------
    numbers : dict
        ``comparison.json``.
    """

    name: str
    numbers: dict[str, Any]

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """The numbers of each model, by study, the best score first."""
        return dict(self.numbers["models"])

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The rows of the table, without the headings."""
        return rows_of(self.numbers)[1:]

    @property
    def explained(self) -> list[str]:
        """Explanations of the numbers."""
        return explained(self.numbers)

    @property
    def best(self) -> str:
        """The study with the best score."""
        return next(iter(self.models))

    @property
    def close(self) -> list[str]:
        """The studies that cannot be distinguished from the best."""
        return [name for name, row in self.models.items() if row["verdict"] == "close"]


@dataclass(frozen=True)
class Listed:
    """A study as the index lists it.

    Attributes
    ----------
    forward : str
        Kind of its forward model; empty if it is not known.
    answer : StudyAnswer or None
        None if only its page is left, or its results are of an earlier version.
    doubts : tuple of Judgement
    page : bool
        Whether it has a page.
    current : bool
        Whether it is part of the configuration for which the index is written.
    """

    name: str
    forward: str
    answer: StudyAnswer | None
    doubts: tuple[Judgement, ...]
    page: bool = True
    current: bool = True

    @property
    def numbers(self) -> dict[str, float | int | None]:
        """The numbers of its row by their headings; None where they are not known."""
        answer = self.answer
        truth, heldout, surrogate = (
            None if answer is None else getattr(answer, name)
            for name in ("truth", "heldout", "surrogate")
        )
        return {
            "systems": None if answer is None else answer.sizes.systems,
            "error of the law": None if truth is None else truth.law_largest,
            "error of the noise": None if truth is None else truth.noise,
            "held-out p": None if heldout is None else heldout.p_value,
            "surrogate’s error": None if surrogate is None else surrogate.rmse,
            "solver calls": None if answer is None else answer.solves.calls,
        }


@dataclass(frozen=True)
class MethodRecord:
    """A downstream method: its name, its description, and all its results.

    Attributes
    ----------
    about, question : str
        Its description, and the question that it answers about a study.
    reading : tuple of str
        Paragraphs on the interpretation of its results on a study.
    problem : UseRecord or None
        Its own test problem.
    uses : tuple of UseRecord
    configs : dict of str to dict
        Sections of the configuration of the studies among the uses.
    """

    name: str
    title: str
    about: str
    question: str
    reading: tuple[str, ...]
    problem: UseRecord | None
    uses: tuple[UseRecord, ...]
    configs: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Predicted:
    """Predictions of the new systems of a table.

    Attributes
    ----------
    study, table : str
    systems, far : int
        Number of systems, and of those with a p-value below 0.05.
    folder : str
        From the folder of the report.
    """

    study: str
    table: str
    systems: int
    far: int
    folder: str


@dataclass(frozen=True)
class DesignedNext:
    """A design that ``popinv design`` has left with a study.

    Attributes
    ----------
    study, name : str
    groups : tuple of (int, str)
        The number of systems of each group, and its known quantities and places in words.
    parameters : tuple of (str, float, float, float)
        Each parameter with the value that would be true, and the ends of its 95 % interval.
    folder : str
        From the folder of the report.
    """

    study: str
    name: str
    groups: tuple[tuple[int, str], ...]
    parameters: tuple[tuple[str, float, float, float], ...]
    folder: str


@dataclass(frozen=True)
class StudyRecord:
    """A finished study.

    Attributes
    ----------
    config : popinv.config.study.Study
        Its section of the configuration.
    answer : StudyAnswer
    judgements : tuple of Judgement
    stages : tuple of StageCosts
    stores : tuple of Store
    baselines : dict of dict
        Results of other methods on the study, by method; empty without a comparison.
    evidence : dict of dict
        Numbers of each kind of evidence, by name.
    uses : dict of str to Use
        Downstream methods on this study.
    """

    name: str
    config: Study
    answer: StudyAnswer
    judgements: tuple[Judgement, ...]
    stages: tuple[StageCosts, ...]
    stores: tuple[Store, ...]
    baselines: dict[str, dict[str, Any]] = field(default_factory=dict)
    evidence: dict[str, Metrics] = field(default_factory=dict)
    uses: dict[str, UseRecord] = field(default_factory=dict)

    @property
    def synthetic(self) -> bool:
        """True if the truth is known."""
        return isinstance(self.config.observations, SyntheticObservations)

    @property
    def doubts(self) -> tuple[Judgement, ...]:
        """The judgements that are reasons for doubt."""
        return tuple(j for j in self.judgements if j.verdict == "doubt")
