"""Check that reading a zarr store runs no code.

The metadata of a store names the decoders of its chunks. Some decoders that can be installed
rebuild Python objects, and so run code that the store's author wrote. This module therefore reads
the metadata first, and allows only decoders that return numbers and text.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from popinv.errors import DataError

__all__ = ["refuse_code"]

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


# The variables of a Dataset lie side by side in the store. Deeper levels are not read.


def _in_folder(store: Path) -> Iterator[tuple[str, bytes]]:
    folders = [store, *sorted(path for path in store.iterdir() if path.is_dir())]
    files = (f / name for f in folders for name in _METADATA if (f / name).is_file())
    yield from ((str(file.relative_to(store)), file.read_bytes()) for file in files)


def _zipped(store: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(store) as archive:
        for name in archive.namelist():
            if PurePosixPath(name).name in _METADATA and name.count("/") <= 1:
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
