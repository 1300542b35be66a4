"""What a file of observations decides of a new study, and what is said about the file."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap

import yaml

from popinv.errors import spanned
from popinv.observation_files.columns import Use
from popinv.observation_files.nominal_times import NominalTimes
from popinv.observation_files.survey import (
    MANY_TIMES,
    KnownColumn,
    Survey,
    name_and_unit,
)

_WIDE = "# A row for each system, a column for each entry of an observation."
_REPLICATES = "# A row for each replicate of a system, a column for each entry of an observation."
_LONG = "# A row for each observation."
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Categories and names that are shown.
_SHOWN = 6
_LONGEST_TIMES = 12


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(number: float) -> str:
    """Return all digits of a number, since it is compared with numbers of the file."""
    return f"{number:.0f}" if number.is_integer() and abs(number) < 1e15 else repr(number)


def observations_section(file: Path, surveyed: Survey) -> list[str]:
    """Return the lines of the key ``observations`` of a study, with comments."""
    wide = _REPLICATES if surveyed.replicates[1] > 1 else _WIDE
    lines = [_LONG if surveyed.long else wide, *_known_comment(surveyed), "observations:"]
    keys = [f"file: {_text(file.as_posix())}"]
    if surveyed.long:
        keys.append("layout: long")
    uses: tuple[Use, ...] = ("system", "replicate", "value", "time", "label")
    for use in uses:
        if (name := surveyed.named(use)) is not None:
            keys.append(f"{use}_column: {_text(name)}")
    keys += _limit_keys(surveyed)
    if surveyed.nominal:
        keys += [
            "# Times are rounded by at most this to the nominal times of the forward model.",
            f"time_tolerance: {surveyed.nominal.tolerance:g}",
        ]
    if surveyed.rounded_together:
        keys += [
            "# Values of a system at one rounded time count as replicates.",
            "replicates: rows",
        ]
    elif surveyed.replicates[1] > 1:
        keys.append("# Replicates of a system have the same parameters, and noise of their own.")
        if surveyed.named("replicate") is None:
            keys.append("replicates: rows")
    if surveyed.dates:
        keys.append("# The dates are read as days since the first of them.")
    if ignored := surveyed.ignored():
        keys += [
            "# Columns without observations.",
            f"ignored_columns: {_text(ignored)}",
        ]
    if surveyed.header:
        keys += [
            "# The first line looks like places or times: true leaves it out, false takes it for a",
            "# system.",
            "header: true",
        ]
    if surveyed.stand_ins:
        found = sorted({each.number for each in surveyed.stand_ins})
        keys += [
            "# These numbers are far from all others, and are read as missing values. [] reads",
            "# them as observations.",
            f"missing_values: [{', '.join(map(_number, found))}]",
        ]
    if surveyed.missing and not surveyed.long:
        keys += [
            f"# {surveyed.missing} values are missing. `mask` learns from the others, which is "
            "right where",
            "# absence does not depend on the value; `refuse` stops.",
            "missing: mask",
        ]
    return [*lines, *(f"  {key}" for key in keys)]


def levels_of_law(surveyed: Survey, parameters: Sequence[str]) -> list[str]:
    """Return the lines of a law whose parameters vary at the levels of a table; or none."""
    layout = surveyed.layout
    if layout is None or not layout.levels:
        return []
    outer, *inner = layout.levels
    (why,) = (each.why for each in layout.columns if each.name == outer)
    told = [
        f"Parameters vary between groups ({outer}) and within them ({', '.join(inner)}), as {why}. "
        f"Each member has its own. If '{inner[-1]}' names quantities, new-study --label tells it."
    ]
    if layout.crossed:
        told = [
            f"Parameters vary between '{outer}' and between '{inner[0]}': {why}. Equal labels are "
            "the same unit throughout."
        ]
    own = f"[{', '.join(parameters)}]"
    levels = ", ".join(f"{{{quoted_name(name)}: {own}}}" for name in layout.levels)
    lines = [f"# {line}" for line in wrap(" ".join(told), 90)]
    lines.append(f"levels: [{levels}]")
    if layout.crossed:
        lines.append(f"crossed: [{', '.join(map(quoted_name, layout.levels[:2]))}]")
    return lines


def _limit_keys(surveyed: Survey) -> Iterator[str]:
    """Yield the keys of columns that mark censored values or have their limits."""
    if (marks := surveyed.named("censoring")) is not None:
        yield "# Of a marked value, only the fact that it lies beyond a limit is used."
        yield f"censoring_column: {_text(marks)}"
        if (limit := surveyed.named("limit")) is not None:
            yield f"limit_column: {_text(limit)}"
    elif surveyed.limits:
        yield "# Of a value such as <0.4, only the fact that it lies beyond its limit is used."
        yield f"censoring_column: {_text(surveyed.named('value') or '')}"
    if (limits := surveyed.named("lower_limit")) is not None:
        yield "# Of a value at or below its limit, only this fact is used."
        yield f"censored_below: {{column: {_text(limits)}}}"


def model_observations(
    file: Path, surveyed: Survey, dose: str | None = None, inputs: bool = False
) -> list[str]:
    """Return the lines of the key ``observations`` of an own simulator, with comments.

    Parameters
    ----------
    dose : str, optional
        A column with the dose of each system, which becomes its design.
    inputs : bool
        Whether the simulator gets the doses over time. Otherwise a comment says how it would.
    """
    if not surveyed.long:
        places = _increasing(surveyed.names)
        if places and len(places) <= _LONGEST_TIMES:
            comment = "# If the names of the columns are times: {name: observed, times: "
            return [
                f"{comment}[{', '.join(surveyed.names)}]}}",
                f"observations: {{name: observed, count: {surveyed.entries}}}",
            ]
        units = {name_and_unit(name)[1] for name in surveyed.names}
        return plain_observations(surveyed.entries, units.pop() if len(units) == 1 else "")
    time = surveyed.named("time")
    value, unit = name_and_unit(surveyed.named("value") or "")
    keys = [f"name: {quoted_name(value) if _IDENTIFIER.fullmatch(value) else 'observed'}"]
    if unit:
        keys.append(f"units: {_text(unit)}")
    if time and (unit_of_time := name_and_unit(time)[1]):
        keys.append(f"coordinate_units: {_text(unit_of_time)}")
    if surveyed.labels:
        keys.append(f"labels: {_text(list(surveyed.labels))}")
    elif not time:
        keys.append("count: 1")
    if time and surveyed.nominal:
        share = f"{100 * surveyed.nominal.share:.2g} %"
        keys += [
            "# Nominal times. A time is rounded by at most this share of the time to the next",
            f"# value of its system: {share}.",
        ]
        keys += _listed(surveyed.nominal)
    elif time:
        keys.append(f"times: {{file: {_text(file.as_posix())}, column: {_text(time)}}}")
    design = ["# What the simulator gets of each system.", f"design: [{dose}]"] if dose else []
    doses = inputs_of_doses(file, surveyed, inputs)
    return [*design, *doses, "observations:", *(f"  {key}" for key in keys)]


def inputs_of_doses(file: Path, surveyed: Survey, used: bool) -> list[str]:
    """Return the lines of the key ``inputs`` for the doses of a long table; or none.

    Parameters
    ----------
    used : bool
        Whether the study uses them. Otherwise they are a comment.
    """
    system, time = surveyed.system_column, surveyed.named("time")
    if surveyed.dose is None or system is None or time is None or surveyed.dates:
        return []
    keys = {"file": file.as_posix(), "system_column": system, "time_column": time}
    keys["amount_column"] = surveyed.dose[0]
    lines = ["inputs:", *(f"  {key}: {_text(value)}" for key, value in keys.items())]
    if used:
        return ["# The doses stand in the table of the observations: 'popinv docs inputs'.", *lines]
    return [
        "# For doses over time, the simulator gets `inputs` ('popinv docs inputs'), and the study",
        "# has `surrogate: {kind: none}` in the place of active_learning:",
        *(f"# {line}" for line in lines),
    ]


def dose_of_systems(surveyed: Survey) -> str | None:
    """Return the column with the one dose of each system, as the design names it, or None."""
    if surveyed.doses_over_time:
        return None
    name = name_and_unit(surveyed.dose[0])[0] if surveyed.dose else ""
    return name if _IDENTIFIER.fullmatch(name) else None


def quoted_name(name: str) -> str:
    """Return a name as YAML has it: in quotes where it would be a truth value or null."""
    return name if yaml.safe_load(name) == name else _text(name)


def plain_observations(entries: int, units: str = "") -> list[str]:
    """Return the lines of the key ``observations`` of an own simulator without times.

    Parameters
    ----------
    entries : int
        Number of observations of each system.
    units : str
        Their unit, or "".
    """
    unit = f", units: {_text(units)}" if units else ""
    return [
        "# Where entries are times: {name: discharge, units: m3/s, times: [0.5, 1, 2]}",
        f"observations: {{name: observed, count: {entries}{unit}}}",
    ]


def described(file: Path, surveyed: Survey) -> Iterator[str]:
    """Yield what is said about a file: its size, the use of each column, and what is missing."""
    each = spanned(surveyed.fewest, surveyed.most)
    counted = f"{surveyed.systems} systems with {each} observations each"
    if surveyed.layout and surveyed.layout.levels:
        many = "observation" if surveyed.most == 1 else "observations"
        counted = f"{surveyed.systems} of '{surveyed.system_column}'; {each} {many} a member"
    if surveyed.long:
        yield f"{file}: a long table (a row for each observation)"
        of_times = f", at {len(surveyed.times)} different times" if surveyed.times else ""
        yield f"  {counted}{of_times}"
    else:
        yield f"{file}: {counted}"
    if surveyed.replicates[1] > 1:
        counted = spanned(*surveyed.replicates)
        whose = "member" if surveyed.layout and surveyed.layout.levels else "system"
        yield f"  {counted} replicates of each {whose}, with the same parameters"
    yield from (f"  {line}" for line in _uses(surveyed))
    yield from (f"  {line}" for line in _many_times(surveyed))
    if nominal := surveyed.nominal:
        yield (
            f"  its many times are rounded to {len(nominal.times)}, {_rounded_by(nominal)}: see "
            "'popinv try' for what that changes"
        )
    if surveyed.long and surveyed.dates:
        yield (
            f"  the dates in '{surveyed.named('time')}' are read as days since the first of them"
        )
    if not surveyed.columns and surveyed.system_column:
        yield f"  read as the systems' names: the column '{surveyed.system_column}'"
    if surveyed.header:
        yield "  read as places or times, and left out: the first line (see the file)"
    for number in sorted({each.number for each in surveyed.stand_ins}):
        found = [each for each in surveyed.stand_ins if each.number == number]
        where = found[0].column + (f" and {len(found) - 1} more" if len(found) > 1 else "")
        holds = "hold" if len(found) > 1 else "holds"
        count = sum(each.count for each in found)
        yield (
            f"  {where} {holds} {number:g} {count} times, read as missing (see missing_values in "
            "the file)"
        )
    if surveyed.censored:
        yield f"  beyond a limit: {surveyed.censored} values; it is only used that they lie there"
    if doses := surveyed.layout.doses if surveyed.layout else 0:
        yield (
            f"  {doses} of {surveyed.rows} rows are doses without a value and are left out; "
            + (
                f"the simulator gets '{dose}' of each system as design"
                if (dose := dose_of_systems(surveyed))
                else "a function gets them over time by 'forward.inputs' (popinv docs inputs)"
            )
        )
    if surveyed.missing and surveyed.long:
        yield f"  {surveyed.missing} of {surveyed.rows} rows have no value and are left out"
    elif surveyed.missing:
        yield f"  missing: {surveyed.missing} values, masked (see the file)"


def _many_times(surveyed: Survey) -> Iterator[str]:
    """Yield what many times cost, and how to round them."""
    count, fewer = len(surveyed.times), surveyed.fewer
    if count < MANY_TIMES or surveyed.nominal:
        return
    yield (
        f"{count} different times are many: the simulator returns its output at all of them for "
        f"every system, and surrogate and noise have {surveyed.entries} entries, though a system "
        f"has at most {surveyed.most}."
    )
    if fewer is None:
        return
    yield (
        f"Fewer are quicker. To round them to {len(fewer.times)}, {_rounded_by(fewer)}, write in "
        "the study:"
    )
    yield "  forward:"
    yield "    observations:"
    yield from (f"      {line}" for line in _listed(fewer))
    yield "  observations:"
    yield f"    time_tolerance: {fewer.tolerance:g}"


def _rounded_by(nominal: NominalTimes) -> str:
    return (
        f"by at most {nominal.tolerance:g} and {100 * nominal.share:.2g} % of the time to the next "
        "value of the same system"
    )


def _listed(nominal: NominalTimes) -> list[str]:
    """Return the lines of the key ``times``."""
    numbers = ", ".join(map(_number, nominal.times))
    return wrap(f"times: [{numbers}]", 86, subsequent_indent="  ", break_on_hyphens=False)


_WORDS = {
    "system": "system",
    "level": "level",
    "replicate": "replicate",
    "time": "time",
    "label": "label",
    "value": "value",
    "censoring": "mark of limits",
    "limit": "limit",
    "lower_limit": "limit",
    "dose": "input over time",
    "dosing": "input over time",
    "known": "constant in a system",
    "observed": "observed",
    "ignored": "ignored",
}


def _uses(surveyed: Survey) -> list[str]:
    """Return a table of the columns, their use and why, with columns of one kind in one line."""
    rows: list[tuple[str, str, str, str]] = []
    for each in surveyed.columns:
        use = "not observed" if each.use == "known" and not surveyed.long else _WORDS[each.use]
        why = each.why
        if each.use == "known":
            why += "; it may be design or covariate"
        # Names of one series, such as p1 to p50 or 0.5 to 9.5, stand in one line.
        series = re.sub(r"[\d.]+", "0", each.name)
        rows.append((each.name or '""', use, why, series))
    shown = [("column", "becomes", "why")]
    for (use, why, _), group in itertools.groupby(rows, lambda row: row[1:]):
        names = [row[0] for row in group]
        if len(names) > _SHOWN:
            names = [f"{names[0]} ... {names[-1]} ({len(names)})"]
        shown += [(name, use, why) for name in names]
    if len(shown) == 1:
        return []
    widths = [max(len(row[i]) for row in shown) for i in (0, 1)]
    return [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in shown]


def _known_comment(surveyed: Survey) -> Iterator[str]:
    """Yield comments that name the columns which may be design or covariates."""
    if not surveyed.known:
        return
    where = "Columns with one value in each system" if surveyed.long else "Further columns"
    yield f"# {where} may be used as design (inputs of the simulator,"
    yield "# `forward.design: [...]`) or as covariates (which shift the mean of a parameter,"
    yield "# `law.covariates: {size: [...]}`):"
    for column in surveyed.known:
        yield from (f"#   {line}" for line in wrap(_named(column), 90, subsequent_indent="  "))


def _named(column: KnownColumn) -> str:
    name, unit = name_and_unit(column.name)
    text = f"{name}, units {unit}" if unit else name
    names = [f"{name}_{category}" for category in column.categories]
    if names:
        listed = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        of = "text, as" if column.text else "a number; if it is a category, as"
        text = f"{name} ({of} {listed})"
    if not all(map(_IDENTIFIER.fullmatch, names or [name])):
        text += "; a design needs a name of letters, digits and _ in the file"
    return text


def _increasing(names: tuple[str, ...]) -> list[float]:
    """Return the numbers that names are, if they are numbers that increase; else none."""
    try:
        numbers = [float(name) for name in names]
    except ValueError:
        return []
    increases = all(a < b for a, b in itertools.pairwise(numbers))
    return numbers if len(numbers) > 1 and increases else []
