"""A watchman that ends a simulator's processes when the job that started them is killed.

A killed job cannot end what it has started. The watchman is a process of its own that reads from a
pipe which process group to end; the pipe closes with the job, whatever ends that.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys

__all__ = ["Reaper"]

_PROGRAM = """
import os, signal, sys
group = None
for line in sys.stdin:
    group = int(line)
if group:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


class Reaper:
    """The watchman, who is there from the first process that he watches."""

    def __init__(self) -> None:
        self._watchman: subprocess.Popen[str] | None = None

    def watch(self, group: int | None) -> None:
        """Say which process group is to end with this process, instead of the last one.

        Parameters
        ----------
        group : int or None
            None where there is nothing to end.
        """
        if self._watchman is None:
            if group is None:
                return
            # In a session of its own: a signal to this process's group is not meant for it.
            self._watchman = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        watchman = self._watchman
        assert watchman.stdin is not None
        # Whoever stops the solves may let him go meanwhile; one who was killed watches no more.
        with contextlib.suppress(OSError, ValueError):
            watchman.stdin.write(f"{group or 0}\n")
            watchman.stdin.flush()

    def close(self) -> None:
        """Let the watchman go."""
        watchman, self._watchman = self._watchman, None
        if watchman is not None:
            with contextlib.suppress(OSError, ValueError):
                watchman.communicate("0\n")
