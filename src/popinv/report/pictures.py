"""The figures of a study or a method, with captions."""

from __future__ import annotations

import struct
from pathlib import Path

from popinv.report.formats import readable
from popinv.report.records import Picture

# Captions of a study's figures whose titles say less.
_CAPTIONS = {
    "descent": "Course of the descent: losses, and every parameter on its way",
    "law": "The recovered law of the parameters",
    "noise_covariance": "The noise covariance, recovered and compared",
    "observations": "Observations of the data and of the fitted model",
    "solver_calls": "Parameters and number of the solver calls",
    "surrogate_error": "Error of the surrogate by round, and its last training",
}
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def pictures_in(folder: Path, subject: str) -> tuple[Picture, ...]:
    """Return the figures of a folder, with known captions or their titles."""
    pictures = []
    for file in sorted(folder.glob("*.png")):
        name = readable(file.stem)
        words = _CAPTIONS.get(file.stem) or title_of(file) or name.capitalize()
        pictures.append(Picture(name, file, words, f"{words}: figure of the {subject}"))
    return tuple(pictures)


def title_of(file: Path) -> str:
    """Return the title that a PNG file holds as text, or "" if there is none."""
    with file.open("rb") as stream:
        if stream.read(8) != _SIGNATURE:
            return ""
        while len(head := stream.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            keyword, _, text = stream.read(length).partition(b"\0")
            stream.read(4)
            if kind == b"IDAT":
                break
            if keyword == b"Title" and kind == b"tEXt":
                return text.decode("latin-1")
            # Only if it is not compressed and has no language and no translated keyword.
            if keyword == b"Title" and kind == b"iTXt" and text.startswith(b"\0\0\0\0"):
                return text[4:].decode("utf-8")
    return ""
