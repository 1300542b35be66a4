"""What a page is filled with: plain records, which know neither files nor HTML."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from popinv.summary import Parameter

__all__ = [
    "Judgement",
    "Method",
    "Picture",
    "Stage",
    "Store",
    "Study",
    "Use",
]

Metrics = dict[str, Any]


@dataclass(frozen=True)
class Judgement:
    """One answer to the question how far the result can be trusted.

    Attributes
    ----------
    name : str
        What was looked at.
    verdict : {"good", "doubt", "neutral"}
        Good, or a reason for doubt; neutral where there is nothing to compare with.
    finding : str
        What was found, in a sentence.
    meaning : str
        How to read that.
    """

    name: str
    verdict: Literal["good", "doubt", "neutral"]
    finding: str
    meaning: str


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
    """What a downstream method found: on its own test problem, or on a study."""

    study: str
    metrics: Metrics
    claims: tuple[dict[str, str], ...] = ()
    pictures: tuple[Picture, ...] = ()
    stages: tuple[Stage, ...] = ()


@dataclass(frozen=True)
class Method:
    """A downstream method: its name, what it is about, and all that it has found."""

    name: str
    title: str
    about: str
    question: str
    problem: Use | None
    uses: tuple[Use, ...]


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
