"""The use of each column of a table, and what a user states of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from popinv.errors import DataError

Use = Literal["system", "replicate", "time", "label", "value", "known", "observed", "ignored"]
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
    """

    long: bool
    columns: tuple[ColumnUse, ...]
    rows_are_replicates: bool = False

    @property
    def replicated(self) -> bool:
        """Whether a system may have several replicates."""
        return self.rows_are_replicates or self.named("replicate") is not None

    def named(self, use: Use) -> str | None:
        """Return the column of a use, or None."""
        return next((each.name for each in self.columns if each.use == use), None)

    def all_named(self, use: Use) -> list[str]:
        """Return all columns of a use."""
        return [each.name for each in self.columns if each.use == use]


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
