"""The columns of a table: what they hold, and clues to the use of each of them."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from popinv.errors import DataError
from popinv.sections.tables import is_dates, is_missing, times_of

Use = Literal[
    "system",
    "level",
    "replicate",
    "time",
    "label",
    "value",
    "censoring",
    "limit",
    "lower_limit",
    "dose",
    "dosing",
    "known",
    "observed",
    "ignored",
]
Asked = Callable[[str, str, Sequence[str]], str]
"""A question: an option of the command, the question in words, and the possible answers."""


@dataclass(frozen=True)
class ColumnUse:
    """The use of a column: a system's name, a time, a value, ..., and why it is thought so."""

    name: str
    use: Use
    why: str


@dataclass(frozen=True)
class Layout:
    """The layout of a table.

    Parameters
    ----------
    long : bool
        Whether each row is one observation; otherwise each row is a system.
    columns : tuple of ColumnUse
        In the order of the file.
    rows_are_replicates : bool
        Whether rows of the same system (and time and quantity) are replicates, without a column
        that tells them apart.
    doses : int
        Number of rows that are doses, and no observations.
    levels : tuple of str
        Columns that name levels at which parameters vary, from outer to inner; the first one names
        the systems.
    crossed : bool
        Whether the first two levels are crossed.
    """

    long: bool
    columns: tuple[ColumnUse, ...]
    rows_are_replicates: bool = False
    doses: int = 0
    levels: tuple[str, ...] = ()
    crossed: bool = False

    @property
    def members(self) -> list[str]:
        """The columns that together name whatever has parameters of its own."""
        system = self.named("system")
        return list(self.levels) or ([] if system is None else [system])

    @property
    def replicated(self) -> bool:
        """Whether a system may have several replicates."""
        return self.rows_are_replicates or self.named("replicate") is not None

    def named(self, use: Use) -> str | None:
        """Return the column of a use, or None."""
        return next((each.name for each in self.columns if each.use == use), None)


@dataclass(frozen=True)
class Given:
    """What the user states of a table.

    Parameters
    ----------
    layout : str, optional
        ``"long"`` or ``"wide"``.
    system, time, label, value : str, optional
        Names of columns.
    replicate : str, optional
        The name of a column; ``"rows"`` if rows of a system are its replicates; ``"none"``.
    """

    layout: str | None = None
    system: str | None = None
    time: str | None = None
    label: str | None = None
    value: str | None = None
    replicate: str | None = None

    @property
    def long(self) -> bool:
        """Whether the table is long by what is stated."""
        return self.layout == "long" or any((self.time, self.label, self.value))


def refuse_to_ask(option: str, question: str, answers: Sequence[str]) -> str:
    """Raise an error that says what has to be stated.

    Raises
    ------
    DataError
        With the question, the option that answers it, and the possible answers.
    """
    raise DataError(f"{question} State {option}: {', '.join(answers)}.")


# Usual names, in lower case and without marks.
_SYSTEMS = "id subject subjectid patient patientid person individual participant animal mouse rat"
_SYSTEMS += " chick tree plant plot site station catchment well specimen sample system unit case"
_SYSTEMS += " sensor device battery cell engine vehicle key name"
_TIMES = "time times t day days date dates datetime timestamp hour hours hr hrs h minute minutes"
_TIMES += " min mins second seconds sec s week weeks month months year years age visit step cycle"
_VALUES = "value values y dv obs observed observation observations measured measurement response"
_VALUES += " result reading concentration conc"
_REPLICATES = "replicate replicates rep reps repeat repeats repetition repl"
# They may be times as well.
_OCCASIONS = "run occasion trial session test measurement"
_CENSORING = "cens censored censoring blq bql bloq"
_LIMITS = "limit lim"
_LOWER_LIMITS = "lloq loq lod"
_EVENTS = "evid mdv"
_DOSES = "amt amount dose"
_QUANTITIES = "quantity quantities variable variables analyte dvid dvname signal channel output"
_QUANTITIES += " parameter measure type species compartment what label kind sensor"
_USUAL = {
    "system": _SYSTEMS,
    "time": _TIMES,
    "value": _VALUES,
    "replicate": _REPLICATES,
    "occasion": _OCCASIONS,
    "censoring": _CENSORING,
    "limit": _LIMITS,
    "lower_limit": _LOWER_LIMITS,
    "event": _EVENTS,
    "dose": _DOSES,
    "quantity": _QUANTITIES,
}


