"""Comparison of the results that are there with the records of the jobs that made them.

:func:`verify` (`popinv verify`) and :func:`doubts` (the check before each run) ask the same of a
file: whether it is what its job has written, from the inputs that are there. Verification reads
every file, and compares its settings with a configuration if one is given. Before a run the
settings belong to the jobs that the configuration would run. Snakemake remembers, in its own
folder, with which parameters it has made a file, and compares times. It would accept results that
were copied from elsewhere, and would not miss a store if what follows from it is there. A result
that is in doubt is made again.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from popinv.config.study import Config
from popinv.errors import DataError, PopinvError
from popinv.forward.external.files import simulator_hash
from popinv.forward.external.journal import damaged_lines
from popinv.forward.section import forward_section
from popinv.regular_files import read_bytes, walk
from popinv.sections.base import plain
from popinv.sections.outside import is_outside
from popinv.workflow.records import (
    Content,
    Record,
    content_of,
    differences,
    identity,
    read_record,
    settings_of,
)
from popinv.workflow.stages import STAGES, Stage

# More lines say nothing new.
_MOST, _MOST_LINES, _DIFFERENCES = 8, 10, 3
_REPEATED = "These solves are repeated where they are needed; the file may be deleted"
# In place of the hash of a file that is not there, or cannot be read.
_MISSING, _UNREADABLE = "", "cannot be read"
State = Literal["whole", "damaged", "missing", "foreign", "unknown"]
# What is printed about files before a run.
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
        content has changed since. "missing". "foreign": no job of the configuration made
        it, or it was made from other inputs than are there, or with other settings.
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
        for folder, _, names in walk(results, refuse)
        if os.path.basename(folder) == "made"
        for name in names
        if name.endswith(".json")
    )


class Results:
    """A folder of results: its records, and the contents of its files, each of which is read once.

    Parameters
    ----------
    folder : path
    by_time : bool
        Whether a file with the size and the time of its record is taken for what it was, and is
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
        self.records = {at: _readable(at) for at in record_files(folder)}
        # A result may have had a job of its own before, and be made with others in one job now.
        known = [at for at, record in self.records.items() if record is not None]
        oldest_first = sorted(known, key=lambda at: (at.stat().st_mtime_ns, at))
        records = [record for at in oldest_first if (record := self.records[at])]
        self.made = {path: record for record in records for path in record.outputs}
        self._hashes: dict[str, str] = {}

    def jobs(self) -> list[Record]:
        """Return the record of each job of which a result is its newest."""
        return list(dict.fromkeys(self.made.values()))

    def mixed_versions(self) -> dict[str, list[str]]:
        """Return the packages of which results were made with several versions, and these.

        Results that another job has made since do not count.
        """
        versions: dict[str, set[str]] = {}
        for record in self.jobs():
            for package, version in record.versions.items():
                versions.setdefault(package, set()).add(version)
        # A commit with its changes is no version.
        versions.pop("commit", None)
        return {name: sorted(each) for name, each in versions.items() if len(each) > 1}

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


def _readable(at: Path) -> Record | None:
    try:
        return read_record(at)
    except DataError:
        return None


def _is_by_time(path: str, content: Content) -> bool:
    """Return whether a file has the size and the time that it had, so that it is not read."""
    try:
        now = Path(path).stat()
    # No file can have some paths.
    except (OSError, ValueError):
        return False
    return (now.st_size, now.st_mtime_ns) == (content.size, content.modified)


def is_as_recorded(source: str, record: str | Path) -> bool:
    """Return whether a file is the one that a job has read, whatever its time.

    Parameters
    ----------
    source : str
        An input of the job.
    record : path
        The record of the job.
    """
    try:
        content = read_record(record).inputs[source]
        return _is_by_time(source, content) or content_of(source).sha256 == content.sha256
    except (DataError, KeyError, OSError):
        return False


def _fault(path: str, now: str, missing: str, changed: str) -> Verdict:
    if now == _MISSING:
        return Verdict(path, "missing", missing)
    return Verdict(path, "damaged", now if now.startswith(_UNREADABLE) else changed)


