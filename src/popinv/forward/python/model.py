"""The user's own Python function as a forward model, in a worker process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from multiprocessing import Pipe
from typing import IO, Any

import numpy as np

from popinv.errors import SolverError
from popinv.forward.external.differentiable import DifferentiableExternalModel
from popinv.forward.external.evaluation import CallFailed
from popinv.forward.external.messages import LARGEST_ANSWER, ended, last_lines, time_limit
from popinv.forward.external.model import ExternalModel
from popinv.forward.external.reaper import Reaper, environment
from popinv.forward.inputs.shape import InputsShape
from popinv.forward.python import worker
from popinv.forward.python.derivatives import JVP, VALUES, VJP
from popinv.forward.python.exchange import ASKED, FAILED, READY, UNUSABLE, pack, unpack
from popinv.forward.python.section import PythonFunction

# Imports may be slow, above all on a shared file system.
_START_LIMIT = 300.0
_LOOK_EVERY = 0.5
_LEAVE_LIMIT = 1.0
_SHOWN_LINES = 20
# Bytes around the numbers of an answer.
_HEADER = 2**16


class WorkerProcess:
    """The user's function in a process that is started when needed, and again after it is lost.

    Parameters
    ----------
    function : str
        ``module:function``.
    folder : str
        Folder of the module.
    derivatives : str
        The source of derivatives, "jacobian" or "torch"; "" where there are none.
    vectorised : bool
        Whether the function takes a table of systems; otherwise it takes one.
    design : int
        Number of entries of the design.
    times : list of float, optional
        The times of the observations, for a function that takes them.
    width : int, optional
        Number of observations, for advice where a function takes one system unexpectedly.
    inputs : InputsShape, optional
        The inputs over time, which follow the design.
    """

    def __init__(
        self,
        function: str,
        folder: str,
        derivatives: str,
        vectorised: bool,
        design: int = 0,
        times: list[float] | None = None,
        width: int | None = None,
        inputs: InputsShape | None = None,
    ) -> None:
        beside = json.dumps(
            {
                "design": design,
                "times": times,
                "vectorised": vectorised,
                "width": width,
                "inputs": None if inputs is None else (inputs.quantities, inputs.count),
            }
        )
        self._arguments = (os.path.abspath(folder), function, derivatives, beside)
        self._process: subprocess.Popen[bytes] | None = None
        # Another thread may close the process during a call.
        self._lock = threading.Lock()
        self._connection: Any = None
        self._reaper = Reaper()
        self._printed: IO[bytes] | None = None

    def call(self, z: np.ndarray, seeds: np.ndarray, seconds: float) -> np.ndarray:
        """Return what the function returns for a batch.

        Raises
        ------
        CallFailed
            If the function raises, takes too long, or takes its process with it.
        SolverError
            If it cannot be imported, or returns something else than numbers.
        """
        return self._asked(seconds, VALUES, z, seeds)

    def jvp(
        self, z: np.ndarray, tangents: np.ndarray, seeds: np.ndarray, seconds: float
    ) -> np.ndarray:
        """Return y and its changes for z (n, d_z) and tangents (n, k, d_z), (n, (1 + k) d_y)."""
        return self._asked(seconds, JVP, z, seeds, tangents)

    def vjp(
        self, z: np.ndarray, cotangents: np.ndarray, seeds: np.ndarray, seconds: float
    ) -> np.ndarray:
        """Return gradients for z (n, d_z) and cotangents (n, d_y), shape (n, d_z)."""
        return self._asked(seconds, VJP, z, seeds, cotangents)

    def _asked(self, seconds: float, question: str, *arrays: np.ndarray) -> np.ndarray:
        if self._process is None:
            self._start()
        kind, text, answers = self._answer(seconds, pack(ASKED, question, *arrays))
        if kind == FAILED:
            raise CallFailed(text)
        if kind == UNUSABLE or len(answers) != 1:
            raise SolverError(text or "the process of the simulator answered without numbers")
        return answers[0]

    def close(self) -> None:
        """End the process, and pass on the last lines of what it printed."""
        self._end(_LEAVE_LIMIT)
        self._reaper.close()

    def _end(self, patience: float) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        # An idle process then ends by itself.
        self._connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
        _kill(process)
        process.wait()
        self._reaper.watch(None)
        assert self._printed is not None
        for line in last_lines(self._printed, _SHOWN_LINES):
            print(f"simulator: {line}")
        self._printed.close()

    def _start(self) -> None:
        self._connection, theirs = Pipe()
        # The file is read after the process has ended.
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115
        # Without -P the working directory, full of the user's files, would come before the
        # installed packages; -u keeps what is printed before a crash. A fork would not do: this
        # process has threads.
        command = [sys.executable, "-P", "-u", "-m", worker.__name__, str(theirs.fileno())]
        self._process = subprocess.Popen(
            [*command, *self._arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._printed,
            stderr=subprocess.STDOUT,
            env=environment(),
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        self._reaper.watch(self._process.pid)
        try:
            kind, text, _ = self._answer(_START_LIMIT)
        except CallFailed as failure:
            why = f"it did not start in {_START_LIMIT:g} s" if failure.late else failure.reason
            raise SolverError(f"the process of the simulator: {why}") from None
        if kind != READY:
            self.close()
            raise SolverError(text)

    def _answer(
        self, seconds: float, question: bytes | None = None
    ) -> tuple[str, str, list[np.ndarray]]:
        """Send a request, if any, and wait for the answer; end the process if none comes."""
        process = self._process
        assert process is not None
        # Without a time limit, a process that stops within a message would block this one forever.
        watchdog = threading.Timer(seconds + _LOOK_EVERY, _kill, [process])
        watchdog.daemon = True
        watchdog.start()
        try:
            # A dead process is noticed on waiting for the answer.
            with contextlib.suppress(OSError):
                if question is not None:
                    self._connection.send_bytes(question)
            return self._receive(process, time.monotonic() + seconds, seconds)
        finally:
            watchdog.cancel()

    def _receive(
        self, process: subprocess.Popen[bytes], deadline: float, seconds: float
    ) -> tuple[str, str, list[np.ndarray]]:
        while time.monotonic() < deadline:
            try:
                if self._connection.poll(min(_LOOK_EVERY, max(0.0, deadline - time.monotonic()))):
                    return unpack(self._connection.recv_bytes(LARGEST_ANSWER + _HEADER))
            except (EOFError, OSError):
                break
            except ValueError as error:
                self._end(patience=0.0)
                raise SolverError(f"the process of the simulator: {error}") from None
            # One of its child processes may keep the connection open.
            if process.poll() is not None and not self._connection.poll():
                break
        else:
            self._end(patience=0.0)
            raise CallFailed(time_limit(seconds), lost=True, late=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LEAVE_LIMIT)
        if time.monotonic() >= deadline:
            self._end(patience=0.0)
            raise CallFailed(time_limit(seconds), lost=True, late=True)
        status = process.poll()
        self._end(patience=0.0)
        reason = "the process closed its connection" if status is None else ended(status)
        raise CallFailed(reason, lost=True)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with all that it has started, in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


_ADVICE = {
    "jacobian": "Correct the Jacobian: its entry [i, j, k] is the derivative of observation j of "
    "system i in parameter k.",
    "torch": "Every step from z to the observations must be computed by torch, without "
    "detach(), numpy(), item() or no_grad().",
}
_OR_NOT = "To disable derivatives, leave 'forward.derivatives' out."


def forward_model(section: PythonFunction, seed: int) -> ExternalModel:
    """Return the function as a forward model, differentiable if the section says so."""
    derivatives = section.derivatives
    times = section.observations.asked_times()
    start = partial(
        WorkerProcess,
        section.function,
        section.path,
        derivatives or "",
        section.vectorised,
        len(section.design_list),
        times,
        section.observations.asked_count(),
        section.inputs_shape(),
    )
    if derivatives is None:
        return ExternalModel(section, seed, start, section.rows_per_call)
    advice = f"{_ADVICE[derivatives]} {_OR_NOT}"
    return DifferentiableExternalModel(section, seed, start, section.rows_per_call, advice)
