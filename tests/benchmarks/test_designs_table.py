"""The tables of the page on designs follow from the measured files, and from PopED's example."""

from __future__ import annotations

import csv

import pytest

from benchmarks.designs import poped, table
from benchmarks.measured_rows import DATA


@pytest.mark.parametrize(("name", "made"), [("designs", table), ("designs_poped", poped)])
def test_the_table_is_made_from_the_files(name, made):
    with (DATA / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        kept = [
            {key: cell for key, cell in row.items() if key not in ("commit", "machine")}
            for row in csv.DictReader(file)
        ]
    assert [{key: str(cell) for key, cell in row.items()} for row in made()] == kept


def test_the_percentages_of_poped_agree_in_the_printed_digits():
    rows = poped()
    assert len(rows) == 7
    assert all(row["PopED, %"] == row["popinv, %"] for row in rows)
