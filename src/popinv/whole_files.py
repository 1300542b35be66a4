"""Files and folders that are written beside their place and renamed into it when whole.

Whoever reads sees the old content or the new one, or nothing, and never a part: whatever kills the
writer, at whatever moment. What a killed writer leaves beside is hidden, ends in ``.partial``, and
goes with the next writing to the same place.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from popinv.errors import DataError

__all__ = ["discard", "write_text", "written_whole"]

# Whether the writer is still there can only be seen on its own machine; elsewhere, what nobody has
# touched for so long is taken for left behind.
_LEFT_BEHIND_SECONDS = 24 * 3600.0

_ADVICE = {
    errno.ENOSPC: "Make room on that disk",
    errno.EDQUOT: "Make room in your quota",
    errno.EROFS: "Make that file system writable, or choose another place for 'results'",
    errno.EACCES: "Give yourself the right to write there, or choose another place for 'results'",
}


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path to write a file or a folder at, and rename what is there to its place.

    Use::

        with written_whole("metrics.json") as partial:
            partial.write_text(...)

    An error within leaves what was at ``path`` before, and nothing beside it.

    Parameters
    ----------
    path : path
        The final place. Its folder is made if it is not there.

    Raises
    ------
    DataError
        If it cannot be written: the path, the reason, and what to do.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.uname().nodename}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in _left_behind(target):
            discard(left)
        yield partial
        if partial.is_dir():
            # A folder that is not empty cannot be replaced, and emptying it first takes a while.
            old = partial.with_suffix(".old.partial")
            if os.path.lexists(target):
                os.rename(target, old)
            os.rename(partial, target)
            discard(old)
        else:
            os.replace(partial, target)
    except OSError as error:
        if error.errno not in _ADVICE:
            raise
        raise DataError(
            f"{target}: cannot be written ({error.strerror}). {_ADVICE[error.errno]} and run "
            "again: what is finished is kept."
        ) from error
    finally:
        discard(partial)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file, whole or not at all.

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
    """Yield what killed writers to the same place have left beside it."""
    start = f".{target.name}."
    for path in target.parent.iterdir():
        name = path.name
        if not (name.startswith(start) and name.endswith(".partial")):
            continue
        host, _, number = (
            name[len(start) :].removesuffix(".partial").removesuffix(".old").rpartition(".")
        )
        if host == os.uname().nodename and number.isdigit():
            if not Path("/proc", number).exists() or int(number) == os.getpid():
                yield path
        elif _age(path) > _LEFT_BEHIND_SECONDS:
            yield path


def _age(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return 0.0
