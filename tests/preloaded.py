"""Python processes that start with everything imported: imports are most of what a short job costs.

One process imports the libraries and popinv, and forks for each program that it is asked to run
(:mod:`popinv.workflow.preloaded`). Snakemake in such a process has it fork the rules' scripts too.

What starts, imports or signals processes is tested with ordinary ones: see ``Workflow``.
"""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

import psutil
import reach
import yaml
from filelock import FileLock

from popinv.workflow.preloaded import PRELOADED, Forked, _run, serve

SOURCES = Path(__file__).parents[1] / "src"
LIBRARIES = (
    "snakemake.cli", "snakemake.script", "snakemake.executors.local", "snakemake.benchmark",
    "snakemake.report", "smart_open", "docutils.parsers.rst",
    "numba", "pandas", "scipy.stats", "torch.func", "zarr", "matplotlib.backends.backend_agg",
)  # fmt: skip
PARTS = (
    *(f"popinv/{part}" for part in ("config", "workflow", "cli", "figures", "report", "*/stages")),
    *("popinv/methods", "popinv/methods/*", "popinv_papers", "popinv_papers/*"),
)


# Folder of the process that forks, which all processes of a run of the tests share.
FOLDER = "POPINV_TESTS_PRELOADED"
# The variable by which pytest-xdist tells a process of the tests which one it is.
_WORKER = "PYTEST_XDIST_WORKER"


def begin() -> Callable[[], None]:
    """Prepare the process that forks, which starts when it is needed; return what ends it."""
    folder = Path(tempfile.mkdtemp(prefix="popinv-tests-"))
    os.environ[FOLDER] = str(folder)
    os.mkfifo(folder / "open")
    # The process that forks ends when this is closed, by whatever end of this process.
    held = os.open(folder / "open", os.O_RDWR)

    def end() -> None:
        os.close(held)
        shutil.rmtree(folder, ignore_errors=True)

    return end


def pid() -> int | None:
    """Return the process that forks, None if it has not started."""
    try:
        return int(Path(os.environ[FOLDER], "pid").read_text())
    except (KeyError, OSError, ValueError):
        return None


def seconds() -> float:
    """Return the processor seconds of the programs that have ended here."""
    told = Path(os.environ.get(FOLDER, os.devnull), os.environ.get(_WORKER, "alone"))
    try:
        return sum(map(float, told.read_text().split()))
    except OSError:
        return 0.0


def megabytes() -> float:
    """Return the memory of the process that forks, with all that it has imported."""
    started()
    return psutil.Process(pid()).memory_info().rss / 1e6


@cache
def started() -> str:
    """Start the process that forks, unless another process of the tests has; return its socket."""
    folder = Path(os.environ[FOLDER])
    at = folder / "socket"
    with FileLock(folder / "lock"):
        if not at.exists():
            environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
            with open(folder / "open", "rb") as held:
                command = [sys.executable, __file__, str(at)]
                server = subprocess.Popen(command, stdin=held, env=environment)
            while not at.exists():
                assert server.poll() is None
                time.sleep(0.05)
            (folder / "pid").write_text(str(server.pid))
    return str(at)


def run(
    argv: Sequence[str], cwd: Path, env: dict[str, str], *, together: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a module (``["-m", name, ...]``) or a script, and return what it printed.

    With ``together`` both streams are in ``stdout``, as with ``stderr=subprocess.STDOUT``.
    """
    at = started()
    with (
        open(os.devnull) as nothing,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        streams = [nothing.fileno(), out.fileno(), (out if together else err).fileno()]
        code = Forked(at, argv, str(cwd), {**env, PRELOADED: at}, streams).wait()
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
    # The first study that is read has its sections' validators made.
    from popinv.config.loading import load

    load(yaml.safe_load((SOURCES.parent / "config/config.yaml").read_text()))


def _timed(asked: dict[str, Any], streams: Sequence[int]) -> NoReturn:
    """Be a new process that tells its processor seconds when it ends."""
    told = Path(os.environ[FOLDER], asked["env"].get(_WORKER, "alone"))

    def tell() -> None:
        with told.open("a") as file:
            file.write(f"{sum(os.times()[:4]):.2f}\n")

    atexit.register(tell)
    if os.environ.get(reach.FOLDER) and (test := asked["env"].get("PYTEST_CURRENT_TEST")):
        atexit.register(reach.begun(test))
    _run(asked, streams)


if __name__ == "__main__":
    # Programs do not find the modules of the tests.
    sys.path.pop(0)
    _import_all()
    with patch("popinv.workflow.preloaded._run", _timed):
        serve(sys.argv[1])
