"""The frame of a workflow script: its log, and its failure.

Where another program shows what the jobs do (:mod:`popinv.workflow.display`), a script prints into
its log alone, and its progress bars into a file that this program reads.

When the outputs are written, the frame writes the record of the job beside them
(:mod:`popinv.workflow.records`). What a script prints goes to the terminal and, line by line, to
the rule's log file. An error that the package raises on purpose ends the job with its message
alone; any other leaves its traceback in the log. A log without a last line of these belongs to a
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

from popinv.errors import PopinvError
from popinv.regular_files import read_text
from popinv.workers import Cores, processes
from popinv.workflow.records import NAME, record_of

GO_ON = "interrupted; run the same command to continue"
"""What a run that Ctrl+C has ended says."""

SPOKEN_FOR = "POPINV_SPEAKS"
"""Variable of the environment of a Snakemake whose caller says it."""

PROGRESS = "POPINV_PROGRESS"
"""Variable of the environment of jobs whose progress another program shows: the folder for it."""

_STARTED, _DONE, _FAILED = ": started, process ", ": done in ", ": failed after "
# Snakemake's message about Ctrl+C.
_STOPPED = "Terminating processes on user request"
# Snakemake's message about a process that a signal has ended, and then its job's log. SIGINT is
# left out, as it comes from the user's Ctrl+C.
_DIED = re.compile(
    r"died with <Signals\.(?!SIGINT)\w+: \d+>.*?^ *log: (\S+)", re.DOTALL | re.MULTILINE
)
# A progress bar: what it is about, the percentage, the counts, and the time left.
_BAR = re.compile(r"\s*(.*?):?\s+(\d+)%\|[^|]*\|\s*(\S+) \[[^<]*<([^,\]]*)")


class _Tee:
    """A stream that writes to another and, but for progress bars, to a log.

    Where the log cannot be written, on a full disk, the terminal still hears everything.

    Parameters
    ----------
    stream, log : file
    progress : path, optional
        Where the progress bars are written instead. All else is then written to the log alone.
    """

    def __init__(self, stream: TextIO, log: TextIO, progress: Path | None) -> None:
        self._stream, self._log, self._progress = stream, log, progress

    def write(self, text: str) -> int:
        if self._progress is None:
            self._stream.write(text)
        elif "\r" in text:
            with suppress(OSError):
                self._progress.write_text(text)
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
    stdout, stderr, progress = sys.stdout, sys.stderr, _progress_file(path)
    # A stream is None in a process whose standard streams are closed.
    nowhere = open(os.devnull, "w")  # noqa: SIM115
    # The log is written line by line, so that it is complete if the job is killed.
    try:
        log = path.open("w", buffering=1)
    except OSError as error:
        print(f"{path}: the log cannot be written ({error.strerror})", file=sys.stderr)
        log = nowhere
    sys.stdout, sys.stderr = (_Tee(each or nowhere, log, progress) for each in (stdout, stderr))
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
        if progress is not None:
            # Who reads the log prints it.
            raise SystemExit(1) from None
        raise
    finally:
        sys.stdout, sys.stderr = stdout, stderr
        _say(log, f"{snakemake.rule}{ending}{time.monotonic() - started:.1f} s")
        with suppress(OSError):
            log.close()
        if progress is not None:
            progress.unlink(missing_ok=True)
        gc.freeze()  # The process ends, without a last search of all that it has.


_MORE_MEMORY = (
    "Give its rule more memory (--set-resources RULE:mem_mb=8000), or let fewer jobs run at a time "
    "(--cores 1), and run again. Finished results are kept, and a job with a checkpoint continues "
    "from it."
)


def _progress_file(log: Path) -> Path | None:
    """Return the file of a job's progress, by its log, None where the job prints it itself."""
    folder = os.environ.get(PROGRESS)
    return Path(folder, quote(str(log), safe="")) if folder else None


@dataclass(frozen=True)
class Progress:
    """The share of a loop that is done, and what its progress bar says."""

    share: float
    text: str


def progress_of(log: str) -> Progress | None:
    """Return the progress of the job with this log, None if it states none."""
    file = _progress_file(Path(log))
    try:
        bar = "" if file is None else read_text(file)
    except OSError:
        return None
    found = _BAR.match(bar)
    return found and Progress(int(found[2]) / 100, f"{found[1]}: {found[3]}, {found[4]} left")


def said_of(log: str) -> list[str]:
    """Return the lines that the job with this log has printed."""
    try:
        lines = read_text(log).splitlines()
    except OSError:
        return []
    frame = _STARTED, _DONE, _FAILED
    return [line for line in lines if line.strip() and not any(each in line for each in frame)]


def findings_of(log: str) -> str:
    """Return the last line that a job has printed, which says what it found; or nothing."""
    return next(reversed(said_of(log)), "")


def _say(log: TextIO, line: str) -> None:
    with suppress(OSError):
        log.write(line + "\n")


def was_interrupted(told: Iterable[str | os.PathLike[str]]) -> bool:
    """Return whether Ctrl+C has ended a run, from Snakemake's own logs."""
    for path in told:
        with suppress(OSError):
            if _STOPPED in read_text(path):
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
            logs.update(_DIED.findall(read_text(path)))
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
        lines = read_text(log).splitlines()
    except OSError:
        return False
    if not lines or _STARTED not in lines[0]:
        return False
    return not any(ending in lines[-1] for ending in (_DONE, _FAILED))