def verify(results: str | Path | Results, config: Config | None = None) -> list[Verdict]:
    """Read all results of a folder and compare them with their records.

    Parameters
    ----------
    results : path or Results
        The folder of the results, or of one study. Paths in records are relative to the working
        directory.
    config : Config, optional
        The configuration whose settings the results should have been made with.
    """
    there = results if isinstance(results, Results) else Results(results)
    found = {
        str(at): Verdict(str(at), "unknown", "the record cannot be read")
        for at, record in there.records.items()
        if record is None
    }
    for record in there.jobs():
        for verdict in there.faults(record):
            found.setdefault(verdict.path, verdict)
        why = "; ".join(islice(_other_origins(record, there, config), _DIFFERENCES))
        for path in record.outputs:
            if there.made[path] is record and path not in found:
                found[path] = Verdict(path, "foreign" if why else "whole", why)
    for path in _results(there.folder):
        if path not in found:
            found[path] = Verdict(path, "unknown", "it has no record")
    return sorted([*found.values(), *_journals(there.folder)])


def changes_since(results: str | Path, config: Config) -> list[str]:
    """Return what has changed since the results of a study were made, each change once.

    These are the configuration, the user's simulator and the files that the jobs have read. Results
    themselves are not read.
    """
    there = Results(results)
    whys = (why for record in there.jobs() for why in _other_origins(record, there, config))
    return list(dict.fromkeys(whys))


def _journals(results: str | Path) -> Iterator[Verdict]:
    """Yield verdicts on the files of the journals of solves, which lie beside all studies."""
    for file, lines in damaged_lines(results).items():
        if lines is None:
            yield Verdict(str(file), "damaged", f"it cannot be read. {_REPEATED}")
        elif lines:
            told = ", ".join(map(str, lines[:_MOST_LINES]))
            more = f" and {len(lines) - _MOST_LINES} more" if len(lines) > _MOST_LINES else ""
            why = f"{'line' if len(lines) == 1 else 'lines'} {told}{more} without their checksum"
            yield Verdict(str(file), "damaged", f"{why}. {_REPEATED}")
        else:
            yield Verdict(str(file), "whole")


def _results(results: str | Path) -> Iterator[str]:
    """Yield the stores and the metrics in a folder, except in hidden folders."""
    for folder, inner, names in walk(results):
        inner[:] = [name for name in inner if not name.startswith(".")]
        kept = (name for name in names if name.endswith(".zarr.zip") or name == "metrics.json")
        yield from (str(Path(folder, name)) for name in kept if not name.startswith("."))


def seal(results: str | Path) -> str:
    """Return the hash of all records in a folder of results, which name all results.

    Whoever publishes results publishes this hash with them. It is the same wherever the folder
    lies, and another if any record was edited, added or taken away.

    Raises
    ------
    DataError
        If a folder cannot be read.
    """
    digest = hashlib.sha256()
    for at in record_files(results):
        try:
            content = content_of(at)
        except OSError as error:
            raise DataError(f"{at}: cannot be read ({error}), so that nothing is sealed") from None
        digest.update(f"{at.relative_to(results)}\n{content.sha256}\n".encode())
    return digest.hexdigest()


def _other_simulator(record: Record) -> str:
    """Return how the user's own simulator differs from its record, "" if it does not.

    Only its files are read; nothing of it is run. The code of a kind from outside is in the hash of
    the job's code.
    """
    # What solves is among the settings of the job that collects the chunks.
    solver = record.settings.get("solver") or {}
    forward = (solver or record.settings.get("study") or {}).get("forward")
    before = (solver or record.settings).get("simulator")
    if not before or not isinstance(forward, Mapping) or is_outside(forward.get("kind")):
        return ""
    try:
        files = forward_section(forward).source_files()
        now = simulator_hash(files)
    except (OSError, KeyError, TypeError, ValueError, ImportError, PopinvError) as error:
        return f"the files of its simulator cannot be read ({error})"
    there = ", ".join(str(path) for path in files if path.exists())
    return "" if now == before else f"made by another simulator than {there or 'none'}"


