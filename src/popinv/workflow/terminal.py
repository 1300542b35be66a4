"""The terminal of ``popinv run``: lines that stay, and below them what is at work.

Where standard error is no terminal, such as in a file, only the lines that stay are written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

# Characters of the name of a step, of a bar, and of a time.
_TITLE, _BAR, _TIME = 22, 20, 8


@dataclass(frozen=True)
class StepLine:
    """A step at work: its name, the share that is done, what it does, and its seconds so far."""

    title: str
    share: float
    text: str
    seconds: float


class Terminal:
    """Standard error.

    Parameters
    ----------
    at_work : callable
        Returns the steps at work, the number of jobs in words, the seconds left if they are known,
        and the seconds so far.
    """

    def __init__(
        self, at_work: Callable[[], tuple[Sequence[StepLine], str, float | None, float]]
    ) -> None:
        self._at_work = at_work
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None

    def show(self) -> None:
        """Show what is at work from now on."""
        if self._live is None and self._console.is_terminal:
            # What this process prints otherwise comes above.
            self._live = Live(
                console=self._console,
                get_renderable=self._table,
                refresh_per_second=4,
                transient=True,
            )
            self._live.start()

    def close(self) -> None:
        """Take away what is at work."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, text: str) -> None:
        """Print a text."""
        self._console.print(Text(text), soft_wrap=True)

    def end_step(self, title: str, found: str, seconds: float) -> None:
        """Print the line of a step that has ended."""
        if not self._console.is_terminal:
            print(f"{title:{_TITLE}} {found} ({clock(seconds)})".rstrip(), file=sys.stderr)
            return
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(min_width=_TITLE)
        row.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        row.add_column(justify="right", min_width=_TIME)
        row.add_row(Text(title, style="bold"), Text(found), clock(seconds))
        self._console.print(row)

    def fail(self, title: str, said: Iterable[str], log: str) -> None:
        """Print what is known of a job that has failed."""
        self._console.print(Text(f"\n{title}", style="bold red"), soft_wrap=True)
        for line in said:
            self._console.print(Text(f"  {line}"), soft_wrap=True)
        if log:
            self._console.print(Text(f"  log: {log}\n"), soft_wrap=True)

    def _table(self) -> Table:
        lines, jobs, left, seconds = self._at_work()
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(min_width=_TITLE)
        table.add_column(min_width=_BAR)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column(justify="right", min_width=_TIME)
        for line in lines:
            bar = ProgressBar(total=1.0, completed=line.share, width=_BAR)
            table.add_row(Text(line.title, style="bold"), bar, Text(line.text), clock(line.seconds))
        rest = "" if left is None else f"about {clock(left)} left"
        table.add_row(jobs, "", rest, clock(seconds), style="dim")
        return table


def clock(seconds: float) -> str:
    """Return a time in hours, minutes and seconds.

    Examples
    --------
    >>> clock(4.2), clock(75), clock(3700)
    ('4 s', '1:15', '1:01:40')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def aligned(rows: Sequence[Sequence[str]], names: int = 1) -> list[str]:
    """Return the lines of a table of names, in the first columns, and numbers, in the others."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "   ".join(
            cell.ljust(width) if i < names else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
