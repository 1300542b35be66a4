"""Records of the jobs: what made each result, from what, and what came out.

Beside the results of each job stands ``made/<job>.json``, which the job writes last. It names the
rule, its settings and seed, the fingerprint of its code, the hashes of its inputs and outputs, the
versions of the packages, the commit of the checkout and the machine. Results are compared with
their record; nothing else depends on it, so that results are the same files on every machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

from pydantic import TypeAdapter

from popinv.errors import DataError
from popinv.forward.registry import DEPENDS
from popinv.regular_files import read_bytes
from popinv.sections.base import plain
from popinv.store.whole_files import write_text
from popinv.workflow.processor import CHOSEN

NAME = "made"
"""Name of the output that is the record, and of its folder."""

PREDICTION = "predict"
"""In place of a rule, what `popinv predict` has made."""

# Packages on which numbers depend.
_PACKAGES = (
    *("popinv", "numpy", "scipy", "torch", "numba", "xarray", "zarr"),
    *DEPENDS,
)
# Tables of text, whose lines may end in two ways.
_TEXT_TABLES = (".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class Content:
    """A file as it was.

    Attributes
    ----------
    size : int
        Bytes.
    modified : int
        Time of the last change, in nanoseconds.
    """

    sha256: str
    size: int
    modified: int


def content_of(path: str | os.PathLike[str]) -> Content:
    """Return the content of a file, or of all files in a folder.

    Editors change the ends of the lines of a table, and its content is the same: tables of text are
    hashed as if all lines ended with a line feed.

    Raises
    ------
    OSError
        If it cannot be read, or is neither a file nor a folder. A device may have no end.
    """
    path = Path(path)
    state = path.stat()
    if S_ISDIR(state.st_mode):
        files = sorted(file for file in path.rglob("*") if file.is_file())
        each = [(str(file.relative_to(path)), content_of(file)) for file in files]
        text = json.dumps([(name, content.sha256) for name, content in each])
        digest = hashlib.sha256(text.encode()).hexdigest()
        return Content(digest, sum(content.size for _, content in each), state.st_mtime_ns)
    if not S_ISREG(state.st_mode):
        raise OSError(f"{path} is neither a file nor a folder")
    with path.open("rb") as file:
        if path.suffix.lower() in _TEXT_TABLES:
            of_lines = hashlib.sha256()
            for line in file:
                of_lines.update(line[:-2] + b"\n" if line.endswith(b"\r\n") else line)
            digest = of_lines.hexdigest()
        else:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Content(digest, state.st_size, state.st_mtime_ns)


@dataclass(frozen=True, eq=False)
class Record:
    """The record of a job.

    Attributes
    ----------
    wildcards : dict of str to str
    settings : dict
        The parameters of the rule: the seed, sections of the study, the fingerprint ``code`` of
        the script and of all modules that it imports, and others.
    identity : str
        Hash of all parameters, as Snakemake compares them.
    inputs, outputs : dict of str to Content
        By path, relative to the working directory.
    versions, machine : dict of str to str
        ``versions`` has the commit of a checkout, which :func:`commit_of` describes.
    """

    rule: str
    wildcards: dict[str, str]
    settings: dict[str, Any]
    identity: str
    inputs: dict[str, Content]
    outputs: dict[str, Content]
    versions: dict[str, str]
    machine: dict[str, str]
    seconds: float

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the record as JSON, with the hash of all entries."""
        write_text(path, hashed(asdict(self)))


_RECORDS, _HASH = TypeAdapter(Record), "sha256"


def hashed(entries: Mapping[str, Any]) -> str:
    """Return the entries of a record as JSON, and their hash as one entry more."""
    rest = {key: value for key, value in entries.items() if key != _HASH}
    text = json.dumps(rest, sort_keys=True)
    whole = rest | {_HASH: hashlib.sha256(text.encode()).hexdigest()}
    return json.dumps(whole, indent=1, sort_keys=True) + "\n"


def identity(params: Iterable[Any]) -> str:
    """Return the hash of a job's parameters, by what they print, in any order."""
    return identity_of(map(repr, params))


def identity_of(printed: Iterable[str]) -> str:
    """Return the same for what the parameters print, which is what Snakemake keeps."""
    return hashlib.sha256("\n".join(sorted(printed)).encode()).hexdigest()[:16]


def settings_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a rule by name, as JSON has them."""
    settings: dict[str, Any] = json.loads(json.dumps(plain(params), sort_keys=True, default=str))
    return settings


def differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """Yield the settings that differ, such as ``descent.iterations was 60, is 61``."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            # The study's sections are known by their own names, and so is what solves.
            inner = key if name in ("", "study", "solver") else f"{name}.{key}"
            yield from differences(before.get(key), now.get(key), inner)
    elif before != now:
        yield "other code" if name == "code" else f"{name} was {before!r}, is {now!r}"


def record_of(snakemake: Any, seconds: float) -> Record:
    """Return the record of a job that has just written its outputs.

    Parameters
    ----------
    snakemake : object
        The object that Snakemake gives to a script.
    seconds : float
        How long the job took.
    """
    params = dict(snakemake.params.items())
    # Benchmarks are times, which are never the same.
    inputs = [path for path in snakemake.input if Path(path).parent.name != "benchmarks"]
    outputs = [path for path in snakemake.output if path != snakemake.output.get(NAME)]
    wildcards = dict(snakemake.wildcards.items())
    return made(snakemake.rule, wildcards, params, inputs, outputs, seconds)


def made(
    rule: str,
    wildcards: Mapping[str, str],
    params: Mapping[str, Any],
    inputs: Iterable[str | os.PathLike[str]],
    outputs: Iterable[str | os.PathLike[str]],
    seconds: float,
) -> Record:
    """Return the record of outputs that have just been written, by this process, from inputs."""
    return Record(
        rule=rule,
        wildcards=dict(wildcards),
        settings=settings_of(params),
        identity=identity(params.values()),
        inputs={str(path): content_of(path) for path in inputs},
        outputs={str(path): content_of(path) for path in outputs},
        versions=versions_of(*_PACKAGES) | {"commit": commit_of(Path(__file__))},
        machine=_machine(),
        seconds=round(seconds, 3),
    )


def read_record(path: str | os.PathLike[str]) -> Record:
    """Return a record.

    Raises
    ------
    DataError
        If the file is missing, is not a record, or was edited.
    """
    try:
        text = read_bytes(path)
        record = _RECORDS.validate_json(text, strict=True)
        edited = hashed(json.loads(text)) != text.decode()
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not the record of a job ({error})") from None
    if edited:
        raise DataError(f"{path}: was edited since its job has written it")
    return record


@cache
def versions_of(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of those packages that are installed."""
    versions = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


@cache
def commit_of(file: Path, apart_from: str = "") -> str:
    """Return the commit of the checkout that a file of the package belongs to.

    Empty for an installed package, which no checkout tracks. "with changes" follows if tracked
    files have changed since the commit, apart from files of a folder that may be named.
    """

    def git(*asked: str) -> str:
        command = ["git", "-C", str(file.parent), *asked]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", file.name)
        others = ["--", ":/", f":(top,exclude){apart_from}"] if apart_from else []
        commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "-uno", *others)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{commit} with changes" if changes else commit


@cache
def _machine() -> dict[str, str]:
    return {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "instruction_set": os.environ.get(CHOSEN, "native"),
    }


def _processor() -> str:
    """Return the name of the processor, on which the last digits may depend."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
