"""Assembled operators, kept from one process to the next.

A workflow starts a process for each of its jobs. Importing Firedrake takes one to two seconds of
each, and assembling takes milliseconds: operators that are plain arrays are therefore kept on disk,
under `$POPINV_CACHE` or `~/.cache/popinv`. A file's name is a digest of everything that decides its
content: the arguments, the code that assembles, and Firedrake's version.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import numpy as np

from popinv.forward import assembly, firedrake

__all__ = ["directory", "kept"]

T = TypeVar("T")

_MOST_FILES = 200


def directory() -> Path:
    """Return where operators are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("POPINV_CACHE") or Path(home) / "popinv") / "operators"


def kept(code: ModuleType, arguments: tuple[object, ...], assemble: Callable[[], T]) -> T:
    """Return what ``assemble()`` gives, from disk if it was assembled before.

    Parameters
    ----------
    code : module
        The one that assembles.
    arguments : tuple
        All that the operators depend on: numbers, strings and arrays. Where there is a function
        among them, nothing is kept, because functions cannot be compared.
    assemble : callable
    """
    if any(callable(argument) for argument in arguments):
        return assemble()
    path = directory() / f"{_digest(code, arguments)}.pickle"
    # A file that another process has removed or that a full disk has cut short is made again.
    with suppress(OSError, EOFError, pickle.UnpicklingError), path.open("rb") as file:
        found: T = pickle.load(file)
        return found
    operators = assemble()
    # A directory that cannot be written costs time alone.
    with suppress(OSError):
        _write(path, operators)
    return operators


def _digest(code: ModuleType, arguments: tuple[object, ...]) -> str:
    digest = hashlib.sha256(f"{metadata.version('firedrake')} {np.__version__}".encode())
    for module in (code, assembly, firedrake):
        digest.update(Path(str(module.__file__)).read_bytes())
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            digest.update(f"{argument.shape} {argument.dtype}".encode() + argument.tobytes())
        else:
            digest.update(repr(argument).encode())
    return digest.hexdigest()


def _write(path: Path, operators: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    part.write_bytes(pickle.dumps(operators, protocol=5))
    part.replace(path)
    files = sorted(path.parent.glob("*.pickle"), key=lambda file: file.stat().st_mtime)
    for old in files[:-_MOST_FILES]:
        old.unlink()
