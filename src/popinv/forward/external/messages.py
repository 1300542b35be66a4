"""Messages on the output and the end of a process."""

from __future__ import annotations

import signal
from typing import IO

# Bytes. The result of one call is read into memory, which a mistake must not fill.
LARGEST_ANSWER = 2**30

# A number as text has 24 characters at most, and separators. The rest is for names, comments and
# small mistakes, which have better messages than one about their size.
_CHARACTERS, _MORE_CHARACTERS = 64, 2**20

# This is enough for the end of a traceback, and short enough to be read.
_TAIL_BYTES = 4000


def largest_text(numbers: int) -> int:
    """Return the most bytes of a text of ``numbers`` numbers; parsing takes many times this memory.

    Examples
    --------
    >>> largest_text(1000)
    1112576
    """
    return min(LARGEST_ANSWER, _CHARACTERS * numbers + _MORE_CHARACTERS)


def last_lines(printed: IO[bytes], most: int) -> list[str]:
    """Return the last lines of a file that a process printed to, without empty ones."""
    end = printed.seek(0, 2)
    printed.seek(max(0, end - _TAIL_BYTES))
    text = printed.read().decode(errors="replace")
    return [line.rstrip() for line in text.splitlines() if line.strip()][-most:]


def ended(status: int) -> str:
    """Return how a process ended, from its return code.

    Examples
    --------
    >>> ended(-9)
    'the process died (signal 9, SIGKILL)'
    >>> ended(3)
    'the process ended with exit status 3'
    """
    if status >= 0:
        return f"the process ended with exit status {status}"
    try:
        name = f", {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal has no name
        name = ""
    return f"the process died (signal {-status}{name})"


def time_limit(seconds: float) -> str:
    """Return the reason of a solve that took too long."""
    return f"time limit of a solve: {seconds:g} s"
