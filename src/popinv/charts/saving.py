"""Write a chart as PNG and beside it its numbers as CSV, or as SVG."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import matplotlib

from popinv.charts.csv_writer import numbers_of_sheet
from popinv.charts.description import Sheet
from popinv.charts.matplotlib_writer import drawn
from popinv.charts.style import style
from popinv.store.whole_files import write_text, written_whole

_DPI = 150


def save(sheet: Sheet, path: str | os.PathLike[str]) -> None:
    """Write a PNG and beside it its numbers as CSV, each completely or not at all.

    The same chart gives the same bytes.

    Raises
    ------
    TypeError
        If it is a drawn figure, as a user's own method may return.
    """
    path = Path(path)
    if not isinstance(sheet, Sheet):
        kind = type(sheet).__name__
        raise TypeError(
            f"the figure '{path.stem}' is a {kind}; a figure is described as a "
            "popinv.charts.description.Sheet, from which its picture and its numbers are written"
        )
    write_text(path.with_suffix(".csv"), numbers_of_sheet(sheet))
    # Without these entries, matplotlib writes its own version into the file.
    _write(sheet, path, "png", dpi=_DPI, metadata={"Software": None, "Title": sheet.title})


def save_vectors(sheet: Sheet, path: str | os.PathLike[str]) -> None:
    """Write an SVG, completely or not at all; the same chart gives the same bytes."""
    _write(sheet, Path(path), "svg", metadata={"Date": None, "Creator": None})


def _write(sheet: Sheet, path: Path, kind: str, **settings: Any) -> None:
    figure = drawn(sheet)
    with style(), written_whole(path) as partial:
        matplotlib.rcParams["svg.hashsalt"] = "popinv"
        figure.savefig(partial, format=kind, **settings)
