"""Files that are written beside their place and renamed when they are complete.

A reader sees the old content or the new content, but never a part, whenever the writer is killed.
The content is on the disk before the name is, and the name before the writer goes on, so that a
loss of power takes nothing that was said to be done. The remains of a killed writer are hidden and
end in ``.partial``. The next writing to the same place deletes them.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from popinv.errors import DataError

# Only the writer's own machine can tell whether the writer is still running. On another machine, a
# file that nobody has touched for this long counts as left behind.
_LEFT_BEHIND_SECONDS = 24 * 3600.0

_ADVICE = {
    errno.ENOSPC: "Make room on that disk",
    errno.EDQUOT: "Make room in your quota",
    errno.EROFS: "Make that file system writable, or choose another place for 'results'",
    errno.EACCES: "Get permission to write there, or choose another place for 'results'",
}


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path to write a file at, and then rename it to its final place.

    Use::

        with written_whole("metrics.json") as partial:
            partial.write_text(...)

    If an error occurs within, the content at ``path`` stays as it was, with nothing beside it.

    Parameters
    ----------
    path : path
        The final place. Its folder is made if it does not exist.

    Raises
    ------
    DataError
        If it cannot be written. The message names the path, the reason and the remedy.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.uname().nodename}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in _left_behind(target):
            discard(left)
        yield partial
        _sync(partial)
        os.replace(partial, target)
        _sync(target.parent)
    except OSError as error:
        if error.errno not in _ADVICE:
            raise
        raise DataError(
            f"{target}: cannot be written ({error.strerror}). {_ADVICE[error.errno]} and run "
            "again. Finished results are kept."
        ) from error
    finally:
        discard(partial)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a folder, and some none at all.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file, completely or not at all.

    Raises
    ------
    DataError
        As :func:`written_whole`.
    """
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def discard(path: Path) -> None:
    """Delete a file, a folder or a link, if it is there and can be deleted."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        try:
            path.unlink(missing_ok=True)
        except OSError:
            return


def _left_behind(target: Path) -> Iterator[Path]:
    """Yield the remains of killed writers to the same place."""
    start = f".{target.name}."
    for path in target.parent.iterdir():
        name = path.name
        if not (name.startswith(start) and name.endswith(".partial")):
            continue
        host, _, number = name[len(start) :].removesuffix(".partial").rpartition(".")
        if host == os.uname().nodename and number.isdigit():
            if not psutil.pid_exists(int(number)) or int(number) == os.getpid():
                yield path
        elif _age(path) > _LEFT_BEHIND_SECONDS:
            yield path


def _age(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return 0.0