@dataclass(frozen=True)
class ColumnTraits:
    """The contents of a column.

    Parameters
    ----------
    numbers : ndarray of shape (n,), optional
        Its numbers, or its dates as days, NaN where missing; None for text.
    codes : ndarray of int, shape (n,)
        The number of each row's cell among the different cells.
    levels : tuple of str
        The different cells, in the order of the file.
    gaps : int
        Number of missing cells.
    """

    name: str
    numbers: np.ndarray | None
    dates: bool
    codes: np.ndarray
    levels: tuple[str, ...]
    gaps: int

    @property
    def repeats(self) -> bool:
        """True if it has several different cells, and fewer than two thirds as many as rows."""
        return 1 < len(self.levels) <= len(self.codes) / 1.5

    @property
    def whole(self) -> bool:
        """True if it holds whole numbers."""
        held = self.numbers
        return held is not None and not self.dates and bool(np.all(held % 1 == 0))

    @property
    def counts_rows(self) -> bool:
        """True if it holds 0, 1, 2, ... or 1, 2, 3, ..."""
        held = self.numbers
        if held is None or self.dates or len(held) < 2:
            return False
        return held[0] in (0, 1) and bool(np.all(np.diff(held) == 1))

    @property
    def runs(self) -> bool:
        """True if equal cells are side by side."""
        return int(np.count_nonzero(np.diff(self.codes))) == len(self.levels) - 1

    def named_like(self, use: str) -> bool:
        """Return whether its name is usual for a use.

        Parameters
        ----------
        use : {"system", "time", "value", "replicate", "occasion", "censoring", "limit", \
"lower_limit", "event", "dose", "quantity"}
        """
        usual = _USUAL[use].split()
        # A unit may follow, in brackets or after a mark.
        name = re.sub(r"[(\[].*", "", self.name).strip()
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
        parts = re.split(r"[^A-Za-z]+", words.lower())
        whole = "".join(parts)
        endings = {"system": ("id", "no", "nr"), "time": ("time", "date")}.get(use, ())
        return whole in usual or parts[0] in usual or (len(parts) > 1 and parts[-1] in endings)

    def of_rows(self, rows: np.ndarray) -> ColumnTraits:
        """Return the traits in some of the rows (n,), a Boolean mask."""
        cells = [self.levels[code] for code in self.codes[rows]]
        codes, levels = pd.factorize(np.array(cells, dtype=object))
        gaps = sum(map(is_missing, cells))
        held = None if self.numbers is None or gaps == len(cells) else self.numbers[rows]
        return replace(self, numbers=held, codes=codes, levels=tuple(levels), gaps=gaps)


def column_traits(frame: pd.DataFrame) -> list[ColumnTraits]:
    """Return the traits of each column of a table of text.

    Parameters
    ----------
    frame : DataFrame
        As :func:`popinv.sections.tables.read_frame` returns it.
    """
    found = []
    for place, name in enumerate(frame.columns):
        column = frame.iloc[:, [place]]
        cells = column.iloc[:, 0].tolist()
        gaps = sum(map(is_missing, cells))
        held: np.ndarray | None = None
        with contextlib.suppress(DataError):
            held = times_of(column, name) if gaps < len(cells) else None
        codes, levels = pd.factorize(column.iloc[:, 0])
        found.append(
            ColumnTraits(str(name), held, is_dates(cells), codes, tuple(map(str, levels)), gaps)
        )
    return found


def increases_within(time: ColumnTraits, *groups: ColumnTraits) -> bool:
    """Return whether numbers increase from row to row within each group, and start again.

    Numbers that increase over the whole table name or count its rows, so they do not.
    """
    held = time.numbers
    if held is None or time.gaps or np.all(np.diff(held) > 0):
        return False
    order, same = _by_group(groups)
    return bool(np.all(np.diff(held[order])[same] > 0))


