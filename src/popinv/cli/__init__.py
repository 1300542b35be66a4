"""The program `popinv`."""

from __future__ import annotations

import os
import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the program, also without a standard output, and end quietly if it is interrupted."""
    _open_streams()
    try:
        # This takes a second, in which Ctrl+C would print a traceback.
        from popinv.cli.commands import popinv
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    popinv()


def _open_streams() -> None:
    """Let closed standard streams lead nowhere; a file that is opened would take their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, open(number, "w" if number else "r"))  # noqa: SIM115
