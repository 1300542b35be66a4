"""Tables of studies of random simulators, which ``benchmarks.stochastic`` measures."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence

from tables.cells import table
from tables.kept import FOLDER

__all__ = ["TABLES"]

Row = Mapping[str, str]


def _rows(name: str) -> list[Row]:
    with (FOLDER / f"stochastic_{name}.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _told(rows: Sequence[Row]) -> str:
    """Return the commits and the machines of rows."""
    commits, machines = (sorted({row[key] for row in rows}) for key in ("commit", "machine"))
    return f"*Recorded at {', '.join(commits)} on {', '.join(machines)}.*"


def _table(name: str, heads: Mapping[str, str]) -> Iterator[str]:
    """Yield some columns of a file, each with its head in the table."""
    rows = _rows(name)
    yield from table(list(heads.values()), [[row[key] for key in heads] for row in rows])
    yield from ("", _told(rows))


def birth_death() -> Iterator[str]:
    """Yield the answers to counts of colonies beside exact maximum likelihood."""
    columns = {
        "parameter": "parameter (of logarithms)",
        "coverage, %": "coverage, %",
        "root mean square error": "root mean square error",
        "root mean square error, exact": "of exact likelihood",
        "mean standard error": "mean standard error",
        "mean distance": "mean distance from exact, standard errors",
        "largest distance": "largest",
    }
    yield from _table("birth_death", columns)


def lorenz96() -> Iterator[str]:
    """Yield the coverage for averages of Lorenz-96 with the key and without it."""
    columns = {
        "stochastic": "`stochastic`",
        "parameter": "parameter",
        "coverage, %": "coverage, %",
        "mean error": "mean error",
        "mean standard error": "mean standard error",
    }
    yield from _table("lorenz96", columns)


def window() -> Iterator[str]:
    """Yield the variance of averages times the length of the window."""
    names = ("x", "x_squared", "x_lag_1")
    columns = {"window": "window"} | {f"variance of {n}, times the window": f"`{n}`" for n in names}
    yield from _table("window", columns)


def repeats() -> Iterator[str]:
    """Yield the error of learned mean and covariance by the number of solves of each parameter."""
    columns = {
        "solves": "solves",
        "solves of each parameter": "of each parameter",
        "error of the mean": "error of the mean, standard deviations",
        "relative error of the covariance": "relative error of the covariance",
    }
    yield from _table("repeats", columns)


TABLES: Mapping[str, Callable[[], Iterator[str]]] = {
    "birth_death": birth_death,
    "lorenz96": lorenz96,
    "window": window,
    "repeats": repeats,
}
