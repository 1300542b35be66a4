"""Runs the rows one after the other, prints their table and writes the results."""

from __future__ import annotations

import argparse
import functools
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import machine, report
from benchmarks.measure import measure
from benchmarks.rows import Row

__all__ = ["MODULES", "all_rows", "chosen", "main", "run"]

MODULES = (
    "porous_flow",
    "banded",
    "porous_cube",
    "elastodynamics",
    "lorenz96",
    "sliced_wasserstein",
    "surrogate_training",
    "descent_step",
    "marginal_likelihood",
    "whole_study",
)
RESULTS = Path("results/benchmarks.json")
TABLE = Path("docs/tables/data/benchmarks.csv")


def all_rows() -> list[Row]:
    """Return every row, without doing any of the work."""
    return [row for name in MODULES for row in import_module(f"benchmarks.{name}").rows()]


def chosen(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Return the rows whose names begin with one of these, all if there are none.

    Raises
    ------
    SystemExit
        If no row begins with a name.
    """
    for name in names:
        if not any(row.name.startswith(name) for row in rows):
            groups = dict.fromkeys(row.name.partition("/")[0] for row in rows)
            raise SystemExit(
                f"benchmarks: no row begins with '{name}'; the groups are {', '.join(groups)}, "
                "and --list names their rows"
            )
    return [row for row in rows if not names or row.name.startswith(tuple(names))]


def run(
    rows: Sequence[Row],
    clock: Callable[[], float] = time.process_time,
    progress: Callable[[str], None] | None = None,
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Measure the rows.

    Returns
    -------
    results : dict of str to dict
        Results by name, as in the JSON file, of rows without an error.
    errors : dict of str to str
        Messages of the others.
    """
    tell = progress or _tell
    results: dict[str, dict[str, Any]] = {}
    errors: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        head = f"[{number}/{len(rows)}] {row.name}"
        if absent := machine.missing(row.packages):
            tell(f"{head}: peer not installed: {', '.join(absent)}")
            results[row.name] = report.record(row, None)
            continue
        tell(f"{head}: preparing")
        try:
            measurement = measure(row.prepare(), clock, functools.partial(_step, tell, head))
        except Exception as error:  # one row in error does not lose the others
            tell("".join(traceback.format_exception(error)))
            errors[row.name] = f"{type(error).__name__}: {error}"
        else:
            results[row.name] = report.record(row, measurement)
    return results, errors


def _step(tell: Callable[[str], None], head: str, step: str) -> None:
    tell(f"{head}: {step}")


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 if a row is in error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", metavar="NAME", action="append", default=[],
        help="only rows whose names begin so; may be repeated. Nothing is written then, unless "
        "--output is given",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, help=f"where to write (default: {RESULTS})")
    parser.add_argument("--list", action="store_true", help="list the rows and what they compare")
    parser.add_argument(
        "--write-docs", action="store_true",
        help=f"measure nothing; write the results of {RESULTS} (or --output) to {TABLE}",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    if given.write_docs:
        measured = given.output or RESULTS
        if not measured.exists():
            parser.error(f"--write-docs: there is no {measured}, measure first")
        report.write_docs(report.read(measured), TABLE)
        return 0
    rows = chosen(all_rows(), given.only)
    if given.list:
        for row in rows:
            print(f"{row.name}\n    {row.work}\n    peer: {row.peer}")
        return 0
    output = given.output or (None if given.only else RESULTS)
    started, before = time.monotonic(), machine.load_average()
    results, errors = run(rows)
    print(f"{machine.cpu_model()}, one thread; load average {before} at the start")
    print(machine.versions(("popinv", *_packages(rows))))
    print("Processor time of one unit of work, medians; ratio: times that popinv is faster\n")
    print(report.table(results, errors))
    print(f"\n{time.monotonic() - started:.0f} s in all", end="")
    if output is not None:
        report.save(results, output)
        print(f"; written to {output}", end="")
    print()
    return 1 if errors else 0


def _packages(rows: Sequence[Row]) -> list[str]:
    named = sorted({package for row in rows for package in row.packages})
    return [package for package in named if not machine.missing((package,))]
