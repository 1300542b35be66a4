"""The user's own program as a forward model: it is run once for each batch.

Two files go between this package and the program: parameters in, observations out.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from popinv.errors import SolverError
from popinv.forward.executable.section import Executable
from popinv.forward.external import messages
from popinv.forward.external.evaluation import CallFailed
from popinv.forward.external.messages import ended, last_lines, time_limit
from popinv.forward.external.model import ExternalModel
from popinv.forward.external.reaper import Reaper, environment
from popinv.sections.tables import is_number

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
                    env=environment(),
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


def write_input(path: Path, names: Sequence[str], z: np.ndarray, seeds: np.ndarray | None) -> None:
    """Write the parameters of some systems, with 17 digits, which is exact.

    Parameters
    ----------
    path : Path
        Ends in ``.csv`` or ``.npy``.
    names : sequence of str, length d_z
    z : ndarray of shape (n, d_z)
    seeds : ndarray of int, shape (n,), or None
        A last column, where given.
    """
    if path.suffix == ".npy":
        np.save(path, z if seeds is None else np.column_stack([z, seeds]))
        return
    header, rows = list(names), [[f"{value:.17g}" for value in row] for row in z]
    if seeds is not None:
        header.append("seed")
        for row, seed in zip(rows, seeds, strict=True):
            row.append(str(seed))
    path.write_text("".join(",".join(row) + "\n" for row in [header, *rows]))


def read_output(path: Path, numbers: int | None = None) -> np.ndarray:
    """Read the output of a program.

    Parameters
    ----------
    path : Path
        Ends in ``.csv`` (numbers separated by commas or spaces) or ``.npy``.
    numbers : int, optional
        How many numbers are expected, which limits the size of the file.

    Returns
    -------
    ndarray of float64, shape (n, d_y)

    Raises
    ------
    CallFailed
        If there is no such file.
    SolverError
        If it is not a table of numbers, or too large to be one.
    """
    if not os.path.lexists(path):
        raise CallFailed("the program wrote no output file")
    if not path.is_file():
        # Reading a pipe could wait without end.
        raise SolverError("the program's output is not a regular file")
    most = messages.LARGEST_ANSWER if numbers is None else messages.largest_text(numbers)
    if (size := path.stat().st_size) > most:
        expected = "" if numbers is None else f" for {numbers} numbers"
        raise SolverError(
            f"the program's output has {size} bytes, but at most {most} are read{expected}; if "
            "that is correct, lower 'forward.rows_per_call', or write fewer characters"
        )
    if path.suffix == ".csv":
        return _read_csv(path)
    return _read_npy(path)


def _read_npy(path: Path) -> np.ndarray:
    try:
        # The file is mapped first, so that the size in its header is not allocated before the data
        # exist. Objects are refused, as restoring them would run code.
        values = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, TypeError, OSError, EOFError, OverflowError) as error:
        why = str(error).split(". ")[0]
        raise SolverError(f"the program's output is not a .npy file of numbers: {why}") from error
    if values.dtype.kind not in "iuf":
        raise SolverError(
            f"the program's output has entries of type {values.dtype}, but they must be numbers"
        )
    return np.array(values, dtype=np.float64)


def _read_csv(path: Path) -> np.ndarray:
    try:
        text = path.read_text()
    except UnicodeDecodeError as error:
        raise SolverError(f"the program's output is not text: {error}") from error
    lines = [(i, line.strip()) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    rows: list[list[float]] = []
    for i, (number, line) in enumerate(lines):
        cells = [cell.strip() for cell in line.split(",")] if "," in line else line.split()
        try:
            rows.append([float(cell) for cell in cells])
        except ValueError as error:
            if i == 0 and not any(map(is_number, cells)):
                continue  # the names
            raise SolverError(f"the program's output, line {number}: {error}") from None
        if len(rows[-1]) != len(rows[0]):
            raise SolverError(
                f"the program's output, line {number}: has {len(rows[-1])} columns, but the lines "
                f"before have {len(rows[0])}"
            )
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1 if rows else 0)


def program(section: Executable) -> Program:
    """Return the program of a section."""
    return Program(
        section.command,
        [each.name for each in section.inputs()],
        section.format,
        section.pass_seed,
        section.observations.asked_count(),
    )


def forward_model(section: Executable, seed: int) -> ExternalModel:
    """Return the program as a forward model."""
    return ExternalModel(section, seed, partial(program, section), section.rows_per_call)
