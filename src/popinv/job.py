"""The frame of a workflow script: where it logs, and how it fails.

What a script prints goes to the terminal and to the rule's log file. An error that the package
raises on purpose ends the job with its message alone; any other leaves its traceback in the log.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from popinv.errors import PopinvError

__all__ = ["job"]


class _Tee:
    """A stream that writes to another and, but for progress bars, to a log."""

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self._stream, self._log = stream, log

    def write(self, text: str) -> int:
        self._stream.write(text)
        if "\r" not in text:
            self._log.write(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()
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
    path = Path(snakemake.log[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    stdout, stderr = sys.stdout, sys.stderr
    with path.open("w") as log:
        sys.stdout, sys.stderr = _Tee(stdout, log), _Tee(stderr, log)
        try:
            yield
            log.write(f"{snakemake.rule}: done in {time.monotonic() - started:.1f} s\n")
        except PopinvError as error:
            print(f"\n{snakemake.rule}: {error}\n", file=sys.stderr)
            raise SystemExit(1) from None
        except Exception:
            log.write(traceback.format_exc())
            raise
        finally:
            sys.stdout, sys.stderr = stdout, stderr
