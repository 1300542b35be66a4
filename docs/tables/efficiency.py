"""Keep the errors and the coverage of repeated studies, and render their summary.

    .venv/bin/python docs/tables/efficiency.py results/efficiency

The folder has results of studies of ``config/examples/efficiency.yaml``. The rows of each study
whose calibration is there replace its former rows in ``data/efficiency.csv``, with the commit and
the machine of the job. Rows of other studies stay. Each parameter whose error has grown by more
than two standard errors of the difference is printed.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from popinv.evidence.efficiency import efficiency_table
from popinv.inference.estimators.choice import ESTIMATORS
from popinv.store import storage
from popinv.workflow.records import read_record
from tables.cells import span, table

__all__ = ["COLUMNS", "FILE", "TABLES", "replaced", "rows", "worse"]

FILE = Path(__file__).parent / "data" / "efficiency.csv"
_RATIO, _COVERAGE = "error over bound", "coverage, %"
COLUMNS = (
    *("study", "data sets", "observed through", "answered by"),
    *("parameter", _RATIO, _COVERAGE, "truth", "mean estimate", "commit", "machine"),
)
_CALIBRATION = "evidence/calibration.zarr.zip"
Row = Mapping[str, str]


def rows(file: Path = FILE) -> list[Row]:
    """Return the rows of the file, one for each parameter of each study."""
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def measured(folder: Path) -> list[Row]:
    """Return the rows of a study from its results."""
    record = read_record(folder / "made/replicate_study.0.json")
    calibration = storage.load(folder / _CALIBRATION)
    numbers = calibration["estimator"].values
    by = ", ".join(
        f"{estimator.replace('_', '-')} {100 * np.mean(numbers == i):.0f} %"
        for i, estimator in enumerate(ESTIMATORS)
        if np.any(numbers == i)
    )
    through = str(record.settings["through"])
    head = (folder.name, str(calibration.sizes["replication"]), through, by)
    where = record.versions["commit"][:8], record.machine["processor"]
    lines = efficiency_table(calibration).splitlines()[2:]
    cells = [line.strip("| ").split(" | ") for line in lines]
    return [dict(zip(COLUMNS, (*head, *each, *where), strict=True)) for each in cells]


def replaced(before: Sequence[Row], now: Sequence[Row]) -> list[Row]:
    """Return the rows with new ones in the place of the former rows of their study."""
    names = list(dict.fromkeys(row["study"] for row in [*before, *now]))
    new = {row["study"] for row in now}
    return [
        row for name in names for row in (now if name in new else before) if row["study"] == name
    ]


def worse(before: Sequence[Row], now: Sequence[Row]) -> Iterator[str]:
    """Yield the parameters whose error over the bound has grown by more than chance."""
    former = {(row["study"], row["parameter"]): row[_RATIO] for row in before}
    for row in now:
        old = former.get((row["study"], row["parameter"]))
        if old is None:
            continue
        (was, its), (ratio, error) = (map(float, cell.split(" ± ")) for cell in (old, row[_RATIO]))
        if ratio - was > 2 * (error**2 + its**2) ** 0.5:
            yield f"{row['study']}, {row['parameter']}: {old} became {row[_RATIO]}"


def summary() -> Iterator[str]:
    """Yield a table with a row for each study."""
    found: dict[str, list[Row]] = {}
    for row in rows():
        found.setdefault(row["study"], []).append(row)
    heads = ["study", "data sets", "answered by", "parameters", "intervals that hold the truth, %"]
    told = []
    for name, own in found.items():
        shares = [float(row[_COVERAGE].split(" ")[0]) for row in own]
        ratios = [float(row[_RATIO].split(" ")[0]) for row in own]
        told.append(
            [
                f"`{name}`",
                own[0]["data sets"],
                own[0]["answered by"].replace(" 100 %", ""),
                str(len(own)),
                f"{np.mean(shares):.1f}",
                span(shares, 3),
                span(ratios, 3),
            ]
        )
    yield from table([*heads, "by parameter, %", "error over bound"], told)
    commits = sorted({row["commit"] for row in rows()})
    yield from ("", f"*Recorded at commits {', '.join(commits)}.*")


TABLES: dict[str, Callable[[], Iterator[str]]] = {"summary": summary}


def main(results: Path) -> None:
    """Replace the rows of the studies whose results are there."""
    before = rows()
    folders = sorted(each for each in results.iterdir() if (each / _CALIBRATION).exists())
    now = [row for folder in folders for row in measured(folder)]
    with FILE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(replaced(before, now))
    print(*(folder.name for folder in folders), *worse(before, now), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
