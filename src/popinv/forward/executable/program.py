"""A program that is run once for each batch."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from popinv.errors import SolverError
from popinv.forward.executable.files import read_output, write_input
from popinv.forward.external.evaluation import CallFailed
from popinv.forward.external.messages import ended, last_lines, time_limit
from popinv.forward.external.reaper import Reaper

_REASON_LINES = 3


class Program:
    """A program that reads a file of parameters and writes one of observations.

    It runs in the working directory; the two files are in a temporary folder that goes with the
    call, or with the job if that is killed.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments, with ``{input}``, ``{output}`` and ``{python}``.
    names : sequence of str
        Names of the parameters.
    file_format : {"csv", "npy"}
    pass_seed : bool
        True if the input has a last column ``seed``.
    width : int, optional
        Number of observations, for the size of an output.
    """

    def __init__(
        self,
        command: Sequence[str],
        names: Sequence[str],
        file_format: str,
        pass_seed: bool,
        width: int | None = None,
    ) -> None:
        self._command, self._names, self._format = command, names, file_format
        self._pass_seed, self._width = pass_seed, width
        self._process: subprocess.Popen[bytes] | None = None
        self._reaper = Reaper()

    def call(self, z: np.ndarray, seeds: np.ndarray, seconds: float) -> np.ndarray:
        """Run the program for a batch.

        Raises
        ------
        CallFailed
            If it takes too long, ends with another status than 0, or writes no output; the reason
            ends with the last lines that it printed.
        SolverError
            If it cannot be started, or its output is not a table of numbers.
        """
        with tempfile.TemporaryDirectory(prefix="popinv_") as folder:
            self._reaper.watch(None, folder)
            given, output = (Path(folder, f"{name}.{self._format}") for name in ("input", "output"))
            write_input(given, self._names, z, seeds if self._pass_seed else None)
            self._run(given, output, seconds)
            return read_output(output, self._width and len(z) * self._width)

    def close(self) -> None:
        """End the program, if it is running."""
        process = self._process  # the call may end in the meantime
        if process is not None:
            _end(process)
        self._reaper.close()

    def _run(self, given: Path, output: Path, seconds: float) -> None:
        # Only these words are replaced, since other braces belong to the program.
        words = {"{input}": str(given), "{output}": str(output), "{python}": sys.executable}
        command = list(self._command)
        for word, path in words.items():
            command = [part.replace(word, path) for part in command]
        with tempfile.TemporaryFile() as printed:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise SolverError(f"{command[0]}: cannot be started ({error.strerror})") from error
            self._reaper.watch(self._process.pid, str(given.parent))
            try:
                status = self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                raise CallFailed(time_limit(seconds), lost=True, late=True) from None
            finally:
                process, self._process = self._process, None
                # Processes left in the background would accumulate from call to call.
                _end(process)
                process.wait()
                self._reaper.watch(None, str(given.parent))
            if status != 0:
                said = " | ".join(line.strip() for line in last_lines(printed, _REASON_LINES))
                # A signal is a crash. A program that exits with an error has only used its time.
                raise CallFailed(ended(status) + (f": {said}" if said else ""), lost=status < 0)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a program with all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