def _other_origins(record: Record, there: Results, config: Config | None) -> Iterator[str]:
    """Yield why the outputs of a job do not belong to what is there: a file, or all settings."""
    if other := _other_simulator(record):
        yield other
    # A damaged input has its own line.
    elif (source := next(there.other_inputs(record, recorded=True), None)) is not None:
        yield f"made from another {source}"
    elif config is not None:
        yield from _other_settings(record, config)


def _other_settings(record: Record, config: Config) -> Iterator[str]:
    """Yield the seed and the sections of the study that differ from a configuration."""
    study = config.studies.get(record.wildcards.get("study", ""))
    if study is None:
        return
    sections: Mapping[str, Any] = {
        **(record.settings.get("solver") or {}),
        **(record.settings.get("study") or {}),
    }
    # Rules have a prefix where this workflow is a module.
    stages = (stage for name, stage in STAGES.items() if record.rule.endswith(name))
    try:
        own = next(stages, Stage()).sections_of(study, record.wildcards)
    except (KeyError, TypeError) as error:
        # No such wildcard, or no truth from which it would draw.
        yield f"the study has no such job ({error})"
        return
    keys = type(study).model_fields
    before = {name: plain(section) for name, section in sections.items() if name in keys}
    now = {name: plain(own.get(name, getattr(study, name))) for name in before}
    if "seed" in record.settings:
        before["seed"], now["seed"] = record.settings["seed"], study.seed
    yield from differences(before, now)


def doubts(
    results: str | Path,
    wanted: Callable[[Record], Mapping[str, Any] | None],
    replaced: Callable[[Record], bool],
    remembered: Callable[[str], str | None],
    job_of: Callable[[str], ExpectedJob | None],
    instruction_set: str = "native",
) -> list[Verdict]:
    """Return the results that would pass for results of the configuration, but are not.

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
        The requested one. `native` accepts every other.

    Raises
    ------
    DataError
        If a folder of results cannot be read.
    """
    there = Results(results, by_time=True)
    found: list[Verdict] = []
    for at, record in there.records.items():
        found += _of_record(str(at), record, job_of(str(at)))
    for record in there.jobs():
        try:
            if replaced(record):
                # Snakemake compares the parameters of a job only if it has made all outputs, and
                # the record is another file.
                left = (path for path in record.outputs if there.made[path] is record)
                why = f"made by {record.rule}, and now by another job"
                found += _foreign(filter(os.path.exists, left), why)
            elif (now := wanted(record)) is not None:
                faults = there.faults(record)
                found += [Verdict(v.path, v.state, _BEFORE_A_RUN[v.state]) for v in faults]
                found += _of_other_job(record, now, remembered, there)
                # The last digits may differ, where the configuration requires equal ones.
                used = record.machine.get("instruction_set", "native")
                if instruction_set not in ("native", used):
                    why = f"made with the instruction set '{used}', not '{instruction_set}'"
                    found += _foreign(record.outputs, why)
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


def _of_other_job(
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
        yield from _foreign(unknown, why)
        return
    for source in there.other_inputs(record):
        if unknown or _is_older(source, outputs):
            yield from _foreign(outputs, f"made from another {source}")
            return


def _foreign(paths: Iterable[str], why: str) -> Iterator[Verdict]:
    return (Verdict(path, "foreign", why) for path in paths)


def _is_older(path: str, outputs: list[str]) -> bool:
    """Return whether a file is older than the outputs of a job, so that Snakemake trusts them."""
    times = [Path(output).stat().st_mtime for output in outputs]
    return Path(path).stat().st_mtime <= min(times, default=math.inf)


def message(found: list[Verdict]) -> str:
    """Return the lines about results that are made again."""
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
    # What lies behind a link is not Snakemake's, and is not deleted.
    for folder, _, names in os.walk(memory):
        for path in (Path(folder, name) for name in names):
            try:
                MetadataRecord.model_validate_json(read_bytes(path))
            except (OSError, ValidationError):
                path.unlink()
                damaged.append(path)
    return damaged
