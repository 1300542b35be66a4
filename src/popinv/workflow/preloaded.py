"""Jobs of a run on one machine as forks of one process that has imported what they need.

The start of Python with torch, xarray, zarr and numba takes longer than many a job. One process
imports them while the first job runs, and forks for each script that it is asked to run. A script
has its own process, arguments, environment, folder and streams, and ends as one that was started
anew. Libraries with MPI are not imported before: MPI does not survive a fork.

Snakemake has no interface for how the process of a script starts. :func:`fork_scripts` therefore
replaces what :mod:`snakemake.shell` starts processes with. Where nobody answers, as on a cluster or
before the modules are imported, a script starts anew.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from popinv.workers import end_with
from popinv.workflow.processor import ONE_THREAD

PRELOADED = "POPINV_PRELOADED"
"""Variable of the environment: the socket of the process that forks, or ``none`` for no forks."""
SCRIPT = "popinv script"
"""The name of a forked process that runs a script, which it keeps open."""

_LIBRARIES = ("numba", "torch.func", "scipy.stats", "xarray", "zarr")
# What Snakemake puts before each command of a shell.
_SHELL_PREFIX = "set -euo pipefail;"


class Forked:
    """A process that was forked, with what Snakemake needs of ``subprocess.Popen``.

    Parameters
    ----------
    at : str
        The socket of the process that forks.
    argv : sequence of str
        A script or ``-m`` and a module, and arguments.
    cwd : str
    env : dict of str to str
    streams : sequence of int
        File descriptors of standard input, output and error.

    Raises
    ------
    OSError
        If nobody answers.
    """

    stdout = None

    def __init__(
        self, at: str, argv: Sequence[str], cwd: str, env: dict[str, str], streams: Sequence[int]
    ) -> None:
        self.args = list(argv)
        self.returncode: int | None = None
        asked = json.dumps({"argv": self.args, "cwd": cwd, "env": env}).encode() + b"\n"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(at)
            socket.send_fds(connection, [asked[:1]], list(streams))
            connection.sendall(asked[1:])
            self._answers = connection.makefile()
        if not (answer := self._answers.readline()):
            raise ConnectionError(f"{at}: nobody answers")
        self.pid = int(json.loads(answer)["pid"])

    def wait(self) -> int:
        """Return how the process ended, a signal as a negative number."""
        if self.returncode is None:
            # Without an answer its parent was killed, and the process with it.
            answer = self._answers.readline() or f'{{"returncode": {-signal.SIGKILL}}}'
            self.returncode = int(json.loads(answer)["returncode"])
            self._answers.close()
        return self.returncode

    def terminate(self) -> None:
        """Ask the process to end."""
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the process."""
        os.kill(self.pid, signal.SIGKILL)


def fork_scripts(modules: Iterable[str]) -> None:
    """Let Snakemake in this process fork the scripts of its jobs.

    Parameters
    ----------
    modules : iterable of str
        What the scripts import. A module that cannot be imported is left to the scripts.
    """
    at = os.environ.get(PRELOADED, "")
    if at == "none" or sys.platform != "linux":
        return
    if not at:
        # The name of a socket has at most 107 bytes.
        short = len(os.fsencode(tempfile.gettempdir())) < 60
        folder = tempfile.mkdtemp(prefix="popinv_preloaded_", dir=None if short else "/tmp")
        at = str(Path(folder, "socket"))
        # It ends with its input, which this process holds.
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, at, *_LIBRARIES, *modules],
            stdin=subprocess.PIPE,
            env={**os.environ, **ONE_THREAD},
        )
        atexit.register(server.communicate)

    def popen(cmd: Any, *arguments: Any, **options: Any) -> Any:
        if script := script_of(str(cmd), **options):
            with contextlib.suppress(OSError):
                return Forked(at, script, os.getcwd(), options["env"], (0, 1, 2))
        return subprocess.Popen(cmd, *arguments, **options)

    with_forks = SimpleNamespace(**{**vars(subprocess), "Popen": popen})
    sys.modules["snakemake.shell"].sp = with_forks  # type: ignore[attr-defined]


def script_of(command: str, stdout: Any = None, **options: Any) -> list[str]:
    """Return the script and arguments of a command of Snakemake that runs no more than a script.

    It is empty for any other command, such as one that enters another environment first, and where
    the output is read.
    """
    before, _, rest = command.partition(f" {sys.executable} ")
    plain = before.strip() in ("", _SHELL_PREFIX) and stdout != subprocess.PIPE
    return shlex.split(rest) if plain and "/.snakemake/scripts/" in rest else []


def serve(at: str) -> None:
    """Fork for each program that a socket requests, until standard input ends."""
    # The collector would otherwise touch, and so copy, all modules in every process.
    gc.collect()
    gc.freeze()
    # An interrupt at the terminal is for the scripts.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening, selectors.DefaultSelector() as selector:
        listening.bind(at)
        listening.listen(64)
        selector.register(listening, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj == 0:
                    # Whoever started this process has ended.
                    return
                if key.fileobj is listening:
                    _fork(selector, listening)
                else:
                    selector.unregister(key.fileobj)
                    os.close(key.fd)
                    connection, pid = key.data
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    _answer(connection, {"returncode": code})
                    connection.close()


def _fork(selector: selectors.BaseSelector, listening: socket.socket) -> None:
    """Fork for a request, and tell the asker the process."""
    connection, _ = listening.accept()
    asked, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    while asked and not asked.endswith(b"\n"):
        # Without an end the asker has gone.
        asked = asked + more if (more := connection.recv(1 << 20)) else b""
    if not asked:
        connection.close()
        return
    parent, pid = os.getpid(), os.fork()
    if pid == 0:
        selector.close()
        listening.close()
        connection.close()
        end_with(parent)
        # What imports have registered, as torch for each of its libraries, the parent undoes once
        # at its own end. Each script would take 35 ms for it.
        for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
            finalizer.atexit = False
        _run(json.loads(asked), streams)
    for stream in streams:
        os.close(stream)
    _answer(connection, {"pid": pid})
    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (connection, pid))


def _answer(connection: socket.socket, content: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(content).encode() + b"\n")


def _run(asked: dict[str, Any], streams: Sequence[int]) -> NoReturn:
    """Be a new Python process that runs a module (``-m name``) or a script."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    tempfile.tempdir = None
    sys.path.insert(0, "")
    code, interrupted = 0, False
    try:
        program, *arguments = asked["argv"]
        if program == "-m":
            sys.argv = arguments
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = [program, *arguments]
            sys.path[0] = str(Path(program).parent)
            # It keeps the command line of the process that forks: these tell what runs.
            Path("/proc/self/comm").write_text(SCRIPT)
            with open(program):
                runpy.run_path(program, run_name="__main__")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException as error:
        below = error.__traceback__
        # Without the frames that run the script.
        while below is not None and below.tb_frame.f_code.co_filename != program:
            below = below.tb_next
        traceback.print_exception(error.with_traceback(below or error.__traceback__))
        code, interrupted = 1, isinstance(error, KeyboardInterrupt)
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        with contextlib.suppress(OSError, ValueError):
            # A closed stream is None.
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()
        if interrupted:
            # As Python does, so that whoever waits knows why.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(code & 0xFF)


def _main(at: str, modules: Sequence[str]) -> None:
    gc.disable()
    for name in modules:
        # A script that needs it reports what is wrong.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    gc.enable()
    try:
        serve(at)
    finally:
        shutil.rmtree(Path(at).parent, ignore_errors=True)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2:])
