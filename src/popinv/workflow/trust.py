"""Comparison of the results that are there with what the configuration would make.

Snakemake remembers, in its own folder, with which parameters it has made a file, and compares
times. It would accept results that were copied from elsewhere, and would not miss a store if what
follows from it is there. Here each result is compared with its record
(:mod:`popinv.workflow.records`). A result that is not what the configuration makes is made again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from popinv.errors import DataError
from popinv.workflow.records import (
    Content,
    Record,
    content_of,
    differences,
    identity,
    read_record,
    settings_of,
)

# More lines say nothing new.
_MOST, _DIFFERENCES = 8, 3


@dataclass(frozen=True, order=True)
class Doubt:
    """A result that is not what the configuration makes, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class ExpectedJob:
    """A job of the configuration: its rule, and what it makes beside its record."""

    rule: str
    outputs: tuple[str, ...]


def records_in(results: str | Path) -> dict[Path, Record | None]:
    """Return all records in a folder of results; None in place of one that cannot be read.

    Raises
    ------
    DataError
        If a folder cannot be read.
    """
    found: dict[Path, Record | None] = {}
    for path in record_files(results):
        try:
            found[path] = read_record(path)
        except DataError:
            found[path] = None
    return found


def record_files(results: str | Path) -> list[Path]:
    """Return the files of the records in a folder of results, sorted.

    Raises
    ------
    DataError
        If a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        if isinstance(error, FileNotFoundError):
            return
        raise DataError(
            f"{error.filename}: this folder of results cannot be read ({error.strerror}). Make it "
            "readable, or take it away."
        )

    return sorted(
        Path(folder, name)
        for folder, _, names in os.walk(results, onerror=refuse)
        if os.path.basename(folder) == "made"
        for name in names
        if name.endswith(".json")
    )


def forget_damaged(memory: str | Path) -> list[Path]:
    """Delete what Snakemake remembers of a file where it cannot be read, and return which files.

    Snakemake ends with a traceback otherwise. A result of which it remembers nothing is compared
    with its record.

    Parameters
    ----------
    memory : path
        The folder of Snakemake's memory, with a file in JSON for each result.
    """
    # It takes a second to import, which `popinv verify` need not wait for.
    from snakemake.persistence import MetadataRecord

    damaged = []
    for folder, _, names in os.walk(memory):
        for path in (Path(folder, name) for name in names):
            try:
                MetadataRecord.model_validate_json(path.read_bytes())
            except ValidationError:
                path.unlink()
                damaged.append(path)
    return damaged


def newest_of_each(records: Mapping[Path, Record | None]) -> dict[str, Record]:
    """Return the record of each result by its path, the newest of several.

    A result may have had a job of its own before, and be made with others in one job now.
    """
    oldest_first = sorted(records, key=lambda at: (at.stat().st_mtime_ns, at))
    return {
        path: record for at in oldest_first if (record := records[at]) for path in record.outputs
    }


def doubts(
    results: str | Path,
    wanted: Callable[[Record], Mapping[str, Any] | None],
    replaced: Callable[[Record], bool],
    remembered: Callable[[str], str | None],
    job_of: Callable[[str], ExpectedJob | None],
    instruction_set: str = "native",
) -> list[Doubt]:
    """Return the results that would be taken for those of the configuration, but are not.

    Whatever a record holds, it raises no exception, since what cannot be compared is in doubt.

    Parameters
    ----------
    results : path
        The folder of the results.
    wanted : callable
        Returns the parameters of the job of a record in this configuration, None if it has no such
        job.
    replaced : callable
        Returns whether the results of a record are made by another job in this configuration.
    remembered : callable
        Returns the identity with which Snakemake remembers to have made a file, or None.
    job_of : callable
        Returns the job of this configuration that writes a file as its record, None if there is
        none.
    instruction_set : str
        The one that is asked for. `native` accepts every other.

    Raises
    ------
    DataError
        If a folder of results cannot be read.
    """
    records = records_in(results)
    made = newest_of_each(records)
    # All chunks of a round have read the same proposals.
    read = cache(content_of)
    found: list[Doubt] = []
    for at, record in records.items():
        found += _of_record(str(at), record, job_of(str(at)))
    for record in dict.fromkeys(made.values()):
        try:
            if replaced(record):
                found += _of_another_job(record, made)
            elif (now := wanted(record)) is not None:
                found += _lost(record, made, Path(results), read)
                found += _foreign(record, now, remembered, read)
                found += _of_other_instructions(record, instruction_set)
        except Exception as error:
            why = f"cannot be compared with its record ({type(error).__name__}: {error})"
            found += [Doubt(path, why) for path in record.outputs]
    # One reason is enough for each.
    return sorted({doubt.path: doubt for doubt in reversed(found)}.values())


def _of_record(at: str, record: Record | None, job: ExpectedJob | None) -> Iterator[Doubt]:
    """Yield a record that cannot be read, and results of its job that it does not name."""
    if record is None:
        yield Doubt(at, "cannot be read")
    if job is not None and (record is None or record.rule == job.rule):
        why = f"its record cannot be read: {at}" if record is None else f"{at} does not name it"
        named = () if record is None else record.outputs
        yield from (Doubt(path, why) for path in job.outputs if path not in named)


def _of_another_job(record: Record, made: Mapping[str, Record]) -> Iterator[Doubt]:
    """Yield outputs whose job has been replaced.

    Snakemake compares the parameters of a job only if it has made all outputs, and the record is
    another file.
    """
    for path in record.outputs:
        if made[path] is record and Path(path).exists():
            yield Doubt(path, f"made by {record.rule}, and now by another job")


def _lost(
    record: Record, made: Mapping[str, Record], results: Path, read: Callable[[Path], Content]
) -> Iterator[Doubt]:
    """Yield outputs, and inputs of other jobs, that are gone or are not what they were."""
    for path, content in record.outputs.items():
        if made[path] is not record:
            continue
        if not Path(path).exists():
            yield Doubt(path, "missing")
        elif not content.is_of(Path(path), read):
            yield Doubt(path, "changed since it was made")
    for path in record.inputs:
        if path in made or not Path(path).is_relative_to(results):
            continue
        yield Doubt(path, "has no record" if Path(path).exists() else "missing")


def _foreign(
    record: Record,
    now: Mapping[str, Any],
    remembered: Callable[[str], str | None],
    read: Callable[[Path], Content],
) -> Iterator[Doubt]:
    """Yield outputs that were made with other settings or inputs, where Snakemake does not see it.

    It sees other parameters of a job that it has done here, and inputs that are newer.
    """
    there = [path for path in record.outputs if Path(path).exists()]
    if record.identity != identity(now.values()):
        told = list(islice(differences(record.settings, settings_of(now)), _DIFFERENCES + 1))
        more = ", and others" if len(told) > _DIFFERENCES else ""
        why = f"made with other settings: {', '.join(told[:_DIFFERENCES])}{more}"
        yield from (Doubt(path, why) for path in there if remembered(path) != record.identity)
        return
    foreign = any(remembered(path) != record.identity for path in there)
    for source, content in record.inputs.items():
        if not Path(source).exists() or content.is_of(Path(source), read):
            continue
        if foreign or _is_older(source, record):
            yield from (Doubt(path, f"made from another {source}") for path in there)
            return


def _of_other_instructions(record: Record, asked: str) -> Iterator[Doubt]:
    """Yield outputs whose last digits may differ, where equal ones are asked for."""
    used = record.machine.get("instruction_set", "native")
    if asked not in ("native", used):
        for path in record.outputs:
            yield Doubt(path, f"made with the instruction set '{used}', not '{asked}'")


def _is_older(path: str, record: Record) -> bool:
    """Return whether a file is older than the outputs of a job, so that Snakemake trusts them."""
    outputs = [Path(output).stat().st_mtime for output in record.outputs if Path(output).exists()]
    return Path(path).stat().st_mtime <= min(outputs, default=math.inf)


def message(found: list[Doubt]) -> str:
    """Return what is told of results that are made again."""
    lines = [f"  {doubt.path}: {doubt.why}" for doubt in found[:_MOST]]
    if len(found) > _MOST:
        lines.append(f"  and {len(found) - _MOST} more")
    one = len(found) == 1
    count = "1 result is" if one else f"{len(found)} results are"
    made = "It is made again if it is needed" if one else "They are made again if they are needed"
    return "\n".join([f"{count} not what this configuration makes. {made}:", *lines])