def counts_within(column: ColumnTraits, *groups: ColumnTraits) -> bool:
    """Return whether a column counts the rows of each group."""
    held = column.numbers
    if held is None or column.gaps or column.dates:
        return False
    order, same = _by_group(groups)
    starts = held[order][np.concatenate([[True], ~same])]
    return bool(np.all(np.diff(held[order])[same] == 1) and set(starts) <= {0.0, 1.0})


def constant_within(column: ColumnTraits, *groups: ColumnTraits) -> bool:
    """Return whether a column holds one cell in each group."""
    order, same = _by_group(groups)
    return bool(np.all(np.diff(column.codes[order])[same] == 0))


def _by_group(groups: tuple[ColumnTraits, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows in order of their group, and which share it with the row before."""
    # The sort is stable: rows of a group keep their order.
    order = np.lexsort([group.codes for group in groups])
    steps = [np.diff(group.codes[order]) == 0 for group in groups]
    return order, np.logical_and.reduce(steps)


# Chance, for one file, at which a column of random numbers would look sorted by system.
_CHANCE = 0.001


def may_repeat(column: ColumnTraits, first: bool) -> bool:
    """Return whether a column seems to name systems, some of them several times."""
    if column.gaps or len(column.levels) < 2 or not repeated(column):
        return False
    if column.named_like("system") and is_name(column):
        return True
    return column.repeats and first and (is_text(column) or (is_name(column) and _sorted(column)))


def _sorted(column: ColumnTraits) -> bool:
    """Return whether equal cells are side by side, as in a file sorted by system, not by chance.

    Of ``n! / prod n_i!`` orders of n cells, ``L!`` have the n_i cells of each of L levels together.
    """
    counts = np.bincount(column.codes)
    orders = math.lgamma(len(column.codes) + 1) - sum(math.lgamma(n + 1) for n in counts)
    return column.runs and math.lgamma(len(counts) + 1) - orders < math.log(_CHANCE)


def is_text(column: ColumnTraits) -> bool:
    """Return whether a column holds text."""
    return column.numbers is None and column.gaps < len(column.codes)


def differs(column: ColumnTraits) -> bool:
    """Return whether a column is different in every row."""
    return len(column.levels) == len(column.codes) > 1 and not column.gaps


def likelihood(system: ColumnTraits, time: ColumnTraits) -> float:
    """Return how likely two columns are system and time, by their names and forms."""
    names = 2 * system.named_like("system") - 3 * system.named_like("time")
    names += 2 * time.named_like("time") - 3 * time.named_like("system")
    shared = 0.0
    if time.numbers is not None:
        # Times are often the same in several systems.
        counts = np.bincount(time.codes)
        shared = 0.5 * bool((counts > 1).mean() > 0.5)
    form = (system.numbers is None) + 2 * time.dates - 2 * (not is_name(system))
    # Most files are sorted by system, and have more systems than times of each.
    form += system.runs + (len(system.levels) >= int(np.bincount(system.codes).max()))
    counter = counts_within(time, system) * (0.75 if time.named_like("time") else 1.5)
    return names + form + shared - counter


def is_name(column: ColumnTraits) -> bool:
    """Return whether a column holds text or whole numbers, as names of systems are."""
    return column.numbers is None or column.whole


def one_of_equal_systems(
    pairs: list[tuple[ColumnTraits, ColumnTraits]],
) -> list[tuple[ColumnTraits, ColumnTraits]]:
    """Return the pairs of the first system, where all systems divide the rows alike."""
    first = pairs[0][0]
    same = all(np.array_equal(system.codes, first.codes) for system, _ in pairs)
    return [pair for pair in pairs if pair[0] is first] if same else pairs


def repeated(*columns: ColumnTraits) -> bool:
    """Return whether several rows hold the same cells."""
    keys = np.column_stack([each.codes for each in columns])
    return len(np.unique(keys, axis=0)) < len(keys)


def known_use(column: ColumnTraits) -> tuple[Use, str]:
    """Return the use of a column that is one value in each system."""
    if len(column.levels) < 2:
        return "ignored", "the same in all rows"
    if column.dates:
        return "ignored", "dates"
    if column.gaps:
        return "ignored", f"known of systems, but {column.gaps} cells are missing"
    if column.numbers is None:
        return "known", f"text with {len(column.levels)} different values"
    return "known", "numbers"
