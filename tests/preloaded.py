"""Python processes that start with everything imported: imports are most of what a short job costs.

One process imports the libraries and popinv, and forks for each program that it is asked to run.
The program has its own process, arguments, environment, folder and streams. Snakemake in such a
process starts the rules' scripts in the same way.

What starts, imports or signals processes is tested with ordinary ones: see ``Workflow``.
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
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

SCRIPT = "popinv script"
"""The name of a forked process that runs a script, which it keeps open."""
SOCKET = "POPINV_TESTS_PRELOADED"
"""The environment variable that names the socket of the process that forks."""

SOURCES = Path(__file__).parents[1] / "src"
LIBRARIES = (
    "snakemake.cli", "snakemake.script", "snakemake.executors.local", "snakemake.benchmark",
    "numba", "pandas", "scipy.stats", "torch.func", "zarr", "matplotlib.backends.backend_agg",
)  # fmt: skip
# Firedrake is not among what they import: MPI does not survive a fork.
PARTS = (
    *(f"popinv/{part}" for part in ("config", "workflow", "cli", "figures", "report", "*/stages")),
    *("popinv/methods", "popinv/methods/*", "popinv_papers", "popinv_papers/*"),
)


def _answer(connection: socket.socket, content: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(content).encode() + b"\n")


def _serve(listening: socket.socket) -> None:
    """Fork for each request, and tell the asker the process and how it ended."""
    with selectors.DefaultSelector() as selector:
        selector.register(listening, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj == 0:
                    # Whoever started this process has ended.
                    return
                if key.fileobj is not listening:
                    pidfd = key.fd
                    connection, pid = key.data
                    selector.unregister(pidfd)
                    os.close(pidfd)
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    _answer(connection, {"returncode": code})
                    connection.close()
                    continue
                connection, _ = listening.accept()
                asked, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
                while asked and not asked.endswith(b"\n"):
                    # Without an end the asker has gone.
                    asked = asked + more if (more := connection.recv(1 << 20)) else b""
                if not asked:
                    connection.close()
                    continue
                pid = os.fork()
                if pid == 0:
                    selector.close()
                    listening.close()
                    connection.close()
                    _run(json.loads(asked), streams)
                for stream in streams:
                    os.close(stream)
                _answer(connection, {"pid": pid})
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (connection, pid))


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
    code = 0
    try:
        program, *arguments = asked["argv"]
        if program == "-m":
            sys.argv = arguments
            if arguments[0] == "snakemake":
                _scripts_are_forked_too()
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = [program, *arguments]
            sys.path[0] = str(Path(program).parent)
            # Its command line stays that of the process that forks: these tell what runs.
            Path("/proc/self/comm").write_text(SCRIPT)
            with open(program):
                runpy.run_path(program, run_name="__main__")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code & 0xFF)


class Forked:
    """A process that was forked, with what Snakemake needs of ``subprocess.Popen``."""

    stdout = None

    def __init__(
        self, at: str, argv: Sequence[str], cwd: str, env: dict[str, str], streams: Sequence[int]
    ) -> None:
        self.args = list(argv)
        self.returncode: int | None = None
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(at)
        asked = json.dumps({"argv": self.args, "cwd": cwd, "env": env}).encode() + b"\n"
        socket.send_fds(connection, [asked[:1]], list(streams))
        connection.sendall(asked[1:])
        self._answers = connection.makefile()
        connection.close()
        self.pid = json.loads(self._answers.readline())["pid"]

    def wait(self) -> int:
        """Return how the process ended, a signal as a negative number."""
        if self.returncode is None:
            self.returncode = int(json.loads(self._answers.readline())["returncode"])
            self._answers.close()
        return self.returncode

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def _scripts_are_forked_too() -> None:
    """Let Snakemake in this process fork the rules' scripts instead of starting Python."""
    at = os.environ[SOCKET]
    started = f" {sys.executable} "

    def popen(cmd: str, *arguments: Any, env: dict[str, str], **options: Any) -> Any:
        script = cmd.partition(started)[2]
        if "/.snakemake/scripts/" not in script:
            return subprocess.Popen(cmd, *arguments, env=env, **options)
        return Forked(at, shlex.split(script), os.getcwd(), env, (0, 1, 2))

    sys.modules["snakemake.shell"].sp = SimpleNamespace(**{**vars(subprocess), "Popen": popen})


@cache
def _server() -> tuple[str, subprocess.Popen[bytes]]:
    """Start the process that forks, once for all tests of this process."""
    at = str(Path(tempfile.mkdtemp(prefix="popinv-tests-")) / "socket")
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    command = [sys.executable, "-P", __file__, at]
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    atexit.register(_stop, server, Path(at).parent)
    return at, server


def _stop(server: subprocess.Popen[bytes], folder: Path) -> None:
    # The end of its input is the end of the process.
    server.communicate()
    shutil.rmtree(folder, ignore_errors=True)


def run(
    argv: Sequence[str], cwd: Path, env: dict[str, str], *, together: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a module (``["-m", name, ...]``) or a script, and return what it printed.

    With ``together`` both streams are in ``stdout``, as with ``stderr=subprocess.STDOUT``.
    """
    at, _ = _server()
    with (
        open(os.devnull) as nothing,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        streams = [nothing.fileno(), out.fileno(), (out if together else err).fileno()]
        code = Forked(at, argv, str(cwd), {**env, SOCKET: at}, streams).wait()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(list(argv), code, out.read(), err.read())


def _import_all() -> None:
    for library in LIBRARIES:
        importlib.import_module(library)
    for part in PARTS:
        for file in sorted(SOURCES.glob(f"{part}/*.py")):
            parts = file.relative_to(SOURCES).with_suffix("").parts
            importlib.import_module(".".join(parts).removesuffix(".__init__"))
    assert "firedrake" not in sys.modules
    # Each Snakemake reads the source of the whole package.
    from popinv.workflow.fingerprint import code_and_imports

    for file in SOURCES.rglob("*.py"):
        code_and_imports(file)


def _main(at: str) -> None:
    _import_all()
    # The collector would otherwise touch, and so copy, all of it in every process.
    gc.collect()
    gc.freeze()
    # An interrupt at the terminal is for the tests, which end this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(at)
    listening.listen(64)
    print("ready", flush=True)
    _serve(listening)


if __name__ == "__main__":
    _main(sys.argv[1])
