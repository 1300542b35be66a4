"""Write a chart as PNG, and beside it its numbers as CSV."""

from __future__ import annotations

import os
from pathlib import Path

from matplotlib.figure import Figure

from popinv.charts.csv_writer import numbers_of_sheet
from popinv.charts.description import Sheet
from popinv.charts.drawn_numbers import numbers_of
from popinv.charts.matplotlib_writer import drawn
from popinv.charts.style import style
from popinv.store.whole_files import write_text, written_whole

_DPI = 150


def save(chart: Sheet | Figure, path: str | os.PathLike[str]) -> None:
    """Write a PNG and beside it its numbers as CSV, each completely or not at all.

    The same chart gives the same bytes.
    """
    path = Path(path)
    numbers = numbers_of_sheet(chart) if isinstance(chart, Sheet) else numbers_of(chart)
    write_text(path.with_suffix(".csv"), numbers)
    figure = drawn(chart) if isinstance(chart, Sheet) else chart
    with style(), written_whole(path) as partial:
        # Without these entries, matplotlib writes its own version into the file.
        title = figure.get_suptitle()
        figure.savefig(partial, format="png", dpi=_DPI, metadata={"Software": None, "Title": title})
