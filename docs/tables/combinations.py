r"""What can be stated of systems together, and what can be asked of it: the cells of two tables.

The levels are the configuration's own kinds and keys. A cell is refused if a study that states it
is, with the reason that the study's owner reads. Every other cell must have a test; the file of
those that have passed is written by

    make combinations

A use is asked of every pair of levels, and the densities, on which all uses rest, of all levels
together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple, get_args

from popinv.config.evidence import Evidence
from popinv.config.loading import load
from popinv.config.numerics import Baseline
from popinv.errors import ConfigError
from popinv.methods.registry import METHODS
from popinv.population.kinds import Noise
from popinv.population.noise.section import Errors
from popinv.population.sections import SyntheticObservations
from tables.cells import line

FILE = Path(__file__).parent / "data" / "combinations.json"


def _literals(section: Any, key: str) -> tuple[str, ...]:
    return get_args(section.model_fields[key].annotation)


NOISES = tuple(_literals(each, "kind")[0] for each in get_args(get_args(Noise)[0]))
# The first tails are the normal ones.
ERRORS = (*_literals(Errors, "grows"), *_literals(Errors, "tails")[1:])
KNOWN = ("alike", "design", "covariates", "design and covariates")
# A value that is censored below and known not to lie below another one lies in an interval.
INTERVAL = "between two values"
LIMITS = (
    *(key for key in SyntheticObservations.model_fields if key.startswith("censored_")),
    INTERVAL,
)
SEEN = ("complete", "gaps", *LIMITS)
REPLICATES = ("1", "several")
EVIDENCE = tuple(key for key, field in Evidence.model_fields.items() if field.default in ([], 0))
USES = {
    **{
        name: {"downstream": {name: {}}}
        for name, record in METHODS.items()
        if record.package.startswith("popinv.")
    },
    **{name: {"assessment": {"baselines": [name]}} for name in get_args(Baseline)},
    **{name: {"evidence": {name: 2}} for name in EVIDENCE},
    "comparison of models": {},
}
for name in ("system_counts", "design_counts"):
    USES[name] = {"evidence": {name: [40, 80, 160]}}


class Cell(NamedTuple):
    """Levels that are stated together."""

    noise: str
    errors: str
    known: str
    seen: str
    replicates: str

    def __str__(self) -> str:
        return ", ".join(self)

    @classmethod
    def of(cls, text: str) -> Cell:
        """Return the cell of a text."""
        return cls(*text.split(", "))


CELLS = tuple(Cell(*levels) for levels in product(NOISES, ERRORS, KNOWN, SEEN, REPLICATES))
_SPREAD = {name: {"mean": 0.0, "standard_deviation": 0.5} for name in ("level", "slope")}


def study_of(cell: Cell) -> dict[str, Any]:
    """Return a study that states the levels of a cell, as a configuration holds it."""
    noise: dict[str, Any] = {"kind": cell.noise}
    if cell.errors in _literals(Errors, "grows"):
        noise["errors"] = {"grows": cell.errors}
    else:
        noise["errors"] = {"tails": cell.errors}
    dosed, aged = "design" in cell.known, "covariates" in cell.known
    forward = {
        "kind": "python",
        "function": "simulator:solve",
        "parameters": list(_SPREAD),
        "design": ["dose"] if dosed else [],
        # Two quantities at two times.
        "observations": {"labels": ["first", "second"], "times": [0.0, 1.0]},
    }
    law: dict[str, Any] = {"kind": "normal", "start": _SPREAD}
    if aged:
        law["covariates"] = {"slope": ["age"]}
    several = cell.replicates != "1"
    if cell.seen == "gaps":
        observations: dict[str, Any] = {"file": "systems.csv", "missing": "mask"}
        if several:
            observations |= {"system_column": "system", "replicates": "rows"}
    else:
        known = {"dose": {"uniform": [1.0, 2.0]}} if dosed else {}
        known |= {"age": {"normal": [0.0, 1.0]}} if aged else {}
        observations = {"known": known, "replicates": 2 if several else 1, "truth": {}}
        if cell.seen == INTERVAL:
            observations |= {"censored_below": 1.0, "not_below": 0.0}
        elif cell.seen in LIMITS:
            observations[cell.seen] = 1.0
    return {"forward": forward, "law": law, "noise": noise, "observations": observations}


@cache
def start_of_noise(noise: str, errors: str) -> dict[str, Any]:
    """Return the start of a noise, which is as good a truth as any."""
    study = study_of(Cell(noise, errors, "alike", "gaps", "1"))
    values: dict[str, Any] = load({"studies": {"mine": study}}).studies["mine"].noise.start_values()
    return values


def _problems(study: dict[str, Any]) -> str:
    try:
        load({"studies": {"mine": study}})
    except ConfigError as error:
        return str(error)
    return ""


@cache
def reason(cell: Cell, use: str | None = None) -> str:
    """Return why a study of a cell, or what is asked of it, is refused; "" if it is not."""
    study = study_of(cell)
    if "truth" in study["observations"]:
        truth = {"law": dict(_SPREAD), "noise": start_of_noise(cell.noise, cell.errors)}
        if "covariates" in cell.known:
            truth["law"]["slope_age_coefficient"] = 0.1
        study["observations"]["truth"] = truth
    told = _problems({**study, **(USES[use] if use else {})})
    # The reason of each problem follows its key.
    found = re.findall(r"^ {6,}(.*)$", told, re.MULTILINE)
    return found[0].replace(f"of kind '{cell.noise}'", "of this kind") if found else ""


@cache
def pairs(cell: Cell) -> frozenset[tuple[tuple[str, str], ...]]:
    """Return all pairs of levels of a cell, each level with its field."""
    return frozenset(combinations(zip(Cell._fields, cell, strict=True), 2))


@cache
def covering(use: str | None = None) -> tuple[Cell, ...]:
    """Return cells that a use takes, such that each pair of levels that it takes is in one."""
    chosen = [] if use is None else [cell for cell in covering() if not reason(cell, use)]
    wanted = set().union(*map(pairs, CELLS if use is None else covering()))
    left = wanted.difference(*map(pairs, chosen))
    rest = [cell for cell in CELLS if pairs(cell) & left]
    while rest:
        best = max(rest, key=lambda cell: len(pairs(cell) & left))
        # A study is made for the cells alone that matter.
        if not (reason(best) or reason(best, use)):
            chosen.append(best)
            left -= pairs(best)
        rest = [cell for cell in rest if cell != best and pairs(cell) & left]
    return tuple(chosen)


def kept() -> dict[str, list[str]]:
    """Return the cells that have passed: of the densities (``stated``), and of each use."""
    content: dict[str, list[str]] = json.loads(FILE.read_text(encoding="utf-8"))
    return content


def _passed() -> dict[str, set[Cell]]:
    return {name: set(map(Cell.of, each)) for name, each in kept().items()}


def empty() -> list[str]:
    """Return what is neither tested nor refused."""
    passed = _passed()
    lost = [f"stated: {c}" for c in CELLS if not (c in passed["stated"] or reason(c))]
    for use in USES:
        seen = set().union(*map(pairs, passed.get(use, ())))
        wanted = set().union(*map(pairs, covering(use)))
        lost += [f"{use}: {one[0][1]} with {one[1][1]}" for one in sorted(wanted - seen)]
    return lost


class _Notes:
    """The reasons of a table, numbered in the order of their first cells."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def __call__(self, why: str) -> str:
        if why not in self.reasons:
            self.reasons.append(why)
        return f"no [{self.reasons.index(why) + 1}]"

    def lines(self) -> Iterator[str]:
        yield ""
        yield from (f"{i}. {why}" for i, why in enumerate(self.reasons, 1))


