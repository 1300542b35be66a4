"""Remove the lock that a killed Snakemake has left, unless something is still running.

Use: ``popinv unlock`` (or ``make unlock``) in the working directory. No Snakefile is needed.

Snakemake locks its working directory. A kill signal or a power failure leaves the lock behind.
Jobs outlive a killed Snakemake. As long as one of them, or another Snakemake, runs in the same
directory, the lock stays.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path

import psutil

from popinv.regular_files import read_text


def at_work(folder: str | os.PathLike[str] = ".") -> dict[int, str]:
    """Return the processes of Snakemake and of its jobs that run in a folder on this machine.

    Parameters
    ----------
    folder : path
        The working directory of the workflow.

    Returns
    -------
    dict of int to str
        Command line by process number, without this process and its ancestors.
    """
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    commands = {}
    for process in psutil.process_iter():
        if process.pid in own:
            continue
        # The process may have ended, or belong to another user.
        with contextlib.suppress(psutil.Error, OSError):
            command = " ".join(process.cmdline()).strip()
            if "snakemake" in command and os.path.samefile(process.cwd(), folder):
                commands[process.pid] = command
    return commands


def rule_of(script: Path) -> str:
    """Return the rule whose job runs a script, a copy of a rule's script that Snakemake has made.

    Several rules have one script. The copy begins with the job's files, among them its log, whose
    name begins with the rule's.
    """
    with contextlib.suppress(OSError):
        log = re.search(r"/logs/(\w+)(?:\.[\w.-]+)?\.log\b", read_text(script))
        if log:
            return log[1]
    return script.name.split(".")[-2]


def _described(command: str) -> str:
    script = re.search(r"\S*\.snakemake/scripts/tmp\S*\.py", command)
    return f"a job of the rule {rule_of(Path(script[0]))}" if script else "Snakemake"


def locks_of(folder: str | os.PathLike[str] = ".") -> list[Path]:
    """Return the locks of a working directory."""
    return sorted(Path(folder, ".snakemake", "locks").glob("*"))


def why_locked(folder: str | os.PathLike[str] = ".") -> str:
    """Return why a run did not begin, or "" if the directory is not locked."""
    if not locks_of(folder):
        return ""
    if running := at_work(folder):
        named = ", ".join(f"{pid} ({_described(each)})" for pid, each in running.items())
        return f"another run is at work in this directory: {named}. Wait until it has finished"
    return (
        "this directory is locked, by a run that was killed or by one on another machine. If none "
        "runs: popinv unlock, and run again"
    )


def main() -> int:
    """Unlock, or print why not; return the exit status."""
    locks = locks_of()
    if not locks:
        print("This directory is not locked.")
        return 0
    if running := at_work():
        print("The lock stays, because these processes still run here:", file=sys.stderr)
        for pid, command in running.items():
            print(f"  {pid}  {_described(command)}", file=sys.stderr)
        print(
            "Wait until they have finished, or end them (kill NUMBER), and unlock again.",
            file=sys.stderr,
        )
        return 1
    print(f"Nothing runs here on {os.uname().nodename}; other machines cannot be seen.")
    try:
        for lock in locks:
            lock.unlink(missing_ok=True)
    except OSError as error:
        print(f"The lock stays: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    print("The lock is gone.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
