"""Assembled operators, kept from one process to the next.

A workflow starts a process for each of its jobs. Importing Firedrake takes one to two seconds of
each, and assembling takes milliseconds: operators that are plain arrays are therefore kept on disk,
under `$POPINV_CACHE` or `~/.cache/popinv`. A file's name is a digest of everything that decides its
content: the arguments, the code that assembles, Firedrake's version, and the instruction set.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, get_type_hints

import numpy as np

from popinv.errors import DataError
from popinv.store.cache import cache_folder
from popinv.store.whole_files import written_whole
from popinv_models.finite_elements import assembly, firedrake

T = TypeVar("T")

_MOST_FILES = 200


def kept(
    kind: type[T], code: ModuleType, arguments: tuple[object, ...], assemble: Callable[[], T]
) -> T:
    """Return the result of ``assemble()``, from disk if it was assembled before.

    Parameters
    ----------
    kind : type
        The type that it gives: a dataclass of arrays, whole numbers, numbers, and dataclasses of
        these.
    code : module
        The one that assembles.
    arguments : tuple
        All that the operators depend on: numbers, strings and arrays. Where there is a function
        among them, nothing is kept, because functions cannot be compared.
    assemble : callable
    """
    if any(callable(argument) for argument in arguments):
        return assemble()
    path = cache_folder("operators") / f"{_digest(code, arguments)}.npz"
    # A file that another process has removed, or a full disk has truncated, is written again.
    unreadable = (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile)
    with suppress(*unreadable), np.load(path, allow_pickle=False) as arrays:
        return _rebuilt(kind, arrays)
    operators = assemble()
    # A directory that cannot be written only costs time.
    with suppress(OSError, DataError):
        _write(path, dict(_flat(operators)))
    return operators


def _flat(record: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the fields of a dataclass; fields of a nested dataclass have its name as a prefix."""
    for field in fields(record):
        value, name = getattr(record, field.name), prefix + field.name
        if is_dataclass(value):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _rebuilt(kind: type[T], arrays: Mapping[str, np.ndarray], prefix: str = "") -> T:
    values: dict[str, Any] = {}
    for name, of_field in get_type_hints(kind).items():
        if isinstance(of_field, type) and is_dataclass(of_field):
            values[name] = _rebuilt(of_field, arrays, f"{prefix}{name}.")
        else:
            array = arrays[prefix + name]
            values[name] = array if of_field is np.ndarray else of_field(array)
    return kind(**values)


def _digest(code: ModuleType, arguments: tuple[object, ...]) -> str:
    digest = hashlib.sha256(f"{metadata.version('firedrake')} {np.__version__}".encode())
    # A fixed instruction set (`instruction_set` of the configuration) rounds differently.
    digest.update(os.environ.get("OPENBLAS_CORETYPE", "").encode())
    for module in (code, assembly, firedrake):
        digest.update(Path(str(module.__file__)).read_bytes())
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            digest.update(f"{argument.shape} {argument.dtype}".encode() + argument.tobytes())
        else:
            digest.update(repr(argument).encode())
    return digest.hexdigest()


def _write(path: Path, arrays: Mapping[str, Any]) -> None:
    with written_whole(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)
    files = sorted(path.parent.glob("*.npz"), key=lambda file: file.stat().st_mtime)
    for old in files[:-_MOST_FILES]:
        old.unlink()
