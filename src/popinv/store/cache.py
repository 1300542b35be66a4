"""What can be computed again, kept from one process to the next."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from popinv.errors import DataError
from popinv.regular_files import read_bytes
from popinv.store.whole_files import write_text

# Beyond this number, only those entries stay that the writing process has used.
_MOST_ENTRIES = 5000


def cache_folder(name: str) -> Path:
    """Return a folder under `$POPINV_CACHE`, or `~/.cache/popinv`, which may not exist.

    For a user without a home it is one that cannot exist, so that nothing is kept.
    """
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        home = os.devnull
    return Path(os.environ.get("POPINV_CACHE") or Path(home) / "popinv") / name


class Entries:
    """JSON values by key in one file; a file that cannot be read or written only costs time.

    Processes that write at the same time overwrite each other's entries, which are computed again.

    Parameters
    ----------
    path : path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._used, self._is_new = path, dict[str, Any](), False
        self._stored: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            stored = json.loads(read_bytes(path))
            self._stored = stored if isinstance(stored, dict) else {}

    def get(self, key: str) -> Any:
        """Return the value of a key, None if there is none."""
        if key in self._stored:
            self._used[key] = self._stored[key]
        return self._used.get(key)

    def put(self, key: str, value: Any) -> None:
        """Add a value, which is stored by :meth:`write`."""
        self._used[key], self._is_new = value, True

    def write(self) -> None:
        """Write the file, if there is anything new."""
        if not self._is_new:
            return
        together = {**self._stored, **self._used}
        kept = together if len(together) <= _MOST_ENTRIES else self._used
        with suppress(OSError, DataError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._path, json.dumps(kept))
        self._is_new = False
