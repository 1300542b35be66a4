"""Reading of folders in which anything may lie: links, pipes and devices.

What is read is a regular file of a plausible size, since a pipe may never end, and a device such as
``/dev/zero`` never does.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

# A larger record, log or table of numbers is none.
_MOST_BYTES = 2**28


def read_bytes(path: str | os.PathLike[str], most: int = _MOST_BYTES) -> bytes:
    """Return the content of a regular file.

    Parameters
    ----------
    most : int
        The largest number of bytes that is read.

    Raises
    ------
    OSError
        If it cannot be read, is not a regular file, or is larger.
    """
    # Without the flag, a pipe waits for a writer here.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if (size := _size(os.fstat(descriptor), path)) > most:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes, more than {most:,}", str(path))
        return file.read(most)


def check_regular(path: str | os.PathLike[str]) -> None:
    """Check that a file which a library will open is a regular file.

    Raises
    ------
    OSError
        If it is none, or not there.
    """
    _size(os.stat(path), path)


def _size(state: os.stat_result, path: str | os.PathLike[str]) -> int:
    """Return the size of a regular file."""
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return state.st_size


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return a path from the root, under the name that it has here, even if it is a link."""
    return Path(os.path.abspath(path))


def read_text(path: str | os.PathLike[str], most: int = _MOST_BYTES) -> str:
    """Return the text of a regular file, with a mark in place of bytes that are not UTF-8.

    Raises
    ------
    OSError
        As :func:`read_bytes`.
    """
    return read_bytes(path, most).decode("utf-8", errors="replace")


def walk(
    folder: str | os.PathLike[str], refuse: Callable[[OSError], None] | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield what :func:`os.walk` yields, also behind links, but each folder once.

    Parameters
    ----------
    refuse : callable, optional
        It receives the error of a folder that cannot be read. Such folders are left out by
        default.
    """
    seen = set()
    for place, inner, names in os.walk(folder, onerror=refuse, followlinks=True):
        state = os.stat(place)
        if (key := (state.st_dev, state.st_ino)) in seen:
            inner.clear()
            continue
        seen.add(key)
        inner.sort()
        yield place, inner, names
