"""Comparison of the results that are there with what the configuration would make.

Snakemake remembers, in its own folder, with which parameters it has made a file, and compares
times. It would accept results that were copied from elsewhere, and would not miss a store if what
follows from it is there. Here each result is compared with its record
(:mod:`popinv.workflow.records`). A result that is not what the configuration makes is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from popinv.errors import DataError
from popinv.workflow.records import Record, read_record

__all__ = ["Doubt", "doubts", "message", "records_in"]

# More lines say nothing new.
_MOST = 8


@dataclass(frozen=True)
class Doubt:
    """A result that is not what the configuration makes, and why."""

    path: str
    why: str


def records_in(results: str | Path) -> dict[Path, Record | None]:
    """Return all records in a folder of results; None in place of one that cannot be read."""
    found: dict[Path, Record | None] = {}
    for path in sorted(Path(results).glob("**/made/*.json")):
        try:
            found[path] = read_record(path)
        except DataError:
            found[path] = None
    return found


def doubts(
    results: str | Path,
    wanted: Callable[[Record], str | None],
    remembered: Callable[[str], str | None],
) -> list[Doubt]:
    """Return the results that would be taken for those of the configuration, but are not.

    Parameters
    ----------
    results : path
        The folder of the results.
    wanted : callable
        Returns the identity of the job of a record in this configuration, None if it has no such
        job.
    remembered : callable
        Returns the identity with which Snakemake remembers to have made a file, or None.
    """
    found: dict[str, Doubt] = {}
    for place, record in records_in(results).items():
        if record is None:
            found[str(place)] = Doubt(str(place), "its record cannot be read")
        elif (now := wanted(record)) is not None:
            for doubt in (*_lost(record, str(results)), *_foreign(record, now, remembered)):
                found.setdefault(doubt.path, doubt)
    return sorted(found.values(), key=lambda doubt: doubt.path)


def _lost(record: Record, results: str) -> Iterator[Doubt]:
    """Yield outputs, and inputs made by other jobs, that are gone or are not what they were."""
    for path, content in record.outputs.items():
        if Path(path).exists() and not content.is_of(Path(path)):
            yield Doubt(path, "changed since it was made")
    # A chunk of solves has no record of its own.
    made = (path for path in record.inputs if Path(path).is_relative_to(results))
    for path in (*record.outputs, *made):
        if not Path(path).exists():
            yield Doubt(path, "missing")


def _foreign(
    record: Record, now: str, remembered: Callable[[str], str | None]
) -> Iterator[Doubt]:
    """Yield outputs that were made with other settings or inputs, which Snakemake cannot know."""
    if record.identity != now:
        seed = "" if record.seed is None else f" (seed {record.seed})"
        why = f"made with other settings{seed}"
    elif other := _other_input(record):
        why = f"made from another {other}"
    else:
        return
    for path in record.outputs:
        # Otherwise Snakemake has made it here, and sees by itself what has changed.
        if Path(path).exists() and remembered(path) != record.identity:
            yield Doubt(path, why)


def _other_input(record: Record) -> str | None:
    """Return an input that is there and is not the one from which a result was made."""
    for path, content in record.inputs.items():
        if Path(path).exists() and not content.is_of(Path(path)):
            return path
    return None


def message(found: list[Doubt]) -> str:
    """Return what is told of results that are made again."""
    lines = [f"  {doubt.path}: {doubt.why}" for doubt in found[:_MOST]]
    if len(found) > _MOST:
        lines.append(f"  and {len(found) - _MOST} more")
    count = "1 result is" if len(found) == 1 else f"{len(found)} results are"
    return "\n".join(
        [f"{count} not what this configuration makes, and will be made again:", *lines]
    )
