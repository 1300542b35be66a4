"""A guard that starts the daemons of a test's scheduler, and outlives the test to end them.

A test that is killed cannot clean up. The guard is a process of its own session that reads from a
pipe. The pipe closes with the test, however that ends; the guard then kills everything that
belongs to its folder, and removes the folder. That is, all its descendants (whoever loses its
parent becomes a child of the guard), and all processes whose environment names the folder: the
Snakemake that a test has started, and its local jobs.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

FOLDER = "POPINV_TEST_CLUSTER"
IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


class Guard:
    """What a test holds of its guard: the folder, and the pipe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(folder)],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def start(self, name: str, *command: str, **environment: str) -> None:
        """Start a daemon, whose output goes to ``name``.out in the folder."""
        assert self._process.stdin is not None
        order = {"name": name, "command": command, "environment": environment}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """End all processes of the folder, and remove it."""
        self._process.communicate(timeout=60)
        if self._process.returncode != 0:
            raise RuntimeError(f"the guard of {self.folder} failed: {self._process.returncode}")

    def query(self, command: tuple[str, ...], environment: dict[str, str]) -> str:
        """Return what a command prints, empty if it fails."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
        return done.stdout.strip() if done.returncode == 0 else ""

    def logs(self) -> str:
        """Return the ends of the daemons' logs, for a failed test."""
        found = sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")])
        parts = [(log.name, log.read_text(errors="replace").splitlines()[-30:]) for log in found]
        return "\n".join(f"--- {name}\n" + "\n".join(lines) for name, lines in parts)

    def until(self, condition, complaint: str, seconds: float = 60) -> None:
        """Wait for a condition.

        Raises
        ------
        RuntimeError
            If it does not hold in time; with the ends of the logs.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{complaint} after {seconds:g} s\n{self.logs()}")
            time.sleep(0.1)


@contextmanager
def guarded_folder(name: str) -> Iterator[Guard]:
    """Make a folder with a guard, for as long as the context lasts."""
    # A short path: that of a socket may have 108 characters.
    guard = Guard(Path(tempfile.mkdtemp(prefix=f"popinv-{name}-")))
    try:
        yield guard
    finally:
        guard.close()


def processes_of(folder: str) -> set[int]:
    """Return the processes whose environment or command line names a folder.

    Raises
    ------
    ValueError
        If that is no folder inside another one, whose name all processes might contain.
    """
    if len(Path(folder).parts) < 3:
        raise ValueError(f"Given: {folder!r}. Allowed is a folder such as /tmp/popinv-slurm-abc.")

    def named(entry: Path) -> bool:
        words = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
        return folder.encode() in words

    return set(processes_that(named))


def processes_with(settings: set[bytes]) -> set[int]:
    """Return the processes in whose environment all of these ``NAME=value`` are."""
    return set(processes_that(lambda e: settings <= set((e / "environ").read_bytes().split(b"\0"))))


def processes_that_hold(file: Path) -> set[int]:
    """Return the processes that have a file open."""
    return set(processes_that(lambda e: str(file) in map(os.readlink, (e / "fd").iterdir())))


def processes_that(question: Callable[[Path], Any]) -> dict[int, Any]:
    """Return the answers of processes, from their folders, that are not empty."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # another user's, or gone
                if answer := question(entry):
                    found[int(entry.name)] = answer
    return found


def descendants_of(ancestor: int) -> set[int]:
    """Return the processes that descend from one, without itself."""

    def parent_of(entry: Path) -> int | None:
        fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        # A zombie waits for its parent and does nothing.
        return None if fields[0] == "Z" else int(fields[1])

    parents = processes_that(parent_of)
    found, new = set(), {ancestor}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


def _start(folder: Path, order: dict) -> None:
    output = (folder / f"{order['name']}.out").open("ab")
    prctl = ctypes.CDLL(None).prctl

    def before() -> None:
        # What is ignored here would be ignored by the daemons and by their jobs too.
        for ignored in IGNORED:
            signal.signal(ignored, signal.SIG_DFL)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    subprocess.Popen(
        order["command"],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={**os.environ, **order["environment"]},
        preexec_fn=before,
    )


def _keep(folder: Path) -> int:
    for ignored in IGNORED:
        signal.signal(ignored, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    os.environ[FOLDER] = str(folder)
    for line in sys.stdin:
        _start(folder, json.loads(line))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        alive = (descendants_of(os.getpid()) | processes_of(str(folder))) - {os.getpid()}
        for process in alive:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
        if not alive and not folder.exists():
            return 0
        time.sleep(0.05)
    return 1


if __name__ == "__main__":
    sys.exit(_keep(Path(sys.argv[1])))
