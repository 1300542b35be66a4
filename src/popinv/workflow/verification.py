"""Verification of results: every file against the record of the job that made it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from popinv.config.study import Config
from popinv.errors import PopinvError
from popinv.forward.external.files import simulator_hash
from popinv.forward.external.journal import damaged_lines
from popinv.forward.section import ForwardSection
from popinv.sections.base import plain
from popinv.sections.outside import is_outside, kind_section
from popinv.workflow.comparison import Results, Verdict, record_files
from popinv.workflow.records import Record, content_of, differences

_REPEATED = "These solves are repeated where they are needed; the file may be deleted"
# More lines say nothing new.
_MOST_LINES, _MOST_DIFFERENCES = 10, 3


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
    there = Results(results)
    found = {
        str(at): Verdict(str(at), "unknown", "the record cannot be read")
        for at, record in there.records.items()
        if record is None
    }
    for record in dict.fromkeys(there.made.values()):
        for verdict in there.faults(record):
            found.setdefault(verdict.path, verdict)
        why = _foreign(record, there, config)
        for path in record.outputs:
            if there.made[path] is record and path not in found:
                found[path] = Verdict(path, "foreign" if why else "whole", why)
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


def _foreign(record: Record, there: Results, config: Config | None) -> str:
    """Return why the outputs of a job are not those of what is there, "" if they are."""
    if other := _other_simulator(record):
        return other
    # A damaged input is told by itself.
    if (source := next(there.other_inputs(record, recorded=True), None)) is not None:
        return f"made from another {source}"
    others = _other_settings(record, config) if config else ()
    return "; ".join(islice(others, _MOST_DIFFERENCES))


def _other_settings(record: Record, config: Config) -> Iterator[str]:
    """Yield the seed and the sections of the study that differ from those of a configuration."""
    study = config.studies.get(record.wildcards.get("study", ""))
    if study is None:
        return
    sections: Mapping[str, Any] = {
        **(record.settings.get("solver") or {}),
        **(record.settings.get("study") or {}),
    }
    keys = type(study).model_fields
    before = {name: plain(section) for name, section in sections.items() if name in keys}
    now = {name: plain(getattr(study, name)) for name in before}
    if record.rule.endswith("draw_population"):
        # It is given the true law, and the distributions of what is known, by these names.
        before.pop("law"), before.pop("observations", None)
        now = {name: now[name] for name in before}
    if "seed" in record.settings:
        before["seed"], now["seed"] = record.settings["seed"], study.seed
    yield from differences(before, now)
