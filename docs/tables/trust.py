"""Tables of how often verdicts and intervals are right, from ``data/trust``.

``benchmarks.trust`` adds a line for each data set, with the commit and the machine.
``trust_cases.json`` describes its cases, so that the tables can be written without it.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta

from popinv.judgement.verdict import LEVEL, levels
from tables.cells import table
from tables.kept import FOLDER, Numbers, told_of

__all__ = ["TABLES", "share"]

# Verdicts that have p-values.
_TESTED = ("Law", "Noise", "Simulator", "Agreement")
Entries = Sequence[Mapping[str, Any]]


@cache
def entries(what: str) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """Return what was measured, by case and number of systems."""
    found: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    lines = (FOLDER / f"trust/{what}.jsonl").read_text(encoding="utf-8").splitlines()
    for entry in map(json.loads, lines):
        found[entry["case"], entry["systems"]].append(entry)
    return dict(found)


@cache
def _cases() -> dict[str, dict[str, str]]:
    """Return the description of each case, by what was measured."""
    file = Path(__file__).parent / "trust_cases.json"
    return dict(json.loads(file.read_text(encoding="utf-8")))


def share(hits: int, count: int) -> str:
    """Return a share in per cent with its 95 % interval (Clopper and Pearson, 1934)."""
    if not count:
        return ""
    low = beta.ppf(0.025, hits, count - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, count - hits) if hits < count else 1.0
    return f"{100 * hits / count:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def _doubts(found: Entries, name: str) -> str:
    """Return the share of data sets in which a verdict is a doubt, or that it is not judged."""
    judged = [each for each in found if name in each["p_values"]]
    if not judged:
        return "not judged"
    return share(sum(name in _doubted(each) for each in judged), len(judged))


def _doubted(each: Mapping[str, Any]) -> set[str]:
    """Return the verdicts of a data set that are doubts, those of tests by their p-values."""
    others = {name for name, verdict in each["verdicts"].items() if verdict == "doubt"}
    p_values = each["p_values"]
    own = levels(p_values)
    return (others - set(_TESTED)) | {name for name, p in p_values.items() if p < own[name]}


def _any(found: Entries) -> str:
    return share(sum(bool(_doubted(each)) for each in found), len(found))


def _answered(found: Entries) -> list[Mapping[str, Any]]:
    return [each for each in found if "verdicts" in each]


def sizes() -> Iterator[str]:
    """Yield the share of studies of a right model that each verdict doubts."""
    rows = []
    for (case, systems), every in sorted(entries("verdicts").items()):
        if case not in _cases()["right"]:
            continue
        found = _answered(every)
        smallest = [
            min(p for name, p in each["p_values"].items() if name != "Agreement")
            for each in found
            if each["p_values"]
        ]
        rows.append(
            [
                _cases()["right"][case],
                f"{systems:,}",
                str(len(every)),
                share(sum(p < LEVEL for p in smallest), len(smallest)),
                *(_doubts(found, name) for name in _TESTED),
                _any(found),
            ]
        )
    heads = ["model", "systems", "data sets", "law, noise or simulator"]
    heads += [name.lower() for name in _TESTED]
    yield from table([*heads, "any doubt"], rows)
    yield from ("", _told("verdicts"))


def power() -> Iterator[str]:
    """Yield the share of studies of a wrong model with a doubt, and with the right cause."""
    rows = []
    for mistake, described in _cases()["mistakes"].items():
        for (case, systems), every in sorted(entries("verdicts").items()):
            if case != mistake:
                continue
            found, pattern = _answered(every), re.compile(_cases()["causes"][case])
            right = sum(any(map(pattern.search, each["findings"].values())) for each in found)
            told = [", ".join(sorted(_doubted(each))) for each in found if _doubted(each)]
            by = ", ".join(f"{name} ({n})" for name, n in Counter(told).most_common(2))
            row = [described, f"{systems:,}", str(len(every)), _any(found)]
            rows.append([*row, share(right, len(found)), by])
    heads = ["mistake", "systems", "data sets", "any doubt", "right cause", "usual verdicts"]
    yield from table(heads, rows)
    yield from ("", _told("verdicts"))


def coverage() -> Iterator[str]:
    """Yield the share of 95 % intervals that hold the truth."""
    shares: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for (case, systems), every in sorted(entries("coverage").items()):
        found = [each["holds"] for each in every if "holds" in each]
        for name in dict.fromkeys(name for each in found for name in each):
            row = _cases()["coverage"][case], name.replace("_", " ")
            known = [each[name] for each in found if name in each]
            shares[row][systems] = share(sum(known), len(known))
    counts = sorted({systems for _, systems in entries("coverage")})
    yield from table(
        ["model", "parameter", *(f"{count:,} systems" for count in counts)],
        [[*row, *(cells.get(count, "") for count in counts)] for row, cells in shares.items()],
    )
    yield from ("", _told("coverage"))


def _told(what: str) -> str:
    """Return a sentence about where it was measured, and how many data sets had no answer."""
    every = [each for group in entries(what).values() for each in group]
    ended = sum("ended" in each for each in every)
    counts = np.unique([len(group) for group in entries(what).values()])
    sets = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    where = [Numbers({}, e["commit"], e["cores"], e["processor"], None) for e in every]
    return f"*{sets} data sets each, {ended} of all ended without an answer.* {told_of(where)}"


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "sizes": sizes,
    "power": power,
    "coverage": coverage,
}
