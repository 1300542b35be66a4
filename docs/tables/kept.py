"""Results that the tables are written from, with the commit and the machine of their jobs.

``claims/NAME.csv`` is the table of claims of a test problem, ``checks/NAME.json`` its numbers, and
``uses/NAME.json`` the numbers of a method's uses by study. A file of numbers says of each set of
them where it was measured: commit, number of cores, processor and seconds. Nothing else of a
machine is kept.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from popinv.methods.registry import METHODS
from popinv.workflow.records import content_of, read_record
from popinv_papers.kit.claims import COLUMNS, judged_again
from popinv_papers.methods import PAPERS

__all__ = ["FOLDER", "Numbers", "check", "claims", "collect", "judge_again", "told_of", "uses"]

FOLDER = Path(__file__).resolve().parent / "data"
_CHECKS = [check.name for paper in PAPERS for check in paper.checks]


@dataclass(frozen=True)
class Numbers:
    """The numbers of a job, and where they were measured.

    Attributes
    ----------
    metrics : mapping
    commit, cores, processor : str
    seconds : float or None
        How long the job took, None where that is not known.
    """

    metrics: Mapping[str, Any]
    commit: str
    cores: str
    processor: str
    seconds: float | None

    @property
    def told(self) -> str:
        """A sentence about the measurement."""
        return told_of([self])

    def as_json(self) -> dict[str, Any]:
        """Return the same for a file."""
        own = {name: getattr(self, name) for name in ("commit", "cores", "processor", "seconds")}
        return {"measured": own, "metrics": dict(self.metrics)}

    @classmethod
    def of_json(cls, entry: Mapping[str, Any]) -> Numbers:
        """Return the numbers of :meth:`as_json`."""
        return cls(entry["metrics"], **entry["measured"])


def told_of(several: Sequence[Numbers]) -> str:
    """Return a sentence about where some numbers were measured, and how long their jobs took."""
    commits = sorted({one.commit[:10] + one.commit[40:] for one in several})
    machines = sorted({f"{one.cores} cores of {one.processor}" for one in several})
    seconds = [one.seconds for one in several if one.seconds is not None]
    took = ""
    if seconds:
        low, high = round(min(seconds)), round(max(seconds))
        each = "the job took" if len(several) == 1 else "a job took"
        took = f"; {each} {low} s" if low == high else f"; {each} {low} to {high} s"
    return f"*Measured at commit {', '.join(commits)} on {', '.join(machines)}{took}.*"


def collect(results: Path, names: Sequence[str]) -> Iterator[str]:
    """Copy results of these methods or test problems, or of all, and yield what was copied.

    Raises
    ------
    SystemExit
        If a result is not what its record says.
    """
    for name in _CHECKS:
        file = results / "downstream" / name / "metrics.json"
        if file.is_file() and (not names or name in names):
            found = _measured(file, results / f"downstream/made/check_{name}.json")
            table = file.parent / "claims.csv"
            _write(FOLDER / f"claims/{name}.csv", table.read_text(encoding="utf-8"))
            _write_json(FOLDER / f"checks/{name}.json", found.as_json())
            yield f"the test problem {name}"
    for name in METHODS:
        if names and name not in names:
            continue
        path = FOLDER / f"uses/{name}.json"
        before = json.loads(path.read_text()) if path.is_file() else {}
        found = {}
        for file in sorted(results.glob(f"*/downstream/{name}/metrics.json")):
            study = file.parents[2].name
            found[study] = _measured(file, file.parents[2] / f"made/use_{name}.json").as_json()
            yield f"{name} on {study}"
        if found:
            _write_json(path, before | found)


def judge_again() -> None:
    """Judge every kept row by the rules of :mod:`popinv_papers.kit.claims`."""
    for file in sorted(FOLDER.glob("claims/*.csv")):
        rows = [judged_again(row) for row in claims(file.stem)]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        _write(file, text.getvalue())


def _measured(file: Path, record: Path) -> Numbers:
    made = read_record(record)
    # Paths in a record are relative to the folder in which the job ran.
    known = {Path(path).name: content for path, content in made.outputs.items()}
    if file.name not in known or known[file.name].sha256 != content_of(file).sha256:
        raise SystemExit(f"{file} is not what its job has written ({record}): run it again")
    metrics = json.loads(file.read_text(encoding="utf-8"))
    where = made.versions.get("commit", ""), made.machine["cores"], made.machine["processor"]
    if not where[0]:
        raise SystemExit(f"{record} names no commit: run the job in a checkout")
    return Numbers(metrics, *where, made.seconds)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    _write(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    for read in (check, claims, uses):
        read.cache_clear()


@cache
def claims(name: str) -> list[dict[str, str]]:
    """Return the rows of the claims of a test problem."""
    with (FOLDER / f"claims/{name}.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@cache
def check(name: str) -> Numbers:
    """Return the numbers of a test problem."""
    return Numbers.of_json(json.loads((FOLDER / f"checks/{name}.json").read_text()))


@cache
def uses(name: str) -> dict[str, Numbers]:
    """Return the numbers of a method's uses, by study."""
    found = json.loads((FOLDER / f"uses/{name}.json").read_text())
    return {study: Numbers.of_json(entry) for study, entry in found.items()}
