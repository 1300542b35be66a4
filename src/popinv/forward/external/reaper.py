"""A watcher process that removes the simulator's processes and files of a killed job.

A killed job cannot end the processes that it has started. The watcher is a separate process. It
reads from a pipe which process group to end and which folder to delete, and acts when the pipe
closes, which it does with the job in any case. If the whole machine, or all processes of a
cluster's job, are ended at once, the watcher is ended too.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

# Clusters first send SIGTERM to all processes of a job. The watcher ignores it until the job ends.
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


def environment() -> dict[str, str]:
    """Return the environment of a simulator: sets of Python have the same order in all of them."""
    return {"PYTHONHASHSEED": "0", **os.environ}


class Reaper:
    """The watcher process, started with the first process or folder that it watches."""

    def __init__(self) -> None:
        self._watchman: subprocess.Popen[str] | None = None

    def watch(self, group: int | None, folder: str = "") -> None:
        """Replace the process group and the folder that are removed when this process ends.

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
            # It has its own session, so that signals to this process's group do not reach it.
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
        # The watcher may have been closed in the meantime, or killed.
        with contextlib.suppress(OSError, ValueError):
            watchman.stdin.write(f"{group or 0} {folder}\n")
            watchman.stdin.flush()

    def close(self) -> None:
        """End the watcher process."""
        watchman, self._watchman = self._watchman, None
        if watchman is not None:
            with contextlib.suppress(OSError, ValueError):
                watchman.communicate("0\n")
