"""Recognition of long and wide tables, and of the use of each column.

A table is long if one of its columns repeats, as the systems do, and another one increases within
each of them and starts again, as times do. What the table does not decide is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from popinv.errors import DataError, nearest
from popinv.observation_files.column_traits import (
    ColumnTraits,
    column_traits,
    constant_within,
    counts_within,
    increases_within,
)
from popinv.observation_files.column_uses import (
    Asked,
    ColumnUse,
    Given,
    Layout,
    Use,
    refuse_to_ask,
)
from popinv.sections.tables import is_number

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["layout_of"]

# Chance, for one file, at which columns of random numbers would look like systems and times.
_CHANCE = 0.01
# A column with at most so many different numbers, and so many rows for each, may be a design.
_FEW = 8
# It precedes the number of a column that has the name of another one.
_PLACE = " (column "


def layout_of(
    frame: pd.DataFrame, given: Given | None = None, ask: Asked = refuse_to_ask
) -> Layout:
    """Return the layout of a table.

    Parameters
    ----------
    frame : DataFrame
        As :func:`popinv.sections.tables.read_frame` returns it.
    given : Given, optional
        What the user states.
    ask : callable
        It is asked for what cannot be known, and returns one of the answers.

    Raises
    ------
    DataError
        If a column that the user names is not there or cannot be what it is said to be, or from
        ``ask``. The message does not name the file.
    """
    given = given or Given()
    columns = column_traits(frame)
    for i, each in enumerate(columns):
        if each.name in [other.name for other in columns[:i]]:
            columns[i] = replace(each, name=f"{each.name}{_PLACE}{i + 1})")
    return _Recognition(columns, given, ask).layout()


@dataclass
class _Recognition:
    """The columns of a table, and the use of those that are known so far."""

    columns: list[ColumnTraits]
    given: Given
    ask: Asked
    uses: dict[str, tuple[Use, str]] = field(default_factory=dict)

    def layout(self) -> Layout:
        """Return the layout, and the use of every column."""
        for use in ("system", "time", "label", "value"):
            if (name := getattr(self.given, use)) is not None:
                self._check(name, f"--{use}")
                self.uses[name] = (use, f"as --{use} says")
        first = self.columns[0]
        if len(self.columns) > 1 and first.counts_rows and first.name not in self.uses:
            self.uses[first.name] = ("ignored", "it counts the rows")
        long = self._is_long()
        if long:
            self._long()
        else:
            self._wide()
        uses = [ColumnUse(each.name, *self.uses[each.name]) for each in self.columns]
        return Layout(long, tuple(uses))

    def _check(self, name: str, option: str) -> None:
        names = [each.name for each in self.columns]
        if name not in names:
            raise DataError(
                f"there is no column '{name}' ({option}); the columns are {', '.join(names)}."
                + nearest(name, names)
            )
        if name in self.uses:
            raise DataError(f"{option} is '{name}', which is taken by another option")
        if self.given.layout == "wide" and option != "--system":
            raise DataError(f"{option} names a column of a long table, but --layout is wide")

    def _free(self) -> list[ColumnTraits]:
        return [each for each in self.columns if each.name not in self.uses]

    def _used(self, use: Use) -> ColumnTraits | None:
        return next((c for c in self.columns if self.uses.get(c.name, ("",))[0] == use), None)

    def _take(self, column: ColumnTraits, use: Use, why: str) -> None:
        self.uses[column.name] = (use, why)

    # --- layout ---------------------------------------------------------------------------------

    def _is_long(self) -> bool:
        if self.given.layout is not None or self.given.long:
            return self.given.long
        system = self._used("system")
        if system is not None:
            return system.repeats
        if self._pairs():
            return True
        named = any(_differs(each) and each.numbers is None for each in self._free())
        suspects = [
            each
            for each in self._free()
            if each.repeats
            and not each.gaps
            and (each.named_like("system") or (each is self.columns[0] and _is_text(each)))
            and not named
        ]
        if not suspects:
            return False
        question = (
            f"The column '{suspects[0].name}' repeats, as the systems of a long table do, but no "
            "column increases within each of them as times do. Is each row one observation (long) "
            "or a system (wide)?"
        )
        return self.ask("--layout", question, ("long", "wide")) == "long"

    def _pairs(self) -> list[tuple[float, ColumnTraits, ColumnTraits]]:
        """Return the possible pairs of system and time, and how likely each is."""
        system, time = self._used("system"), self._used("time")
        systems = [system] if system else [c for c in self._free() if c.repeats and not c.gaps]
        found = []
        for first in systems:
            for second in [time] if time else self._free():
                if second is first or not self._is_time(second, first):
                    continue
                if not (system or time or self._is_evidence(first, second)):
                    continue
                if any(not constant_within(c, first) for c in self._values(first, second)):
                    found.append((_likelihood(first, second), first, second))
        return found

    def _is_time(self, time: ColumnTraits, system: ColumnTraits) -> bool:
        """Return whether times increase within systems, or within each quantity of a system."""
        if increases_within(time, system):
            return True
        labels = [self._used("label")] if self.given.label else self._labels(system, time)
        return any(label and increases_within(time, system, label) for label in labels)

    def _is_evidence(self, system: ColumnTraits, time: ColumnTraits) -> bool:
        """Return whether columns of chance would hardly look like systems and times."""
        if system.named_like("system") and time.named_like("time"):
            return True
        # Two numbers are as likely to fall as to rise.
        steps = len(system.codes) - len(system.levels)
        if 2.0**-steps * len(self.columns) ** 2 < _CHANCE:
            return True
        # All systems at the same times, sorted by system, are no chance.
        return system.runs and len(system.levels) * len(time.levels) == len(system.codes)

    def _labels(self, system: ColumnTraits, time: ColumnTraits | None) -> list[ColumnTraits]:
        return [
            each
            for each in self._free()
            if each.numbers is None
            and not each.gaps
            and each.repeats
            and each not in (system, time)
            and not constant_within(each, system)
        ]

    def _values(self, *taken: ColumnTraits) -> list[ColumnTraits]:
        return [
            each
            for each in self._free()
            if each.numbers is not None and not each.dates and each not in taken
        ]

    # --- long tables ----------------------------------------------------------------------------

    def _long(self) -> None:
        system, time = self._system_and_time()
        if not self.given.label:
            self._find_label(system, time)
        for each in self._free():
            if constant_within(each, system):
                self._take(each, *_known(each))
            elif counts_within(each, system):
                self._take(each, "ignored", "it counts the rows of each system")
        if not self.given.value:
            self._find_value()
        for each in self._free():
            what = "text" if each.numbers is None else "numbers"
            self._take(each, "ignored", f"{what} that differ within systems; one column is read")

    def _system_and_time(self) -> tuple[ColumnTraits, ColumnTraits | None]:
        pairs = self._pairs()
        system, time = self._used("system"), self._used("time")
        if pairs:
            best = max(score for score, _, _ in pairs)
            likely = [(first, second) for score, first, second in pairs if score == best]
            likely = _one_of_equal_systems(likely)
            names = list(dict.fromkeys(first.name for first, _ in likely))
            if len(names) > 1:
                name = self.ask("--system", "Which column names the systems?", names)
                likely = [pair for pair in likely if pair[0].name == name]
            times = [second.name for _, second in likely]
            if len(times) > 1:
                chosen = self.ask("--time", "Which column holds the times?", times)
                likely = [pair for pair in likely if pair[1].name == chosen]
            ((first, second),) = likely
            if system is None:
                self._take(first, "system", f"it repeats, and '{second.name}' increases within it")
            if time is None:
                words = "dates, read as days since the first" if second.dates else "numbers"
                self._take(second, "time", f"{words}; they increase within each '{first.name}'")
            return first, second
        if system is None:
            names = [each.name for each in self._free() if each.repeats and not each.gaps]
            if not names:
                raise DataError(
                    "no column repeats, so no system has several rows as in a long table; "
                    "--layout wide reads each row as a system"
                )
            likely_names = [
                c.name for c in self._free() if c.name in names and c.named_like("system")
            ]
            name = (
                likely_names[0]
                if len(likely_names) == 1
                else self.ask("--system", "Which column names the systems?", names)
            )
            system = next(each for each in self.columns if each.name == name)
            self._take(system, "system", "it repeats")
        return system, time

    def _find_label(self, system: ColumnTraits, time: ColumnTraits | None) -> None:
        keys = (system,) if time is None else (system, time)
        if not _repeated(*keys):
            return
        fitting = [c for c in self._labels(system, time) if not _repeated(*keys, c)]
        if len(fitting) > 1:
            question = "Which column tells the quantities apart?"
            name = self.ask("--label", question, [each.name for each in fitting])
            fitting = [each for each in fitting if each.name == name]
        if fitting:
            self._take(fitting[0], "label", "it tells rows of one system and time apart")
            return
        when = "no column of times is known" if time is None else f"of one '{time.name}'"
        raise DataError(
            f"systems ('{system.name}') have several rows "
            + ("and " if time is None else "")
            + f"{when}, and no column of text tells them apart; state --time or --label, or "
            "--layout wide if each row is a system"
        )

    def _find_value(self) -> None:
        values = self._values()
        if not values:
            raise DataError("no column of numbers is left for the values; state --value")
        usual = [each for each in values if each.named_like("value")]
        chosen, why = values[0], "the one column of numbers that is left"
        if len(values) > 1:
            why = "it is named as values often are"
            if len(usual) == 1:
                chosen = usual[0]
            else:
                question = "Which column holds the observed values?"
                name = self.ask("--value", question, [each.name for each in values])
                chosen, why = next(c for c in values if c.name == name), "as asked"
        self._take(chosen, "value", why)

    # --- wide tables ----------------------------------------------------------------------------

    def _wide(self) -> None:
        if self._used("system") is None:
            self._find_names()
        free = self._free()
        placed = [each.name for each in free if is_number(each.name.split(_PLACE)[0])]
        for each in free:
            few = len(each.levels) <= min(_FEW, max(2, len(each.codes) / _FEW))
            if each.numbers is None or each.dates:
                self._take(each, *_known(each))
            elif len(placed) > 1 and each.name not in placed:
                use, why = _known(each)
                self._take(each, use, f"{why}, but named unlike the places or times")
            elif few:
                why = f"numbers, of which {len(each.levels)} are different; design or covariate?"
                self._take(each, "observed", why)
            else:
                self._take(each, "observed", "numbers")
        if not any(use == "observed" for use, _ in self.uses.values()):
            raise DataError("no column of numbers is left for the observations")

    def _find_names(self) -> None:
        first = self.columns[0]
        if self.uses.get(first.name, ("",))[0] == "ignored" and first.name:
            self._take(first, "system", "it counts the systems")
            return
        if _is_text(first) and not first.repeats and len(first.levels) > 1:
            self._take(first, "system", "text in the first column")
            return
        for each in self._free():
            if _differs(each) and each.numbers is None:
                self._take(each, "system", "text that differs in every row")
                return
            if _differs(each) and each.whole and each.named_like("system"):
                self._take(each, "system", "whole numbers that differ in every row, and its name")
                return


def _is_text(column: ColumnTraits) -> bool:
    return column.numbers is None and column.gaps < len(column.codes)


def _differs(column: ColumnTraits) -> bool:
    """Return whether a column is different in every row."""
    return len(column.levels) == len(column.codes) > 1 and not column.gaps


def _likelihood(system: ColumnTraits, time: ColumnTraits) -> float:
    """Return how likely two columns are system and time, by their names and forms."""
    names = 2 * system.named_like("system") - 3 * system.named_like("time")
    names += 2 * time.named_like("time") - 3 * time.named_like("system")
    shared = 0.0
    if time.numbers is not None:
        # Times are often the same in several systems.
        counts = np.bincount(time.codes)
        shared = 0.5 * bool((counts > 1).mean() > 0.5)
    form = (system.numbers is None) + 2 * time.dates - 2 * (not _is_name(system))
    # Most files are sorted by system, and have more systems than times of each.
    form += system.runs + (len(system.levels) >= int(np.bincount(system.codes).max()))
    counter = counts_within(time, system) * (0.75 if time.named_like("time") else 1.5)
    return names + form + shared - counter


def _is_name(column: ColumnTraits) -> bool:
    return column.numbers is None or column.whole


def _one_of_equal_systems(
    pairs: list[tuple[ColumnTraits, ColumnTraits]],
) -> list[tuple[ColumnTraits, ColumnTraits]]:
    """Return the pairs of the first system, where all systems divide the rows alike."""
    first = pairs[0][0]
    same = all(np.array_equal(system.codes, first.codes) for system, _ in pairs)
    return [pair for pair in pairs if pair[0] is first] if same else pairs


def _repeated(*columns: ColumnTraits) -> bool:
    """Return whether several rows hold the same cells."""
    keys = np.column_stack([each.codes for each in columns])
    return len(np.unique(keys, axis=0)) < len(keys)


def _known(column: ColumnTraits) -> tuple[Use, str]:
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
