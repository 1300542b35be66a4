"""Write the sections of the page of efficiency anew, of the studies that were measured.

    .venv/bin/python docs/tables/efficiency.py results/efficiency

The folder has results of studies of ``config/examples/efficiency.yaml``. The sections of those
whose calibration is there take the place of the former ones, with the commit and the machine of the
job. Other sections stay as they are. What has become worse by more than two standard errors of the
difference is printed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from popinv.evidence.efficiency import efficiency_page
from popinv.store import storage
from popinv.workflow.records import read_record

PAGE = Path(__file__).parents[1] / "efficiency.md"
_ROW = re.compile(r"^\| ([^|]+) \| ([\d.]+) ± ([\d.]+) \|", re.MULTILINE)


def section(folder: Path) -> str:
    """Return the section of a study's calibration."""
    record = read_record(folder / "made/replicate_study.0.json")
    through = record.settings["through"]
    calibration = storage.load(folder / "evidence/calibration.zarr.zip")
    page = efficiency_page({folder.name: calibration}, {folder.name: through})
    text = page[page.index(f"## {folder.name}\n") :]
    measured = (
        f"Measured at commit {record.versions['commit'][:8]} ({record.machine['processor']})."
    )
    return text.replace("\n\n|", f"\n{measured}\n\n|", 1)


def worse(before: str, now: str) -> Iterator[str]:
    """Yield the parameters whose error over the bound has grown by more than chance."""
    former = {name: (float(ratio), float(error)) for name, ratio, error in _ROW.findall(before)}
    for name, ratio, error in _ROW.findall(now):
        old, its = former.get(name, (float("inf"), 0.0))
        if float(ratio) - old > 2 * (float(error) ** 2 + its**2) ** 0.5:
            yield f"{name}: {old} became {ratio} ± {error}"


def main(results: Path) -> None:
    """Write the page."""
    head, *sections = re.split(r"^(?=## )", PAGE.read_text(), flags=re.MULTILINE)
    by_name = {text.split("\n", 1)[0].removeprefix("## "): text for text in sections}
    for name, before in by_name.items():
        if not (results / name / "evidence/calibration.zarr.zip").exists():
            continue
        by_name[name] = section(results / name)
        print(name, *worse(before, by_name[name]), sep="\n  ")
    PAGE.write_text(head + "\n".join(text.rstrip("\n") + "\n" for text in by_name.values()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
