"""Files of measured rows, with the commit and the machine, from which pages have their tables."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, cpu_model

__all__ = ["DATA", "write_rows"]

DATA = ROOT / "docs/tables/data"


def write_rows(name: str, rows: Sequence[Mapping[str, Any]], key: str = "") -> None:
    """Write rows into the file of this name, with the commit and the machine in each.

    Rows of the file that have another value of the key stay, before the new ones. Without a key
    none stays.
    """
    from popinv.workflow.records import commit_of  # after a benchmark has confined the process

    commit, *changes = commit_of(Path(__file__), "docs/tables/data").split(" ", 1)
    made = {"commit": " ".join([commit[:8], *changes]), "machine": cpu_model()}
    file, stay = DATA / f"{name}.csv", list[Mapping[str, Any]]()
    every: list[Mapping[str, Any]] = [{**row, **made} for row in rows]
    if key and file.is_file():
        now = {str(row[key]) for row in rows}
        with file.open(newline="", encoding="utf-8") as lines:
            stay = [row for row in csv.DictReader(lines) if row[key] not in now]
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, list(every[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows([*stay, *every])
