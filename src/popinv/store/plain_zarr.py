"""Check that reading a zarr store runs no code, and does not fill the memory.

The metadata of a store names the decoders of its chunks. Some decoders that can be installed
rebuild Python objects, and so run code that the store's author wrote. This module therefore reads
the metadata first, and allows only decoders that return numbers and text.

The metadata also says how large the arrays are. A small file can hold very large ones, as constant
numbers take next to no room: such a file is refused before any array is made.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from popinv.errors import DataError

# Numbers of a study take a half of their size or more. The first bytes are free, so that a table
# of zeros, or of solves that have all failed, is read.
_FREE_BYTES, _MOST_EXPANSION = 2**30, 1000
# Metadata has names, units, and the configuration.
_MOST_METADATA = 2**26

_METADATA = ("zarr.json", ".zarray")
# Decoders of zarr and numcodecs. Pickle and unknown decoders are not on the list.
_PLAIN = {
    *("bytes", "transpose", "sharding_indexed", "crc32c", "vlen-utf8", "vlen-bytes"),
    *("blosc", "gzip", "zstd", "zlib", "bz2", "lz4", "lzma", "zfpy", "pcodec"),
    *("delta", "fixedscaleoffset", "quantize", "bitround", "packbits", "shuffle", "astype"),
    *(
        "crc32",
        "adler32",
        "fletcher32",
        "jenkins_lookup3",
        "vlen-array",
        "json2",
        "categorize",
        "base64",
    ),
}


def refuse_code(store: Path) -> None:
    """Raise an error if a store names a decoder that may run code.

    Parameters
    ----------
    store : Path
        A zarr store of format 2 or 3 in a folder, or in a zip file.

    Raises
    ------
    DataError
        The message names the file in the store and the decoder, but not the store.
    """
    for where, content in _zipped(store) if store.is_file() else _in_folder(store):
        try:
            codecs = list(_codecs(json.loads(content.decode("utf-8"))))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} is not valid JSON: {error}") from None
        for codec in codecs:
            if str(codec).removeprefix("numcodecs.") not in _PLAIN:
                raise DataError(
                    f"{where} requests the decoder '{codec}', which is not known to return only "
                    "numbers and text without running code"
                )


def refuse_expansion(store: Path) -> None:
    """Raise an error if the arrays of a store are out of proportion to its files.

    Parameters
    ----------
    store : Path
        As of :func:`refuse_code`.

    Raises
    ------
    DataError
        The message gives both sizes and what is allowed, but not the store.
    """
    if store.is_file():
        with zipfile.ZipFile(store) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        stored, metadata = store.stat().st_size, _zipped(store)
    else:
        files = [file for file in store.rglob("*") if file.is_file()]
        unpacked, stored = 0, sum(file.stat().st_size for file in files)
        metadata = _in_folder(store)
    refuse_growth("arrays", unpacked, stored)
    refuse_growth("arrays", sum(_array_bytes(*entry) for entry in metadata), stored)


def refuse_growth(what: str, size: int, stored: int) -> None:
    """Refuse to read what would be far larger in memory than in its files.

    Parameters
    ----------
    what : str
        The word for it, as "arrays".
    size, stored : int
        Bytes in memory, and of the files.

    Raises
    ------
    DataError
        If it would take more than a gigabyte, and more than a thousand times its files.
    """
    allowed = max(_FREE_BYTES, _MOST_EXPANSION * stored)
    if size > allowed:
        raise DataError(
            f"its {what} would take {size:,} bytes, and the files have {stored:,}; at most "
            f"{allowed:,} are read of such files"
        )


def _array_bytes(where: str, content: bytes) -> int:
    """Return the bytes of an array, or of one of its chunks if these are larger; 0 for a group."""
    try:
        node = json.loads(content.decode("utf-8"))
        shape = node.get("shape")
        if shape is None:
            return 0
        grid = node.get("chunk_grid", {}).get("configuration", {}).get("chunk_shape", shape)
        entries = max(math.prod(map(int, each)) for each in (shape, node.get("chunks", grid)))
        return entries * _entry_bytes(node.get("data_type", node.get("dtype")))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{where} does not describe an array ({error})") from None


def _entry_bytes(kind: Any) -> int:
    """Return the bytes of an entry, at least: text of any length has a pointer."""
    if isinstance(kind, dict):
        return int(kind.get("configuration", {}).get("length_bytes", 8))
    try:
        return max(1, np.dtype(kind).itemsize)
    except TypeError:
        return 8


# The variables of a Dataset lie side by side in the store. Deeper levels are not read.


def _in_folder(store: Path) -> Iterator[tuple[str, bytes]]:
    folders = [store, *sorted(path for path in store.iterdir() if path.is_dir())]
    files = (f / name for f in folders for name in _METADATA if (f / name).is_file())
    yield from ((str(file.relative_to(store)), file.read_bytes()) for file in files)


def _zipped(store: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(store) as archive:
        for name in archive.namelist():
            if PurePosixPath(name).name in _METADATA and name.count("/") <= 1:
                if archive.getinfo(name).file_size > _MOST_METADATA:
                    raise DataError(f"{name} has more than {_MOST_METADATA:,} bytes")
                yield name, archive.read(name)


def _codecs(node: Any) -> Iterator[Any]:
    """Yield the names of the decoders in a piece of metadata. Format 3 calls them codecs."""
    if isinstance(node, list):
        for part in node:
            yield from _codecs(part)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key == "attributes":
            continue  # the user's own words
        if key in ("codecs", "index_codecs", "filters"):
            for codec in value if isinstance(value, list) else []:
                yield codec.get("name", codec.get("id")) if isinstance(codec, dict) else codec
        if key == "compressor" and isinstance(value, dict):
            yield value.get("id")
        yield from _codecs(value)
