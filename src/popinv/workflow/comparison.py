"""Comparison of the results that are there with the records of the jobs that made them.

`popinv verify` (:mod:`popinv.workflow.verification`) and the check before each run ask the same of
a file: whether it is what its job has written, from the inputs that are there. Before a run the
settings are those of the jobs that the configuration would run. Snakemake remembers, in its own
folder, with which parameters it has made a file, and compares times. It would accept results that
were copied from elsewhere, and would not miss a store if what follows from it is there. A result
that is in doubt is made again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

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
# In place of the hash of a file that is not there, or cannot be read.
_MISSING, _UNREADABLE = "", "cannot be read"
State = Literal["whole", "damaged", "missing", "foreign", "unknown"]
# What is told of files before a run.
_BEFORE_A_RUN = {
    "missing": "missing",
    "damaged": "changed since it was made",
    "unknown": "has no record",
}


@dataclass(frozen=True, order=True)
class Verdict:
    """A verdict says what is known of a file.

    Attributes
    ----------
    state : str
        "whole": it is what its job has written, from the inputs that are there. "damaged": its
        content has changed since. "missing". "foreign": it was made by another job than those of
        the configuration, from other inputs than those that are there, or with other settings.
        "unknown": it has no record, or the record cannot be read.
    """

    path: str
    state: State
    why: str = ""


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


def newest_of_each(records: Mapping[Path, Record | None]) -> dict[str, Record]:
    """Return the record of each result by its path, the newest of several.

    A result may have had a job of its own before, and be made with others in one job now.
    """
    oldest_first = sorted(records, key=lambda at: (at.stat().st_mtime_ns, at))
    return {
        path: record for at in oldest_first if (record := records[at]) for path in record.outputs
    }


class Results:
    """A folder of results: its records, and the contents of its files, each of which is read once.

    Parameters
    ----------
    folder : path
    by_time : bool
        Whether a file whose size and time are those of its record is taken for what it was, and is
        not read.

    Attributes
    ----------
    records : dict of Path to Record or None
        All records; None in place of one that cannot be read.
    made : dict of str to Record
        The newest record of each result.

    Raises
    ------
    DataError
        If a folder cannot be read.
    """

    def __init__(self, folder: str | Path, by_time: bool = False) -> None:
        self.folder, self._by_time = Path(folder), by_time
        self.records = records_in(folder)
        self.made = newest_of_each(self.records)
        self._hashes: dict[str, str] = {}

    def faults(self, record: Record) -> Iterator[Verdict]:
        """Yield what is wrong with the outputs of a job, and with inputs that have no record."""
        written = f"was written by {record.rule}", "the content is not what the job has written"
        read = f"{record.rule} has read it", f"the content is not what {record.rule} has read"
        for path, content in record.outputs.items():
            if self.made[path] is record and (now := self._other(path, content)) is not None:
                yield _fault(path, now, *written)
        for path, content in record.inputs.items():
            if path not in self.made and Path(path).is_relative_to(self.folder):
                now = self._other(path, content)
                without = Verdict(path, "unknown", "it has no record")
                yield without if now is None else _fault(path, now, *read)

    def other_inputs(self, record: Record, recorded: bool = False) -> Iterator[str]:
        """Yield the inputs that are there and are not those that a job has read.

        Parameters
        ----------
        recorded : bool
            Whether an input that has a record is taken for what its job has written.
        """
        for path, content in record.inputs.items():
            if recorded and path in self.made:
                now = self.made[path].outputs[path].sha256
                other = None if now == content.sha256 else now
            else:
                other = self._other(path, content)
            if other not in (None, _MISSING):
                yield path

    def _other(self, path: str, content: Content) -> str | None:
        """Return the hash of a file, or why there is none; None if its content is this one."""
        if self._by_time and _is_by_time(path, content):
            return None
        if path not in self._hashes:
            try:
                self._hashes[path] = content_of(path).sha256
            except (FileNotFoundError, NotADirectoryError):
                self._hashes[path] = _MISSING
            # Of a path that no file can have.
            except (OSError, ValueError) as error:
                self._hashes[path] = f"{_UNREADABLE}: {error}"
        now = self._hashes[path]
        return None if now == content.sha256 else now


def _is_by_time(path: str, content: Content) -> bool:
    """Return whether a file has the size and the time that it had, so that it is not read."""
    try:
        now = Path(path).stat()
    # No file can have some paths.
    except (OSError, ValueError):
        return False
    return (now.st_size, now.st_mtime_ns) == (content.size, content.modified)


def _fault(path: str, now: str, missing: str, changed: str) -> Verdict:
    if now == _MISSING:
        return Verdict(path, "missing", missing)
    return Verdict(path, "damaged", now if now.startswith(_UNREADABLE) else changed)


def doubts(
    results: str | Path,
    wanted: Callable[[Record], Mapping[str, Any] | None],
    replaced: Callable[[Record], bool],
    remembered: Callable[[str], str | None],
    job_of: Callable[[str], ExpectedJob | None],
    instruction_set: str = "native",
) -> list[Verdict]:
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
    there = Results(results, by_time=True)
    found: list[Verdict] = []
    for at, record in there.records.items():
        found += _of_record(str(at), record, job_of(str(at)))
    for record in dict.fromkeys(there.made.values()):
        try:
            if replaced(record):
                found += _of_another_job(record, there)
            elif (now := wanted(record)) is not None:
                faults = there.faults(record)
                found += [Verdict(v.path, v.state, _BEFORE_A_RUN[v.state]) for v in faults]
                found += _foreign(record, now, remembered, there)
                found += _of_other_instructions(record, instruction_set)
        except Exception as error:
            why = f"cannot be compared with its record ({type(error).__name__}: {error})"
            found += [Verdict(path, "unknown", why) for path in record.outputs]
    # One reason is enough for each.
    return sorted({verdict.path: verdict for verdict in reversed(found)}.values())


def _of_record(at: str, record: Record | None, job: ExpectedJob | None) -> Iterator[Verdict]:
    """Yield a record that cannot be read, and results of its job that it does not name."""
    if record is None:
        yield Verdict(at, "unknown", "cannot be read")
    if job is not None and (record is None or record.rule == job.rule):
        why = f"its record cannot be read: {at}" if record is None else f"{at} does not name it"
        named = () if record is None else record.outputs
        yield from (Verdict(path, "unknown", why) for path in job.outputs if path not in named)


def _of_another_job(record: Record, there: Results) -> Iterator[Verdict]:
    """Yield outputs whose job has been replaced.

    Snakemake compares the parameters of a job only if it has made all outputs, and the record is
    another file.
    """
    for path in record.outputs:
        if there.made[path] is record and Path(path).exists():
            yield Verdict(path, "foreign", f"made by {record.rule}, and now by another job")


def _foreign(
    record: Record,
    now: Mapping[str, Any],
    remembered: Callable[[str], str | None],
    there: Results,
) -> Iterator[Verdict]:
    """Yield outputs that were made with other settings or inputs, where Snakemake does not see it.

    It sees other parameters of a job that it has done here, and inputs that are newer.
    """
    outputs = [path for path in record.outputs if Path(path).exists()]
    unknown = [path for path in outputs if remembered(path) != record.identity]
    if record.identity != identity(now.values()):
        told = list(islice(differences(record.settings, settings_of(now)), _DIFFERENCES + 1))
        more = ", and others" if len(told) > _DIFFERENCES else ""
        why = f"made with other settings: {', '.join(told[:_DIFFERENCES])}{more}"
        yield from (Verdict(path, "foreign", why) for path in unknown)
        return
    for source in there.other_inputs(record):
        if unknown or _is_older(source, outputs):
            yield from (Verdict(path, "foreign", f"made from another {source}") for path in outputs)
            return


def _of_other_instructions(record: Record, asked: str) -> Iterator[Verdict]:
    """Yield outputs whose last digits may differ, where equal ones are asked for."""
    used = record.machine.get("instruction_set", "native")
    if asked not in ("native", used):
        why = f"made with the instruction set '{used}', not '{asked}'"
        yield from (Verdict(path, "foreign", why) for path in record.outputs)


def _is_older(path: str, outputs: list[str]) -> bool:
    """Return whether a file is older than the outputs of a job, so that Snakemake trusts them."""
    times = [Path(output).stat().st_mtime for output in outputs]
    return Path(path).stat().st_mtime <= min(times, default=math.inf)


def message(found: list[Verdict]) -> str:
    """Return what is told of results that are made again."""
    lines = [f"  {verdict.path}: {verdict.why}" for verdict in found[:_MOST]]
    if len(found) > _MOST:
        lines.append(f"  and {len(found) - _MOST} more")
    one = len(found) == 1
    count = "1 result is" if one else f"{len(found)} results are"
    made = "It is made again if it is needed" if one else "They are made again if they are needed"
    return "\n".join([f"{count} not what this configuration makes. {made}:", *lines])


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