def stated() -> Iterator[str]:
    """Yield the table of noise, errors and what is seen of systems."""
    passed, note = _passed()["stated"], _Notes()
    yield line(["noise", "errors", *map(_told, SEEN)])
    yield line(["---"] * (2 + len(SEEN)))
    for noise, errors in product(NOISES, ERRORS):
        told = []
        for seen in SEEN:
            own = [cell for cell in CELLS if (*cell[:2], cell.seen) == (noise, errors, seen)]
            told.append(_counted(own, passed, note, [reason(c) for c in own if c not in passed]))
        yield line([f"`{noise}`", errors, *told])
    yield from note.lines()


def asked() -> Iterator[str]:
    """Yield the table of uses and levels."""
    passed, notes = _passed(), _Notes()
    yield line(["stated", *map(_told, USES)])
    yield line(["---"] * (1 + len(USES)))
    for field, level in ((i, level) for i, each in enumerate(_LEVELS) for level in each):
        told = []
        for use in USES:
            cells = [cell for cell in CELLS if cell[field] == level]
            covered = set().union(*map(pairs, passed[use]))
            # A pair that no tested cell has is one that is refused.
            open_cells = [cell for cell in cells if pairs(cell) - covered and not reason(cell)]
            whys = [reason(cell, use) for cell in open_cells]
            told.append(_counted(cells, passed[use], notes, whys))
        yield line([_told(level), *told])
    yield from notes.lines()


def _counted(cells: Sequence[Cell], passed: set[Cell], note: _Notes, whys: Sequence[str]) -> str:
    """Return what is told of some cells: how many are tested, and why others are refused."""
    count = sum(cell in passed for cell in cells)
    told = [f"{count} tested"] if count else []
    return "; ".join([*told, *(note(why) for why in dict.fromkeys(whys) if why)])


_LEVELS = NOISES, ERRORS, KNOWN, SEEN, REPLICATES


def _told(level: str) -> str:
    names = {"1": "one replicate", "several": "several replicates", "alike": "systems alike"}
    return names.get(level, level.replace("_", " "))


TABLES = {"stated": stated, "asked": asked}
