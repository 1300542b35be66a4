"""Keep results of test problems and of uses on studies, and render the tables of the pages.

    .venv/bin/python docs/claims_tables.py [--results FOLDER] [NAME ...]

The results of the named methods, or of all, are copied to ``docs/tables/data``, each with the
commit and the machine of its job. A result that the record of its job does not know, or that has
changed since, is refused. Every row of claims is judged by the rules as they are.

When the site is built, a table takes the place of each line that names it:

- ``<!-- claims -->``: the claims of the test problem of the page's own name, or of another one,
  which is named after ``claims``;
- ``<!-- use NAME -->``: a table of :mod:`tables.uses`;
- ``<!-- check NAME -->``: a table of :mod:`tables.checks`;
- ``<!-- trust NAME -->``: a table of :mod:`tables.trust`;
- ``<!-- efficiency NAME -->``: a table of :mod:`tables.efficiency`;
- ``<!-- few NAME -->``: a table of :mod:`tables.few_systems`;
- ``<!-- levels r -->``: laws with levels beside R;
- ``<!-- stochastic NAME -->``: a table of :mod:`tables.stochastic`;
- ``<!-- discrepancy NAME -->``: a table of :mod:`tables.discrepancy`;
- ``<!-- combinations NAME -->``: a table of :mod:`tables.combinations`;
- ``<!-- configuration NAME -->``: keys of the configuration (:mod:`tables.configuration`).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from tables import (
    checks,
    combinations,
    configuration,
    discrepancy,
    efficiency,
    few_systems,
    kept,
    stochastic,
    trust,
    uses,
)
from tables.cells import measured_table

from popinv_papers.kit.claims import claim_cells

DOCS = Path(__file__).resolve().parent
PAGES = [
    *sorted((DOCS / "methods").glob("*.md")),
    *sorted((DOCS / "papers").glob("*.md")),
    DOCS / "estimators.md",
    DOCS / "how_well_it_works.md",
    DOCS / "laws.md",
    DOCS / "stochastic.md",
    *sorted((DOCS / "configuration").glob("*.md")),
    DOCS / "combinations.md",
    DOCS / "discrepancy.md",
]
TITLES = {
    "headline": "Headlines of the paper:",
    "reconstruction": "What was derived anew, against independent computation:",
}
TABLES: Mapping[str, Mapping[str, Callable[[], Iterable[str]]]] = {
    "use": uses.TABLES,
    "check": checks.TABLES,
    "trust": trust.TABLES,
    "efficiency": efficiency.TABLES,
    "few": few_systems.TABLES,
    "levels": {"r": partial(measured_table, "levels")},
    "stochastic": stochastic.TABLES,
    "discrepancy": discrepancy.TABLES,
    "combinations": combinations.TABLES,
    "configuration": configuration.TABLES,
}
_PLACE = re.compile(rf"^<!-- (claims|{'|'.join(TABLES)})( \w+)? -->$", re.MULTILINE)


def claims(name: str) -> Iterator[str]:
    """Yield the claims of a test problem: a list, since their sentences are too long for cells."""
    rows = kept.claims(name)
    for part, title in TITLES.items():
        found = [claim_cells(row) for row in rows if row["part"] == part]
        if found:
            yield from ("", title, "", *map(claim, found))
    yield from ("", kept.check(name).told)


def claim(cells: Mapping[str, str]) -> str:
    """Return the item of a claim: its status, its sentence, and the numbers.

    Examples
    --------
    >>> names = ("claim", "source", "expected", "ours", "criterion", "control", "status")
    >>> claim(dict.fromkeys(names, "") | {"claim": "a < b", "status": "not run: It is long."})
    '- **not run**: a < b. It is long.'
    """
    status, _, why = cells["status"].partition(": ")
    expected, source = cells["expected"], cells["source"]
    numbers = (
        f"expected {expected} ({source})" if expected else source,
        f"measured {cells['ours']}" if cells["ours"] else "",
        f"criterion: {cells['criterion']}" if cells["criterion"] else "",
        f"control: {cells['control']}" if cells["control"] else "",
    )
    told = "; ".join(filter(None, numbers))
    sentences = [f"{cells['claim']}.", f"{told[:1].upper()}{told[1:]}." if told else "", why]
    return f"- **{status}**: {' '.join(filter(None, sentences))}"


def lines_of(kind: str, name: str) -> list[str]:
    """Return the lines of a block.

    Raises
    ------
    SystemExit
        If there is no such table.
    """
    if kind == "claims":
        return list(claims(name))
    if name not in TABLES[kind]:
        known = ", ".join(sorted(TABLES[kind]))
        raise SystemExit(f"there is no table '{kind} {name}', there are: {known}")
    return ["", *TABLES[kind][name]()]


def rendered(text: str, page: str) -> str:
    """Return the text of a page with all its tables."""

    def table(found: re.Match[str]) -> str:
        kind, name = found[1], (found[2] or f" {page}").strip()
        return "\n".join([found[0], *lines_of(kind, name), ""])

    return _PLACE.sub(table, text)


def main(arguments: list[str]) -> None:
    """Keep results."""
    parser = argparse.ArgumentParser(description="Keep results for the tables of the pages.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="methods, or test problems")
    parser.add_argument("--results", type=Path, default=Path("results"), help="their folder")
    given = parser.parse_args(arguments)
    for each in kept.collect(given.results, given.names):
        print(f"kept: {each}")
    kept.judge_again()


if __name__ == "__main__":
    main(sys.argv[1:])
