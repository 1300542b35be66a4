"""A watchman that clears up after a job that is killed: its simulator's processes and files.

A killed job cannot end what it has started. The watchman is a process of its own that reads from a
pipe which process group to end, and which folder to delete; the pipe closes with the job, whatever
ends that. Who ends the whole machine, or all processes of a cluster's job at once, ends him too.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys

__all__ = ["Reaper"]

# Clusters first ask all processes of a job to leave: he stays until the job has left.
_PROGRAM = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
group, folder = 0, ""
for line in sys.stdin:
    group, _, folder = line.rstrip("\\n").partition(" ")
if int(group):
    try:
        os.killpg(int(group), signal.SIGKILL)
    except ProcessLookupError:
        pass
if folder:
    import shutil, time
    # A killed process may still be writing for a moment.
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            break
        time.sleep(0.1)
"""


class Reaper:
    """The watchman, who is there from the first process or folder that he watches."""

    def __init__(self) -> None:
        self._watchman: subprocess.Popen[str] | None = None

    def watch(self, group: int | None, folder: str = "") -> None:
        """Say what is to go with this process, instead of what he was told last.

        Parameters
        ----------
        group : int or None
            The process group to end, None where there is none.
        folder : str
            The folder to delete, empty where there is none.
        """
        if self._watchman is None:
            if group is None and not folder:
                return
            # It has a session of its own: a signal to this process's group is not meant for it.
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
            watchman.stdin.write(f"{group or 0} {folder}\n")
            watchman.stdin.flush()

    def close(self) -> None:
        """Let the watchman go."""
        watchman, self._watchman = self._watchman, None
        if watchman is not None:
            with contextlib.suppress(OSError, ValueError):
                watchman.communicate("0\n")
