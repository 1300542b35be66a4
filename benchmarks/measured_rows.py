"""Files of measured rows, with the commit and the machine, from which pages have their tables."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, cpu_model

__all__ = ["DATA", "write_rows"]

DATA = ROOT / "docs/tables/data"


def write_rows(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows into the file of this name, with the commit and the machine in each."""
    from popinv.workflow.records import commit_of  # after a benchmark has confined the process

    commit, *changes = commit_of(Path(__file__), "docs/tables/data").split(" ", 1)
    made = {"commit": " ".join([commit[:8], *changes]), "machine": cpu_model()}
    with (DATA / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0], *made], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, **made} for row in rows)
