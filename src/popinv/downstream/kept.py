"""Finished parts of a long test problem, kept until the whole is done.

A test problem consists of parts that do not depend on each other, such as the paths of one setting
or the training from one seed. Within :func:`keeping` each finished part is stored, so that a job
that was killed loses the part under way alone. Elsewhere, as in tests, parts are computed.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from popinv.store.checkpoints import Checkpoint

__all__ = ["keeping", "kept"]

# A store takes a third of a second to write. A part that takes less is quicker to compute again.
_WORTH_SECONDS = 2.0


@dataclass
class _Parts:
    """The folder of the parts, what they depend on, and how many were found in it."""

    folder: Path
    config: Mapping[str, Any]
    seconds: float
    found: list[str] = field(default_factory=list)

    def checkpoint(self, name: str) -> Checkpoint:
        file = f"{re.sub(r'[^A-Za-z0-9.-]+', '_', name)}.zarr.zip"
        return Checkpoint(self.folder / file, {**self.config, "part": name})


_PARTS: ContextVar[_Parts | None] = ContextVar("parts", default=None)


@contextmanager
def keeping(
    folder: Path, config: Mapping[str, Any], seconds: float = _WORTH_SECONDS
) -> Iterator[list[str]]:
    """Keep the finished parts of what runs within; they are deleted if it ends without an error.

    Parameters
    ----------
    folder : Path
        Where the parts are stored.
    config : mapping
        All that they depend on: settings, inputs and code. Parts of another one are not used.
    seconds : float
        A part that took less is not stored.

    Yields
    ------
    list of str
        Names of the parts that were found in the folder, as they are asked for.
    """
    parts = _Parts(folder, config, seconds)
    token = _PARTS.set(parts)
    try:
        yield parts.found
    finally:
        _PARTS.reset(token)
    shutil.rmtree(folder, ignore_errors=True)


def kept(name: str, compute: Callable[[], Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return the arrays of a part: those that are kept, or else computed ones.

    Parameters
    ----------
    name : str
        Name of the part, which says all in which it differs from the other parts.
    compute : callable
        Returns arrays, numbers or texts by name.

    Examples
    --------
    >>> kept("squares", lambda: {"squares": [0, 1, 4]})
    {'squares': array([0, 1, 4])}
    """
    parts = _PARTS.get()
    if parts is None:
        return _arrays(compute())
    checkpoint = parts.checkpoint(name)
    found = checkpoint.read()
    if found is not None:
        parts.found.append(name)
        return found
    start = time.monotonic()
    arrays = _arrays(compute())
    if time.monotonic() - start >= parts.seconds:
        checkpoint.write(arrays)
    return arrays


def _arrays(values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in values.items()}
