"""Tables of intervals from few systems, of the ranks of the posterior of the law, and of ridges.

``benchmarks.few_systems``, ``benchmarks.joint_model`` and ``benchmarks.ridges`` write the numbers,
with the commit and the machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from tables.cells import measured_rows, measured_table, recorded, table

__all__ = ["TABLES"]

Row = Mapping[str, str]


def _told(rows: Sequence[Row]) -> str:
    """Return the number of data sets, the commits and the machines of rows."""
    counts = " or ".join(sorted({row["data sets"] for row in rows}))
    return f"*{counts} data sets for each number of systems, recorded at {recorded(rows)}.*"


def coverage() -> Iterator[str]:
    """Yield the coverage, the width and the estimate by each kind of interval."""
    rows = measured_rows("few_systems")
    told: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for row in rows:
        told[row["systems"], row["parameter"], row["interval"]] += [
            f"{row['coverage, %']} ± {row['its error, %']}",
            row["median width"],
            row["mean estimate"],
        ]
    heads = ["systems", "parameter", "by", "coverage, %", "median width", "mean estimate"]
    yield from table(heads, [[*key, *cells] for key, cells in told.items()])
    yield from ("", _told(rows))


def ranks() -> Iterator[str]:
    """Yield the number of truths in each tenth of the ranks."""
    rows = measured_rows("law_posterior_ranks")
    tenths = [f"tenth {i}" for i in range(1, 11)]
    heads = ["systems", "data sets", "parameter", *map(str, range(1, 11)), "p", "coverage, %"]
    keys = ["systems", "data sets", "parameter", *tenths, "p-value", "coverage, %"]
    yield from table(heads, [[row[key] for key in keys] for row in rows])
    yield from ("", _told(rows))


def joint() -> Iterator[str]:
    """Yield means and quantiles by the posterior of the law and by the joint model."""
    keys = ["data set", "systems", "parameter", "of", "posterior of the law", "joint model"]
    keys += ["error of both", "difference, errors"]
    yield from measured_table("law_posterior_joint", {key: key for key in keys})


def ridges() -> Iterator[str]:
    """Yield how far more draws move answers where the likelihood has a ridge."""
    keys = ["model", "systems", "data sets", "largest difference, standard errors"]
    keys += ["largest difference of standard errors", "draws", "seconds"]
    keys += ["seconds with more draws"]
    yield from measured_table("ridges", {key: key for key in keys})


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "ridges": ridges,
    "coverage": coverage,
    "ranks": ranks,
    "joint": joint,
}
