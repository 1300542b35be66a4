"""The root attributes of a store, read without its arrays and without the libraries for them."""

from __future__ import annotations

import json
import os
import zipfile
from typing import Any

from popinv.errors import DataError

MENDING = "Delete {} and run again. The missing results are computed again, with the same numbers."
"""What to do about a damaged store, whose path is filled in."""


def attributes_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the root attributes of a store.

    Raises
    ------
    DataError
        If there is no store, or if it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found: dict[str, Any] = json.loads(archive.read("zarr.json"))["attributes"]
            return found
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read ({error}). {MENDING.format(path)}") from None
