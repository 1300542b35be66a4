"""The results as a table on the terminal, as JSON, and as a table of the documentation."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import cpu_model, load_average, versions
from benchmarks.rows import Measurement, Row

__all__ = [
    "BEGIN",
    "END",
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
BEGIN = "<!-- written by `python -m benchmarks --write-docs`: do not edit -->"
END = "<!-- end -->"
# Load average above which others than the benchmark were at work.
_QUIET = 1.5

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


def write_docs(results: Results, page: Path) -> None:
    """Put the results between the marks in a page of the documentation.

    Raises
    ------
    ValueError
        If the page does not hold the two marks.
    """
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} lacks the lines '{BEGIN}' and '{END}'")
    page.write_text("\n".join([before + BEGIN, "", _markdown(results), "", END + after]))


def _markdown(results: Results) -> str:
    measured = [row for row in results.values() if row["ratio"] is not None]
    lines = []
    for cpu in sorted({row["cpu"] for row in measured}):
        loads = [row["load_average"] for row in measured if row["cpu"] == cpu]
        lines.append(f"On {cpu}; load average {min(loads)} to {max(loads)}, of which 1 is our own.")
        if max(loads) > _QUIET:
            lines.append("The machine was in use: the ratios are preliminary.")
    header = ("row", "popinv", "peer", "times faster", "lowest to highest", "target", "versions")
    lines += ["", f"| {' | '.join(header)} |", "|---|---|---|---|---|---|---|"]
    for name, row in results.items():
        cells = [f"`{name}`"]
        if row["ratio"] is None:
            cells += ["", "", row["note"], "", number(row["target"]), ""]
        else:
            low, high = row["ratio_range"]
            cells += [
                seconds(row["ours_seconds"]),
                seconds(row["peer_seconds"]),
                number(row["ratio"]),
                f"{number(low)} to {number(high)}",
                number(row["target"]),
                row["peer_version"],
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
