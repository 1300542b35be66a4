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
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import psutil

from popinv.workflow.preloaded import PRELOADED, Forked, serve

SOURCES = Path(__file__).parents[1] / "src"
LIBRARIES = (
    "snakemake.cli", "snakemake.script", "snakemake.executors.local", "snakemake.benchmark",
    "numba", "pandas", "scipy.stats", "torch.func", "zarr", "matplotlib.backends.backend_agg",
)  # fmt: skip
PARTS = (
    *(f"popinv/{part}" for part in ("config", "workflow", "cli", "figures", "report", "*/stages")),
    *("popinv/methods", "popinv/methods/*", "popinv_papers", "popinv_papers/*"),
)


def megabytes() -> float:
    """Return the memory of the process that forks, with all that it has imported."""
    return psutil.Process(_server()[1].pid).memory_info().rss / 1e6


@cache
def _server() -> tuple[str, subprocess.Popen[bytes]]:
    """Start the process that forks, once for all tests of this process."""
    at = Path(tempfile.mkdtemp(prefix="popinv-tests-")) / "socket"
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    command = [sys.executable, "-P", __file__, str(at)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    atexit.register(_stop, server, at.parent)
    while not at.exists():
        assert server.poll() is None
        time.sleep(0.05)
    return str(at), server


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


if __name__ == "__main__":
    _import_all()
    serve(sys.argv[1])
