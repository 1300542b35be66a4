"""Firedrake, set up for one process and one thread."""

from __future__ import annotations

import functools
import os
import warnings
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from popinv.errors import ConfigError
from popinv.store.cache import cache_folder

FIREDRAKE_MB = 300.0
"""Memory of Firedrake with what it imports."""
FINITE_ELEMENT_KINDS = ("elastodynamics", "porous_flow")
HOW_TO_GET_IT = (
    "`make setup` in a checkout of popinv installs it on Debian and Ubuntu; elsewhere install "
    "Firedrake as its own documentation says, then popinv into the same environment"
)


def check_firedrake(kind: str) -> None:
    """Check that Firedrake is there for a kind of forward model; it is not imported.

    Raises
    ------
    ConfigError
        With the way to get it.
    """
    if find_spec("firedrake") is None:
        raise ConfigError(
            f"kind: '{kind}' solves its equation by Firedrake, which is not installed. "
            f"{HOW_TO_GET_IT}. The kinds 'lorenz96', 'python', 'executable' and 'umbridge' work "
            "without it."
        )


@functools.cache
def load_firedrake() -> ModuleType:
    """Import Firedrake on first use, set up for one process and one thread.

    Returns
    -------
    module
        ``firedrake``; settings of the environment that are already there are kept.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Firedrake keeps compiled kernels inside the environment, so that a new one compiles all anew.
    # It also sends the caches of other libraries there, and that of popinv, unless told otherwise.
    with suppress(OSError, RuntimeError):
        os.environ.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))
        (kernels := cache_folder("firedrake")).mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("FIREDRAKE_CACHE_DIR", str(kernels))
    # PETSc reads the command line, and would complain about the caller's own options.
    os.environ.setdefault("FIREDRAKE_DISABLE_OPTIONS_LEFT", "1")
    # PETSc would catch signals for the whole process. A write to a closed connection (SIGPIPE)
    # would then end the process, where Python raises BrokenPipeError.
    given = os.environ.get("PETSC_OPTIONS", "")
    if "-no_signal_handler" not in given.split():
        os.environ["PETSC_OPTIONS"] = f"{given} -no_signal_handler".strip()
    with warnings.catch_warnings():
        # The warning concerns parallel partitioners and direct solvers, which one process does not
        # use.
        warnings.filterwarnings("ignore", message="No external package for")
        import firedrake

    # Kernels linked with -ffast-math switch off subnormal numbers for the whole process when they
    # are loaded: results of other code would then depend on whether a solver was built before. The
    # variable PYOP2_CFLAGS would be too late where Firedrake has been imported before.
    options = firedrake.parameters["pyop2_options"]
    if "-fno-fast-math" not in options["cflags"]:
        options["cflags"] = f"{options['cflags']} -fno-fast-math".strip()
    return firedrake
