"""The results as a table on the terminal, as JSON, and as a data file of the documentation."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import cpu_model, load_average, versions
from benchmarks.rows import Measurement, Row
from popinv.workflow.records import commit_of

__all__ = [
    "COLUMNS",
    "NOT_INSTALLED",
    "number",
    "read",
    "record",
    "save",
    "seconds",
    "table",
    "write_docs",
]

NOT_INSTALLED = "peer not installed"
COLUMNS = (
    *("row", "work", "peer", "popinv", "peer's time", "times faster", "lowest to highest"),
    *("target", "versions", "machine", "load", "commit"),
)

Results = Mapping[str, Mapping[str, Any]]


def record(row: Row, measurement: Measurement | None) -> dict[str, Any]:
    """Return a row of the JSON file; without a measurement, the row of a missing peer."""
    kept: dict[str, Any] = {
        "ratio": None,
        "target": row.target,
        "peer": row.peer,
        "peer_version": None,
        "ours_seconds": None,
        "peer_seconds": None,
        "work": row.work,
    }
    if measurement is None:
        return {**kept, "note": NOT_INSTALLED}
    commit = commit_of(Path(__file__))
    return {
        **kept,
        "ratio": measurement.ratio,
        "peer_version": versions(row.packages),
        "ours_seconds": measurement.ours_seconds,
        "peer_seconds": measurement.peer_seconds,
        "ratio_range": list(measurement.range),
        "repeats": len(measurement.ours),
        "difference": measurement.difference,
        "tolerance": measurement.tolerance,
        "cpu": cpu_model(),
        "load_average": load_average(),
        "commit": commit[:8] + commit[40:],
    }


def save(results: Results, path: Path) -> None:
    """Write the JSON file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(results, indent=1) + "\n")
    unfinished.replace(path)


def read(path: Path) -> Results:
    """Read the JSON file."""
    return json.loads(path.read_text())


def table(results: Results, errors: Mapping[str, str]) -> str:
    """Return the table for the terminal; rows in error come with their message."""
    lines = [("row", "ours", "peer", "ratio", "range", "target", "difference")]
    for name, row in results.items():
        if row["ratio"] is None:
            lines.append((name, "", "", row["note"], "", number(row["target"]), ""))
            continue
        low, high = row["ratio_range"]
        mark = "" if row["ratio"] >= row["target"] else " missed"
        lines.append(
            (
                name,
                seconds(row["ours_seconds"]),
                seconds(row["peer_seconds"]),
                number(row["ratio"]),
                f"{number(low)} to {number(high)}",
                f"{number(row['target'])}{mark}",
                f"{row['difference']:.0e}",
            )
        )
    lines += [(name, "", "", "ERROR", "", "", "") for name in errors]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([*text, *(f"ERROR {name}: {message}" for name, message in errors.items())])


def seconds(value: float) -> str:
    """Return a time with a unit that suits it."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def number(ratio: float) -> str:
    """Return a ratio with three digits, or all before the point."""
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.3g}"


def write_docs(results: Results, file: Path) -> None:
    """Write the table of the documentation, a row for each row of the results."""
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for name, row in results.items():
            cells = {
                "row": name,
                "work": row["work"],
                "peer": row["peer"],
                "target": number(row["target"]),
            }
            if row["ratio"] is None:
                cells["versions"] = row["note"]
            else:
                low, high = row["ratio_range"]
                cells |= {
                    "popinv": seconds(row["ours_seconds"]),
                    "peer's time": seconds(row["peer_seconds"]),
                    "times faster": number(row["ratio"]),
                    "lowest to highest": f"{number(low)} to {number(high)}",
                    "versions": row["peer_version"],
                    "machine": row["cpu"],
                    "load": str(row["load_average"]),
                    "commit": row["commit"],
                }
            writer.writerow(cells)
