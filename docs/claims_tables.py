"""Write the tables of claims into the pages of the methods, from the results that are there.

Run ``snakemake downstream`` and then ``python docs/claims_tables.py [METHOD ...]``. A page holds
the tables between the lines ``<!-- claims -->`` and ``<!-- end -->``.
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
MARKED = re.compile(r"(?<=<!-- claims -->\n).*?(?=<!-- end -->)", re.DOTALL)


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


def main(methods: list[str]) -> None:
    """Write the tables of some methods, or of all that have results."""
    for file in sorted(RESULTS.glob("*/claims.csv")):
        name = file.parent.name
        page = PAGES / f"{name}.md"
        if (methods and name not in methods) or not page.exists():
            continue
        text = page.read_text(encoding="utf-8")
        parts = MARKED.split(text)
        if len(parts) != 2:
            raise SystemExit(f"{page}: has no lines <!-- claims --> and <!-- end -->")
        page.write_text("\n".join(tables(file)).join(parts), encoding="utf-8")
        print(f"{page.relative_to(ROOT)}: written")


if __name__ == "__main__":
    main(sys.argv[1:])
