"""Recognition of long and wide tables, and of the use of each column.

A table is long if one of its columns repeats, as the systems do, and another one increases within
each of them and starts again, as times do. What the table does not decide is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from popinv.errors import DataError, nearest
from popinv.forward.inputs.dosing import is_compartment, is_of_dosing
from popinv.observation_files.columns import (
    Asked,
    ColumnTraits,
    ColumnUse,
    Given,
    Layout,
    Use,
    column_traits,
    constant_within,
    counts_within,
    differs,
    increases_within,
    is_name,
    is_text,
    known_use,
    likelihood,
    may_repeat,
    one_of_equal_systems,
    refuse_to_ask,
    repeated,
)
from popinv.observation_files.doubtful_cells import (
    dose_rows,
    limits_in_cells,
    marked_cells,
    mixed_cells,
    other_dates,
    systems_with_gaps,
    title_above,
    words_for_text,
)
from popinv.observation_files.level_columns import FoundLevels, find_levels
from popinv.sections.tables import compact_times, is_number

if TYPE_CHECKING:
    import pandas as pd


ROWS_OR_NONE = ("rows", "none")
"""Possible replicates, where no column distinguishes them."""

# Chance, for one file, at which columns of random numbers would look like systems and times.
_CHANCE = 0.01
# A column with at most this many different numbers, and this many rows for each, may be a design.
_FEW = 8
# It precedes the number of a column that has the name of another one.
_PLACE = " (column "
_DOSES = "doses at times of their own"
_HOW = "it tells how doses are given"
_DIFFER = "numbers that differ within systems; one column is read"
_TEXT_DIFFERS = "text that differs within systems; one column is read"
DOSE_OF_SYSTEM = "the dose of each system"
"""Why a column is a known quantity that the simulator receives."""


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
        It answers what cannot be known, with one of the given answers.

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


def _any_number(column: ColumnTraits) -> bool:
    """Return whether a column holds a number other than zero."""
    return column.numbers is not None and bool(np.any(np.nan_to_num(column.numbers)))


@dataclass
class _Recognition:
    """The columns of a table, and the use of those that are known so far."""

    columns: list[ColumnTraits]
    given: Given
    ask: Asked
    uses: dict[str, tuple[Use, str]] = field(default_factory=dict)

    def layout(self) -> Layout:
        """Return the layout, and the use of every column."""
        for use in ("system", "time", "label", "value", "replicate"):
            name = getattr(self.given, use)
            if name is not None and not (use == "replicate" and name in ROWS_OR_NONE):
                self._check(name, f"--{use}")
                self.uses[name] = (use, f"as --{use} says")
        first = self.columns[0]
        if len(self.columns) > 1 and first.counts_rows and first.name not in self.uses:
            self.uses[first.name] = ("ignored", "it counts the rows")
        self._find_replicate()
        self._refuse_doubtful()
        every, before = self.columns, dict(self.uses)
        doses = None if self.given.layout == "wide" else dose_rows(every)
        if doses is not None:
            self._set_doses_aside(doses)
        if (found := find_levels(self._free_or_stated())) and self._agrees(found):
            return self._with_levels(found, 0 if doses is None else int(doses.sum()))
        if long := self._is_long():
            self._long()
            if doses is not None:
                self._use_doses(every, doses)
            else:
                self._find_doses_beside_values()
        else:
            if doses is not None:
                self.columns, self.uses, doses = every, before, None
            self._wide()
        uses = [ColumnUse(each.name, *self.uses[each.name]) for each in self.columns]
        count = 0 if doses is None else int(doses.sum())
        return Layout(long, tuple(uses), self.given.replicate == "rows", count)

    def _free_or_stated(self) -> list[ColumnTraits]:
        """Return the columns, without those whose own look tells that they are something else."""
        stated = (self.given.system, self.given.time, self.given.value)
        return [each for each in self.columns if each.name not in self.uses or each.name in stated]

    def _agrees(self, found: FoundLevels) -> bool:
        """Return whether the levels go with all that the user states."""
        if self._used("replicate") is not None:
            return False
        like = Given("long", found.names[0], found.time, None, found.value)
        return all(
            said is None or said == getattr(like, name) for name, said in vars(self.given).items()
        )

    def _with_levels(self, found: FoundLevels, doses: int) -> Layout:
        """Return the layout of a long table whose columns name levels."""
        outer, *inner = found.names
        for each in self.columns:
            if each.name in self.uses:
                continue
            if each.name == outer:
                self._take(each, "system", found.why)
            elif each.name in inner:
                self._take(each, "level", "as above" if found.crossed else f"within '{outer}'")
            elif each.name == found.time:
                self._take(each, "time", "numbers; they increase within each member")
            elif each.name == found.value:
                self._take(each, "value", "the one column of numbers that is left")
            else:
                self._take(each, *known_use(each))
        uses = [ColumnUse(each.name, *self.uses[each.name]) for each in self.columns]
        return Layout(
            True,
            tuple(uses),
            rows_are_replicates=found.replicates,
            doses=doses,
            levels=found.names,
            crossed=found.crossed,
        )

    def _set_doses_aside(self, doses: np.ndarray) -> None:
        """Leave the rows of doses (n,) out, and the columns that tell of them."""
        self.columns = [each.of_rows(~doses) for each in self.columns]
        for each in self._free():
            if each.named_like("event"):
                self._take(each, "ignored", "it marks the rows of doses")
            elif each.named_like("dose") and not _any_number(each):
                self._take(each, "ignored", _DOSES)
            elif is_of_dosing(each.name):
                self._take(each, "ignored", _HOW)

    def _use_doses(self, every: list[ColumnTraits], doses: np.ndarray) -> None:
        """Take the amounts for inputs over time, or for known: one bolus of each system."""
        system, time = (
            next((each for each in every if self.uses[each.name][0] == use), None)
            for use in ("system", "time")
        )
        assert system is not None
        how = [each for each in every if self.uses[each.name] == ("ignored", _HOW)]
        once = not repeated(system.of_rows(doses))
        once &= not any(_any_number(each) for each in how if not is_compartment(each.name))
        if time is not None and time.numbers is not None:
            once &= np.ptp(time.numbers[doses]) == 0
        for each in every:
            if self.uses[each.name] != ("ignored", _DOSES) or not _any_number(each):
                continue
            if once and len(system.of_rows(doses).levels) == len(system.levels):
                self._take(each, "known", DOSE_OF_SYSTEM)
            elif self._used("dose") is None:
                self._take_inputs(each, how)

    def _find_doses_beside_values(self) -> None:
        """Take amounts that stand in rows with a value for inputs over time.

        Their name tells, and that not every row has one, or that a rate stands beside them.
        """
        if self._used("time") is None:
            return
        differ = [c for c in self.columns if self.uses[c.name] == ("ignored", _DIFFER)]
        how = [each for each in differ if is_of_dosing(each.name)]
        for each in differ:
            assert each.numbers is not None
            held = np.nan_to_num(each.numbers)
            doses = each.named_like("dose") and (held >= 0).all() and (held > 0).any()
            if doses and (how or (held == 0).any()):
                self._take_inputs(each, how)
                return

    def _take_inputs(self, dose: ColumnTraits, how: Sequence[ColumnTraits]) -> None:
        """Take a column of amounts for inputs over time, with the columns that tell how."""
        self._take(dose, "dose", _DOSES)
        for each in how:
            self._take(each, "dosing", _HOW)

    def _refuse_doubtful(self) -> None:
        """Refuse columns of numbers with some text in them."""
        if title_above(each.name.split(_PLACE)[0] for each in self.columns):
            raise DataError(
                "the first line leaves most columns without a name, as a title does; the first "
                "line must hold the names of the columns, so delete the lines above them"
            )
        if told := limits_in_cells(self._free()):
            raise DataError(told)
        for each in self._free():
            if each.named_like("time") and (told := compact_times(each.levels)):
                raise DataError(f"the column '{each.name}' of times holds {told}")
            if told := mixed_cells(each):
                raise DataError(
                    f"{told}. Write numbers there, leave these cells empty if the values are "
                    "missing, or remove the column. A value below a detection limit is not a "
                    "missing one: to leave it out biases the answer"
                )
            if told := marked_cells(each):
                raise DataError(
                    f"{told} If the column names the systems, state --system; if it holds "
                    "categories or remarks, put a word before each number, or remove it"
                )

    def _find_replicate(self) -> None:
        """Take the column whose name says that it tells the replicates of a system apart."""
        if self.given.replicate is not None:
            return
        for each in self._free():
            if each.named_like("replicate") and not each.gaps and len(each.levels) > 1:
                self._take(each, "replicate", "its name")
                return

    def _ask_replicate(self) -> None:
        """Ask whether a column such as ``run`` holds replicates, where it could hold times."""
        if self.given.replicate is not None or self.given.time is not None:
            return
        if self._used("replicate") is not None:
            return
        best = max(self._pairs(), key=lambda pair: pair[0], default=None)
        if best is None:
            return
        occasions = [each for each in best[1:] if each.named_like("occasion")]
        if len(occasions) != 1:
            return
        (time,) = occasions
        system = best[1] if time is best[2] else best[2]
        question = (
            f"The column '{time.name}' tells the rows of each '{system.name}' apart. Does it count "
            f"replicates, which have the same noise-free value ({time.name}), or not (none)?"
        )
        if self.ask("--replicate", question, (time.name, "none")) == time.name:
            self._take(time, "replicate", "your answer")

    def _check(self, name: str, option: str) -> None:
        names = [each.name for each in self.columns]
        if name not in names:
            raise DataError(
                f"there is no column '{name}' ({option}); the columns are {', '.join(names)}."
                + nearest(name, names)
            )
        if name in self.uses:
            raise DataError(f"{option} is '{name}', which is taken by another option")
        if self.given.layout == "wide" and option not in ("--system", "--replicate"):
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
        self._ask_replicate()
        if self._pairs():
            return True
        # Each row is then a replicate of a system.
        if self._used("replicate") or self.given.replicate == "rows":
            return False
        if told := systems_with_gaps(self._free()):
            raise DataError(told)
        system = self._used("system")
        if system is not None and system.repeats and self.given.replicate is None:
            labelled = any(not repeated(system, label) for label in self._labels(system, None))
            return labelled or self._ask_layout(system)
        if system is not None:
            return False
        named = any(differs(each) and each.numbers is None for each in self._free())
        suspects = [
            each for each in self._free() if may_repeat(each, each is self.columns[0]) and not named
        ]
        return bool(suspects) and self._ask_layout(suspects[0])

    def _ask_layout(self, system: ColumnTraits) -> bool:
        """Ask what the rows are where systems seem to repeat; return whether the table is long."""
        question = (
            f"The column '{system.name}' repeats, as the systems of a long table do, but no column "
            "increases within each of them as times do. Is each row one observation (long), a "
            "system (wide), or one more observation vector of its system (replicates)?"
            + other_dates(self.columns)
        )
        answer = self.ask("--layout", question, ("long", "wide", "replicates"))
        if answer == "replicates":
            self._take_rows(system)
        return answer == "long"

    def _take_rows(self, system: ColumnTraits) -> None:
        """Take the rows of a system for its replicates."""
        self.given = replace(self.given, replicate="rows")
        if self._used("system") is None:
            self._take(system, "system", "it repeats")

    def _pairs(self) -> list[tuple[float, ColumnTraits, ColumnTraits]]:
        """Return the possible pairs of system and time, and how likely each is."""
        system, time = self._used("system"), self._used("time")
        systems = [system] if system else [c for c in self._free() if c.repeats and not c.gaps]
        found = []
        for first in systems:
            for second in [time] if time else self._free():
                if second is first or not self._is_time(second, first):
                    continue
                if second is not time and second.named_like("system"):
                    continue
                if not (system or time or self._is_evidence(first, second)):
                    continue
                if any(not constant_within(c, first) for c in self._values(first, second)):
                    found.append((likelihood(first, second), first, second))
        return found

    def _is_time(self, time: ColumnTraits, system: ColumnTraits) -> bool:
        """Return whether times increase within systems, or within each quantity of a system."""
        replicate = self._used("replicate")
        if increases_within(time, system, *([replicate] if replicate else [])):
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
        self._find_limits()
        for each in self._free():
            if constant_within(each, system):
                self._take(each, *known_use(each))
            elif counts_within(each, system):
                self._take(each, "ignored", "it counts the rows of each system")
        if not self.given.value:
            self._find_value()
        for each in self._free():
            self._take(each, "ignored", _TEXT_DIFFERS if each.numbers is None else _DIFFER)

    def _system_and_time(self) -> tuple[ColumnTraits, ColumnTraits | None]:
        pairs = self._pairs()
        system, time = self._used("system"), self._used("time")
        if pairs:
            best = max(score for score, _, _ in pairs)
            likely = [(first, second) for score, first, second in pairs if score == best]
            likely = one_of_equal_systems(likely)
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
        keys = tuple(each for each in (system, time, self._used("replicate")) if each)
        if not repeated(*keys) or self.given.replicate == "rows":
            return
        fitting = [c for c in self._labels(system, time) if not repeated(*keys, c)]
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
            + f"{when}, and no column of text tells them apart; state --time or --label. State "
            "--replicate COLUMN, or --replicate rows, if they are replicates with the same "
            "parameters, or --layout wide if each row is a system"
        )

    def _find_limits(self) -> None:
        """Take columns that mark censored values, or have their limits, by name and numbers."""
        found = {
            use: each
            for use in ("censoring", "limit", "lower_limit")
            for each in self._values()
            if each.named_like(use) and not each.named_like("value")
        }
        marks = found.get("censoring")
        if marks and set(marks.levels) <= {"-1", "0", "1"}:
            self._take(marks, "censoring", "1 marks values below a limit, -1 those above")
            if limit := found.get("limit"):
                self._take(limit, "limit", "what censored values are not beyond, by its name")
        elif limit := found.get("lower_limit"):
            self._take(limit, "lower_limit", "limits of quantification, by its name")

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
                chosen, why = next(c for c in values if c.name == name), "your answer"
        self._take(chosen, "value", why)

    # --- wide tables ----------------------------------------------------------------------------

    def _wide(self) -> None:
        replicated = self._used("replicate") is not None or self.given.replicate == "rows"
        if self._used("system") is None:
            if replicated:
                self._find_repeated()
            else:
                self._find_names()
        system = self._used("system")
        if system is not None and not replicated and repeated(system):
            raise DataError(
                f"the column '{system.name}' names {len(system.levels)} systems in "
                f"{len(system.codes)} rows, but each row of a wide table is a system; state "
                "--replicate rows (or a column) if the rows of a system are replicates with the "
                "same parameters, or leave --system out"
            )
        free = self._free()
        placed = [each.name for each in free if is_number(each.name.split(_PLACE)[0])]
        for each in free:
            few = len(each.levels) <= min(_FEW, max(2, len(each.codes) / _FEW))
            if (
                each.numbers is None
                or each.dates
                or (replicated and system is not None and constant_within(each, system))
            ):
                self._take(each, *known_use(each))
            elif len(placed) > 1 and each.name not in placed:
                use, why = known_use(each)
                self._take(each, use, f"{why}, but named unlike the places or times")
            elif few:
                why = f"numbers, of which {len(each.levels)} are different; design or covariate?"
                self._take(each, "observed", why)
            else:
                self._take(each, "observed", "numbers")
        if not any(use == "observed" for use, _ in self.uses.values()):
            told = words_for_text(self.columns)
            raise DataError(f"no column of numbers is left for the observations{told}")

    def _find_repeated(self) -> None:
        """Take the column that names the systems, each of which may have several rows."""
        free = [each for each in self._free() if repeated(each) and not each.gaps]
        named = [each for each in free if each.named_like("system")]
        replicate = self._used("replicate")
        alone = [c for c in free if is_name(c) and not (replicate and repeated(c, replicate))]
        side_by_side = [each for each in alone if each.runs]
        likely = named or side_by_side or [each for each in alone if each.repeats] or alone
        if len(likely) == 1:
            why = "its name" if named else "it repeats"
            self._take(likely[0], "system", why)
            return
        names = [each.name for each in likely or free]
        if not names:
            raise DataError("no column repeats, so no system has several replicates")
        name = self.ask("--system", "Which column names the systems?", names)
        self._take(next(c for c in free if c.name == name), "system", "your answer")

    def _find_names(self) -> None:
        first = self.columns[0]
        if self.uses.get(first.name, ("",))[0] == "ignored" and first.name:
            self._take(first, "system", "it counts the systems")
            return
        if is_text(first) and not first.repeats and len(first.levels) > 1:
            self._take(first, "system", "text in the first column")
            return
        for each in self._free():
            if differs(each) and each.numbers is None:
                self._take(each, "system", "text that differs in every row")
                return
            if differs(each) and each.whole and each.named_like("system"):
                self._take(each, "system", "whole numbers that differ in every row, and its name")
                return
        for each in self._free():
            held = np.zeros(0) if each.numbers is None else each.numbers[np.isfinite(each.numbers)]
            whole = bool(np.all(held % 1 == 0)) and not each.repeats
            if each.gaps and each.named_like("system") and whole:
                raise DataError(
                    f"the column '{each.name}' seems to name the systems, but {each.gaps} of its "
                    f"{len(each.codes)} cells are empty; complete it, or give it another name if "
                    "it holds observations"
                )
