"""Verification of results: every file against the record of the job that made it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from popinv.config.study import Config
from popinv.errors import PopinvError
from popinv.forward.external.files import simulator_hash
from popinv.forward.external.journal import damaged_lines
from popinv.forward.section import ForwardSection
from popinv.sections.base import plain
from popinv.sections.outside import is_outside, kind_section
from popinv.workflow.records import Record, content_of, differences
from popinv.workflow.trust import newest_of_each, record_files, records_in

# In place of the hash of a file that is not there, or cannot be read.
_MISSING, _UNREADABLE = "", "cannot be read"
_REPEATED = "These solves are repeated where they are needed; the file may be deleted"
# More lines say nothing new.
_MOST_LINES = 10
State = Literal["whole", "damaged", "missing", "foreign", "unknown"]


@dataclass(frozen=True, order=True)
class Verdict:
    """A verdict says what is known of a file.

    Attributes
    ----------
    state : str
        "whole": it is what its job has written, from the inputs that are there. "damaged": its
        content has changed since. "missing". "foreign": it was made from other inputs than those
        that are there, or with other settings than those of the configuration. "unknown": it has no
        record, or the record cannot be read.
    """

    path: str
    state: State
    why: str = ""


def verify(results: str | Path, config: Config | None = None) -> list[Verdict]:
    """Read all results of a folder and compare them with their records.

    Parameters
    ----------
    results : path
        The folder of the results, or of one study. Paths in records are relative to the working
        directory.
    config : Config, optional
        The configuration whose settings the results should have been made with.
    """
    records, hashes = records_in(results), dict[str, str]()
    made = newest_of_each(records)
    found = {
        str(at): Verdict(str(at), "unknown", "the record cannot be read")
        for at, record in records.items()
        if record is None
    }
    for path, record in made.items():
        found[path] = _judged(path, record, made, hashes, config)
        for source in record.inputs:
            if source not in made and source not in found and Path(source).is_relative_to(results):
                found[source] = _source(source, record, hashes)
    for path in _results(results):
        if path not in found:
            found[path] = Verdict(path, "unknown", "it has no record")
    return sorted([*found.values(), *_journals(results)])


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
    """Yield the stores and the metrics in a folder, but for those of hidden folders."""
    for folder, inner, names in os.walk(results):
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
        digest.update(f"{at.relative_to(results)}\n{content_of(at).sha256}\n".encode())
    return digest.hexdigest()


def _other_simulator(record: Record) -> str:
    """Return how the user's own simulator differs from that of a record, "" if it does not.

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
        files = kind_section(forward, "popinv.forward", ForwardSection).source_files()
        now = simulator_hash(files)
    except (OSError, KeyError, TypeError, ValueError, ImportError, PopinvError) as error:
        return f"the files of its simulator cannot be read ({error})"
    there = ", ".join(str(path) for path in files if path.exists())
    return "" if now == before else f"made by another simulator than {there or 'none'}"


def _judged(
    path: str,
    record: Record,
    made: Mapping[str, Record],
    hashes: dict[str, str],
    config: Config | None,
) -> Verdict:
    now = _hash(path, hashes)
    if now == _MISSING:
        return Verdict(path, "missing", f"was written by {record.rule}")
    if now != record.outputs[path].sha256:
        return Verdict(path, "damaged", _damage(now, "the content is not what the job has written"))
    if other := _other_simulator(record):
        return Verdict(path, "foreign", other)
    for source, content in record.inputs.items():
        # A damaged input is told by itself.
        now = made[source].outputs[source].sha256 if source in made else _hash(source, hashes)
        if now not in (content.sha256, _MISSING):
            return Verdict(path, "foreign", f"made from another {source}")
    others = list(_other_settings(record, config)) if config else []
    return Verdict(path, "foreign", "; ".join(others[:3])) if others else Verdict(path, "whole")


def _source(path: str, record: Record, hashes: dict[str, str]) -> Verdict:
    """Return the verdict on an input whose record is gone."""
    now = _hash(path, hashes)
    if now == _MISSING:
        return Verdict(path, "missing", f"{record.rule} has read it")
    if now != record.inputs[path].sha256:
        why = _damage(now, f"the content is not what {record.rule} has read")
        return Verdict(path, "damaged", why)
    return Verdict(path, "unknown", "it has no record")


def _hash(path: str, hashes: dict[str, str]) -> str:
    """Return the hash of a file, which is read once, or why there is none."""
    if path not in hashes:
        try:
            hashes[path] = content_of(path).sha256
        except (FileNotFoundError, NotADirectoryError):
            hashes[path] = _MISSING
        # Of a path that no file can have.
        except (OSError, ValueError) as error:
            hashes[path] = f"{_UNREADABLE}: {error}"
    return hashes[path]


def _damage(now: str, otherwise: str) -> str:
    return now if now.startswith(_UNREADABLE) else otherwise


def _other_settings(record: Record, config: Config) -> Iterator[str]:
    """Yield the seed and the sections of the study that differ from those of a configuration."""
    study = config.studies.get(record.wildcards.get("study", ""))
    if study is None:
        return
    sections: Mapping[str, Any] = {
        **(record.settings.get("solver") or {}),
        **(record.settings.get("study") or {}),
    }
    before = {name: plain(section) for name, section in sections.items() if hasattr(study, name)}
    now = {name: plain(getattr(study, name)) for name in before}
    if record.rule.endswith(("draw_population", "solve_population")):
        # It is given the true law, and the distributions of what is known, by these names.
        before.pop("law"), before.pop("observations", None)
        now = {name: now[name] for name in before}
    if "seed" in record.settings:
        before["seed"], now["seed"] = record.settings["seed"], study.seed
    yield from differences(before, now)
