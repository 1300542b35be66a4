"""What a page is filled with: plain records, which know neither files nor HTML."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from popinv.judgement import Judgement
from popinv.metrics import Parameter

__all__ = [
    "Method",
    "Picture",
    "Stage",
    "Store",
    "Study",
    "Use",
]

Metrics = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """What the jobs of one rule took together."""

    rule: str
    jobs: int
    seconds: float
    longest: float
    processor_seconds: float
    megabytes: float | None


@dataclass(frozen=True)
class Store:
    """A zarr store that the page was made from, and the hash of its content."""

    path: str
    rule: str
    seed: int
    version: str
    sha256: str


@dataclass(frozen=True)
class Picture:
    """A PNG file and what it shows, in short and for those who do not see it."""

    name: str
    file: Path
    caption: str
    alternative: str

    @property
    def data(self) -> str:
        """The file as base64, read when it is embedded."""
        return base64.b64encode(self.file.read_bytes()).decode()


@dataclass(frozen=True)
class Use:
    """What a downstream method found: on its own test problem, or on a study.

    Attributes
    ----------
    study : str
        Its name, or "test problem".
    metrics : dict
    claims : tuple of dict
        Rows of the table of claims.
    pictures : tuple of Picture
    stages : tuple of Stage
        What the job took.
    hashes : dict of str to str
        SHA-256 of each file of numbers.
    """

    study: str
    metrics: Metrics
    claims: tuple[dict[str, str], ...] = ()
    pictures: tuple[Picture, ...] = ()
    stages: tuple[Stage, ...] = ()
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def statements(self) -> Metrics:
        """What is said in a sentence, of more than two words."""
        texts = {k: v for k, v in self.metrics.items() if isinstance(v, str)}
        return {name: text for name, text in texts.items() if len(text.split()) > 2}


@dataclass(frozen=True)
class Method:
    """A downstream method: its name, what it is about, and all that it has found.

    Attributes
    ----------
    about, question : str
        What it is, and what it answers about a study.
    reading : tuple of str
        Paragraphs on how to read what it finds on a study.
    problem : Use or None
        Its own test problem.
    uses : tuple of Use
    configs : dict of str to dict
        Sections of the configuration of the studies among the uses.
    """

    name: str
    title: str
    about: str
    question: str
    reading: tuple[str, ...]
    problem: Use | None
    uses: tuple[Use, ...]
    configs: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Study:
    """A finished study.

    Attributes
    ----------
    name : str
    config : dict
        Its section of the checked configuration.
    metrics : dict
        ``metrics.json``.
    parameters : tuple of Parameter
    judgements : tuple of Judgement
    stages : tuple of Stage
    stores : tuple of Store
    baselines : dict of dict
        What the study was compared with, by method; empty where it was not.
    evidence : dict of dict
        Numbers of each sort of evidence, by name.
    pictures : tuple of Picture
    uses : dict of str to Use
        Downstream methods on this study.
    """

    name: str
    config: dict[str, Any]
    metrics: Metrics
    parameters: tuple[Parameter, ...]
    judgements: tuple[Judgement, ...]
    stages: tuple[Stage, ...]
    stores: tuple[Store, ...]
    baselines: dict[str, dict[str, Any]] = field(default_factory=dict)
    evidence: dict[str, Metrics] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()
    uses: dict[str, Use] = field(default_factory=dict)

    @property
    def synthetic(self) -> bool:
        """Whether the truth is known."""
        return "truth" in self.config["observations"]

    @property
    def doubts(self) -> tuple[Judgement, ...]:
        """The judgements that give reason for doubt."""
        return tuple(j for j in self.judgements if j.verdict == "doubt")
