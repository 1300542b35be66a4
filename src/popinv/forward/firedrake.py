"""Firedrake, set up for one process and one thread."""

from __future__ import annotations

import functools
import os
import warnings
from types import ModuleType

__all__ = ["load_firedrake"]


@functools.cache
def load_firedrake() -> ModuleType:
    """Import Firedrake on first use, set up for one process and one thread.

    Returns
    -------
    module
        ``firedrake``; settings of the environment that are already there are kept.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Kernels linked with -ffast-math switch off subnormal numbers for the whole process when they
    # are loaded: results of other code would then depend on whether a solver was built before.
    flags = os.environ.get("PYOP2_CFLAGS", "")
    if "-fno-fast-math" not in flags:
        os.environ["PYOP2_CFLAGS"] = f"{flags} -fno-fast-math".strip()
    # PETSc reads the command line, and would complain about the caller's own options.
    os.environ.setdefault("FIREDRAKE_DISABLE_OPTIONS_LEFT", "1")
    with warnings.catch_warnings():
        # The warning concerns parallel partitioners and direct solvers, which one process does not
        # use.
        warnings.filterwarnings("ignore", message="No external package for")
        import firedrake

    return firedrake
