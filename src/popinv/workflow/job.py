"""The frame of a workflow script: its log, and its failure.

When the outputs are written, the frame writes the record of the job beside them
(:mod:`popinv.workflow.records`). What a script prints goes to the terminal and, line by line, to
the rule's log file. An error that the package raises on purpose ends the job with its message
alone; any other leaves its traceback in the log. A log without a last line of these is that of a
job that was killed.
"""

from __future__ import annotations

import gc
import os
import re
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from popinv.errors import PopinvError
from popinv.workers import Cores, processes
from popinv.workflow.records import NAME, record_of

GO_ON = "interrupted; run the same command to go on"
"""What a run that Ctrl+C has ended says."""

SPOKEN_FOR = "POPINV_SPEAKS"
"""Variable of the environment of a Snakemake whose caller says it."""

_STARTED, _DONE, _FAILED = ": started, process ", ": done in ", ": failed after "
# Snakemake's message about Ctrl+C.
_STOPPED = "Terminating processes on user request"
# Snakemake's message about a process that a signal has ended, and then its job's log. SIGINT is
# left out, as it comes from the user's Ctrl+C.
_DIED = re.compile(
    r"died with <Signals\.(?!SIGINT)\w+: \d+>.*?^ *log: (\S+)", re.DOTALL | re.MULTILINE
)


class _Tee:
    """A stream that writes to another and, but for progress bars, to a log.

    Where the log cannot be written, on a full disk, the terminal still hears everything.
    """

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self._stream, self._log = stream, log

    def write(self, text: str) -> int:
        self._stream.write(text)
        if "\r" not in text:
            # What is written at the end of the process finds the log closed.
            with suppress(OSError, ValueError):
                self._log.write(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()
        with suppress(OSError, ValueError):
            self._log.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Run a script's body under the rule's log; exits with status 1 on an error.

    Parameters
    ----------
    snakemake : object
        The object that Snakemake gives to a script.
    """
    # The modules stay until the process ends, so that the collector need not visit them again.
    gc.freeze()
    gc.enable()
    path = Path(snakemake.log[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    stdout, stderr = sys.stdout, sys.stderr
    # The log is written line by line, so that it is complete if the job is killed.
    try:
        log = path.open("w", buffering=1)
    except OSError as error:
        print(f"{path}: the log cannot be written ({error.strerror})", file=sys.stderr)
        log = open(os.devnull, "w")  # noqa: SIM115
    sys.stdout, sys.stderr = _Tee(stdout, log), _Tee(stderr, log)
    ending = _FAILED
    try:
        _say(log, f"{snakemake.rule}{_STARTED}{os.getpid()} on {os.uname().nodename}")
        with Cores.lent().taken(snakemake.threads), processes(snakemake.threads):
            yield
        if record := snakemake.output.get(NAME):
            record_of(snakemake, time.monotonic() - started).write(record)
        ending = _DONE
    except PopinvError as error:
        print(f"\n{snakemake.rule}: {error}\n", file=sys.stderr)
        raise SystemExit(1) from None
    except MemoryError as error:
        print(f"\n{snakemake.rule}: out of memory ({error}). {_MORE_MEMORY}\n", file=sys.stderr)
        raise SystemExit(1) from None
    except Exception:
        _say(log, traceback.format_exc())
        raise
    finally:
        sys.stdout, sys.stderr = stdout, stderr
        _say(log, f"{snakemake.rule}{ending}{time.monotonic() - started:.1f} s")
        with suppress(OSError):
            log.close()
        gc.freeze()  # The process ends, without a last search of all that it has.


_MORE_MEMORY = (
    "Give its rule more memory (--set-resources RULE:mem_mb=8000), or let fewer jobs run at a time "
    "(--cores 1), and run again. Finished results are kept, and a job with a checkpoint continues "
    "from it."
)


def _say(log: TextIO, line: str) -> None:
    with suppress(OSError):
        log.write(line + "\n")


def was_interrupted(told: Iterable[str | os.PathLike[str]]) -> bool:
    """Return whether Ctrl+C has ended a run, from Snakemake's own logs."""
    for path in told:
        with suppress(OSError):
            if _STOPPED in Path(path).read_text(errors="replace"):
                return True
    return False


def killed_jobs(
    results: str | os.PathLike[str], since: float, told: Iterable[str | os.PathLike[str]] = ()
) -> str:
    """Return a message about jobs that were killed, or nothing if there were none.

    Parameters
    ----------
    results : path
        The folder of the results, whose studies each have a folder ``logs``.
    since : float
        When the workflow started, in seconds as of ``time.time``; older logs do not count.
    told : iterable of path
        Snakemake's own logs. They tell of jobs on this machine that were killed before they
        opened a log.
    """
    logs = {str(log) for log in Path(results).glob("*/logs/*.log") if _is_cut_off(log, since)}
    for path in told:
        with suppress(OSError):
            logs.update(_DIED.findall(Path(path).read_text(errors="replace")))
    if not logs:
        return ""
    return (
        f"{len(logs)} {'job was' if len(logs) == 1 else 'jobs were'} killed without a message, "
        "most often by the system for lack of memory. The logs until then are:\n"
        + "".join(f"  {log}\n" for log in sorted(logs))
        + _MORE_MEMORY
    )


def _is_cut_off(log: Path, since: float) -> bool:
    try:
        if log.stat().st_mtime < since:
            return False
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return False
    if not lines or _STARTED not in lines[0]:
        return False
    return not any(ending in lines[-1] for ending in (_DONE, _FAILED))
