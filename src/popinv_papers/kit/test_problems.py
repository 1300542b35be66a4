"""The input and the outcome of a paper's test problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from popinv.methods.outcome import Outcome, save_outcome
from popinv_papers.kit.claims import Claim, write_claims


@dataclass(frozen=True)
class CheckInput:
    """The input of a test problem: its settings, and the files that its record names."""

    files: tuple[Path, ...] = ()
    seed: int = 0
    size: str = "workstation"
    instance_images: str = ""
    corpus: str = ""


@dataclass(frozen=True)
class CheckOutcome(Outcome):
    """The outcome of a test problem."""

    claims: Sequence[Claim] = ()


def save_check(
    outcome: CheckOutcome, output: Any, config: Mapping[str, Any], seed: int, created_by: str
) -> None:
    """Write everything that the rule of a test problem declares; ``metrics.json`` comes last.

    The arguments are as in :func:`popinv.methods.outcome.save_outcome`.
    """
    write_claims(outcome.claims, Path(output.claims))
    save_outcome(outcome, output, config, seed, created_by)
