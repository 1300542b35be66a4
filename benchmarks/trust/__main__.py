"""Measure verdicts or intervals, and keep the results.

    python -m benchmarks.trust verdicts --case none --systems 8 14 30 --sets 100
    python -m benchmarks.trust coverage --case lines --systems 8 14 --sets 200

One data set a line is added to ``docs/tables/data/trust/``, with its commit. Stored data sets are
not measured again, so a run can be interrupted and resumed.
"""

from __future__ import annotations

from benchmarks.machine import confine

confine()

import argparse  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

from benchmarks.machine import ROOT, cpu_model  # noqa: E402
from benchmarks.trust.coverage import covered  # noqa: E402
from benchmarks.trust.populations import MISTAKES  # noqa: E402
from benchmarks.trust.right_models import COVERED, RIGHT  # noqa: E402
from benchmarks.trust.verdicts import verdicts_of  # noqa: E402
from popinv.workflow.records import commit_of  # noqa: E402

FOLDER = ROOT / "docs/tables/data/trust"


def main() -> None:
    """Run the requested measurement."""
    parser = argparse.ArgumentParser(description="Measure verdicts or intervals.")
    what = parser.add_subparsers(dest="what", required=True)
    for name, option, choices in (
        ("verdicts", "case", [*RIGHT, *MISTAKES]),
        ("coverage", "case", COVERED),
    ):
        own = what.add_parser(name)
        own.add_argument(f"--{option}", dest="cases", nargs="+", default=list(choices))
        own.add_argument("--systems", type=int, nargs="+", required=True)
        own.add_argument("--sets", type=int, required=True)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    measure = verdicts_of if given.what == "verdicts" else covered
    for case in given.cases:
        for count in given.systems:
            add(given.what, case, count, given.sets, measure)


def add(
    what: str, case: str, count: int, sets: int, measure: Callable[[str, int, int], dict[str, Any]]
) -> None:
    """Measure the data sets of a case that are missing, and add each to its file."""
    file = FOLDER / f"{what}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = file.read_text().splitlines() if file.is_file() else []
    done = {tuple(json.loads(line)[key] for key in ("case", "systems", "seed")) for line in lines}
    where = {
        # Earlier measurements are not a change of the code.
        "commit": commit_of(ROOT / "README.md", "docs/tables/data"),
        "cores": str(os.cpu_count()),
        "processor": cpu_model(),
    }
    for seed in range(1, sets + 1):
        if (case, count, seed) in done:
            continue
        entry = {"case": case, "systems": count, "seed": seed, **where}
        with file.open("a") as out:
            out.write(json.dumps(entry | measure(case, count, seed)) + "\n")


if __name__ == "__main__":
    main()
