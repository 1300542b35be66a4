"""Write the tables of claims into the pages of the methods, from the results that are there.

Run ``snakemake downstream`` and then ``python docs/claims_tables.py [NAME ...]`` with names of test
problems. A page holds the tables of the test problem of its own name between the lines ``<!-- claims
-->`` and ``<!-- end -->``, and those of another one after ``<!-- claims NAME -->``.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from popinv.downstream.claims import claim_cells

ROOT = Path(__file__).resolve().parents[1]
PAGES, RESULTS = ROOT / "docs/methods", ROOT / "results/downstream"
TITLES = {
    "headline": "Headlines of the paper:",
    "reconstruction": "What was derived anew, against independent computation:",
}


def tables(file: Path) -> Iterator[str]:
    """Yield the lines of the tables of a file ``claims.csv``."""
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    for part, title in TITLES.items():
        found = [claim_cells(row) for row in rows if row["part"] == part]
        if found:
            yield from ("", title, "", _line(list(found[0])), _line(["---"] * len(found[0])))
            yield from (_line(list(row.values())) for row in found)
    yield "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def main(names: list[str]) -> None:
    """Write the tables of some test problems, or of all that have results."""
    for file in sorted(RESULTS.glob("*/claims.csv")):
        name = file.parent.name
        if names and name not in names:
            continue
        written = [page for page in sorted(PAGES.glob("*.md")) if _write(file, page, name)]
        if not written:
            raise SystemExit(f"no page in {PAGES.relative_to(ROOT)} has a place for {name}")
        for page in written:
            print(f"{page.relative_to(ROOT)}: {name} written")


def _write(file: Path, page: Path, name: str) -> bool:
    """Write the tables of a test problem into a page, if it has a place for them."""
    start = "<!-- claims -->" if page.stem == name else f"<!-- claims {name} -->"
    marked = re.compile(rf"(?<={start}\n).*?(?=<!-- end -->)", re.DOTALL)
    text = page.read_text(encoding="utf-8")
    parts = marked.split(text, maxsplit=1)
    if len(parts) == 2:
        page.write_text("\n".join(tables(file)).join(parts), encoding="utf-8")
    return len(parts) == 2


if __name__ == "__main__":
    main(sys.argv[1:])
