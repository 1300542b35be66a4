"""What ``popinv show`` prints of files of numbers that do not belong to a study.

These are uses of downstream methods, their test problems, and the parts of the evidence. Sentences
come first, then the numbers in the order of the file.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Any

from popinv.judgement.files import METRICS_FILE, read_metrics
from popinv.methods.registry import METHODS
from popinv.regular_files import absolute

_WIDTH = 100
# Further numbers are left out; the file has them all.
_MOST = 40
# A text of fewer words is a name, and stands among the numbers.
_FEWEST_WORDS = 3
_STATEMENT = "statement"


def uses_lines(study: Path) -> list[str]:
    """Return what each downstream method has found on a study, a sentence each.

    Parameters
    ----------
    study : Path
        The folder of the study.
    """
    files = sorted(study.glob(f"downstream/*/{METRICS_FILE}"))
    rows = [(file.parent.name.replace("_", " "), _found(read_metrics(file))) for file in files]
    if not rows:
        return []
    width = max(len(name) for name, _ in rows)
    lines = ["", "Uses on this study"]
    for name, text in rows:
        lines += wrapped(text, f"{name:<{width}}  ", " " * (width + 2))
    return lines


def _found(metrics: Mapping[str, Any]) -> str:
    """Return the sentence of a use: its statement, or else its first sentence."""
    first = next((text for _, text in _sentences(metrics)), "see its metrics.json")
    return str(metrics.get(_STATEMENT, first))


def numbers_block(path: Path, numbers: Mapping[str, Any]) -> str:
    """Return a heading, the sentences and the numbers of a file.

    Parameters
    ----------
    numbers : mapping
        Its content.
    """
    heading = _heading(path)
    lines = [heading, "-" * len(heading), *_question(path), *_claims(path)]
    for name, text in _sentences(numbers):
        lines += wrapped(text, f"{_readable(name)}: ", "  ")
    rows = list(_rows(numbers))
    if rows and len(lines) > 2:
        lines.append("")
    width = max((len(name) for name, _ in rows[:_MOST]), default=0)
    lines += [f"{name:<{width}}   {value}".rstrip() for name, value in rows[:_MOST]]
    if len(rows) > _MOST:
        lines.append(f"and {len(rows) - _MOST} more in {path}")
    return "\n".join(lines)


def _heading(path: Path) -> str:
    """Return what a file is about, by its place among the results."""
    *_, study, part, name = ("", "", "", *absolute(path).parent.parts)
    if part == "downstream":
        title = name.replace("_", " ")
        return f"{study}: {title}" if _of_a_study(path) else f"{title}: test problem"
    if name in ("evidence", "baselines"):
        return f"{part}: {name}, {path.stem.replace('_', ' ')}"
    return str(path)


def _question(path: Path) -> list[str]:
    """Return the question that a use answers."""
    name = absolute(path).parent.name
    if name not in METHODS or not _of_a_study(path):
        return []
    return [*wrapped(METHODS[name].question, "", ""), ""]


def _of_a_study(path: Path) -> bool:
    """Return whether a method's folder belongs to its use on a study."""
    folder = absolute(path).parents[2]
    return any((folder / name).exists() for name in (METRICS_FILE, "observations.zarr.zip"))


def _claims(path: Path) -> Iterator[str]:
    """Yield how many claims of a paper hold, if a table of them lies beside the file."""
    table = path.parent / "claims.csv"
    if not table.is_file():
        return
    with table.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    for part, own in groupby(sorted(rows, key=_part), key=_part):
        counts = Counter(row["status"] for row in own)
        told = ", ".join(f"{status} {count}" for status, count in counts.most_common())
        yield f"claims ({part}s): {told}; {table}"


def _part(row: Mapping[str, str]) -> str:
    return row["part"]


def _sentences(numbers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the texts that are sentences, the statement first."""
    texts = [(name, text) for name, text in numbers.items() if _is_sentence(text)]
    yield from sorted(texts, key=lambda each: each[0] != _STATEMENT)


def _is_sentence(value: Any) -> bool:
    return isinstance(value, str) and len(value.split()) >= _FEWEST_WORDS


def _rows(numbers: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Yield names and values; a table within the file gives its name before its keys."""
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            yield from _rows(value, f"{before}{_readable(name)}, ")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield before + _readable(name), ", ".join(map(_value, value))
        elif before or not _is_sentence(value):
            yield before + _readable(name), _value(value)


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _readable(name: str) -> str:
    return name.replace("_", " ")


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def wrapped(text: str, first: str = "", then: str = "") -> list[str]:
    """Return the lines of a text; a path stays whole.

    Parameters
    ----------
    first, then : str
        What stands before the first line, and before the others.
    """
    return wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=then,
        break_on_hyphens=False,
        break_long_words=False,
    )
