"""Whether Firedrake is installed and solves a PDE, for `popinv doctor`.

It runs in broken environments, so it imports nothing that is not of the standard library.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import util
from pathlib import Path

from popinv.findings import Finding, Purpose, first_line, version_of
from popinv_models.finite_elements.firedrake import FINITE_ELEMENT_KINDS, HOW_TO_GET_IT

# These are not dependencies of the base package, but its finite-element models need them.
FINITE_ELEMENT_STACK = ("firedrake", "petsc4py", "mpi4py")
# The kernels are compiled on first use, which takes time on a slow or busy machine.
SOLVE_SECONDS = 600
# On the mesh of `poisson_error` the discretisation error is 7e-5.
SOLVE_TOLERANCE = 1e-3
# Number of lines shown of a failed solve's output. MPI takes a dozen lines to give a reason.
STDERR_LINES = 15
# Command-line options cannot be used, as PETSc reads the command line for its own.
SOLVE_PROGRAM = f"from {__name__} import poisson_error; print('error', poisson_error())"


def examine(purpose: Purpose) -> Iterator[Finding]:
    """Yield what is found, if Firedrake is wanted.

    It is wanted if it is there in part, if `make setup` was to install it, or if a kind that is to
    be run needs it.
    """
    there = any(util.find_spec(name) for name in ("firedrake", "petsc4py"))
    if not (purpose.of_checkout or there or purpose.kinds & set(FINITE_ELEMENT_KINDS)):
        kinds = " and ".join(FINITE_ELEMENT_KINDS)
        yield Finding("firedrake", f"not installed; only {kinds} need it. {HOW_TO_GET_IT}")
        return
    for name in FINITE_ELEMENT_STACK:
        yield version_of(name, mending(purpose))
    yield from find_programs(purpose)
    yield from find_petsc(purpose)
    yield from find_solve(purpose)


def mending(purpose: Purpose) -> str:
    """Return what mends Firedrake, or what it needs."""
    return "run `make setup`" if purpose.of_checkout else HOW_TO_GET_IT


def find_programs(purpose: Purpose) -> Iterator[Finding]:
    """Report the compilers and MPI; Firedrake compiles its kernels at run time."""
    for topic, program, needed in (
        ("C compiler", "cc", True),
        ("C++ compiler", "c++", False),
        ("MPI compiler", "mpicc", True),
        ("MPI launcher", "mpiexec", False),
    ):
        path = shutil.which(program)
        version = first_line([path, "--version"]) if path else None
        if path:
            yield Finding(topic, f"{version or 'version unknown'} at {path}")
        elif needed:
            text = f"no {program} on the path: {mending(purpose)}"
            yield Finding(topic, text, ok=False)
        else:
            yield Finding(topic, f"no {program} on the path (not needed)")


def petsc_folder() -> Path | None:
    """Return the folder of the PETSc that petsc4py was compiled against, if any."""
    spec = util.find_spec("petsc4py")
    if spec is None or spec.origin is None:
        return None
    settings = Path(spec.origin).parent / "lib" / "petsc.cfg"
    if not settings.is_file():
        return None
    match = re.search(r"^PETSC_DIR\s*=\s*(\S+)", settings.read_text(), re.MULTILINE)
    return Path(match[1]) if match else None


def find_petsc(purpose: Purpose) -> Iterator[Finding]:
    """Report the place of PETSc and the options with which it was configured."""
    folder = petsc_folder()
    if folder is None:
        yield Finding("PETSc", f"petsc4py names none: {mending(purpose)}", ok=False)
        return
    variables = folder / "lib" / "petsc" / "conf" / "petscvariables"
    if not variables.is_file():
        text = f"petsc4py was built against {folder}, which is gone: {mending(purpose)}"
        yield Finding("PETSc", text, ok=False)
        return
    asked = os.environ.get("PETSC_DIR")
    if asked and Path(asked) != folder:
        text = f"PETSC_DIR is {asked}, but petsc4py was built against {folder}: unset PETSC_DIR"
        yield Finding("PETSc", text, ok=False)
    match = re.search(r"^CONFIGURE_OPTIONS\s*=\s*(.*)$", variables.read_text(), re.MULTILINE)
    yield Finding("PETSc", str(folder))
    yield Finding("PETSc options", match[1].strip() if match else "unknown")


def poisson_error() -> float:
    r"""Solve a Poisson problem with Firedrake and return its error.

    .. math:: -\Delta u = 2 \pi^2 \sin(\pi x) \sin(\pi y)
        \quad\text{on } (0, 1)^2, \qquad u = 0 \text{ on the boundary},

    whose solution is :math:`u = \sin(\pi x) \sin(\pi y)`, with quadratic
    elements on a regular mesh of 16 x 16 squares.

    Returns
    -------
    float
        The :math:`L^2` norm of the error.
    """
    import firedrake as fd

    mesh = fd.UnitSquareMesh(16, 16)
    space = fd.FunctionSpace(mesh, "CG", 2)
    x, y = fd.SpatialCoordinate(mesh)
    exact = fd.sin(fd.pi * x) * fd.sin(fd.pi * y)
    u, v = fd.TrialFunction(space), fd.TestFunction(space)
    solution = fd.Function(space)
    fd.solve(
        fd.inner(fd.grad(u), fd.grad(v)) * fd.dx == 2 * fd.pi**2 * exact * v * fd.dx,
        solution,
        bcs=fd.DirichletBC(space, 0, "on_boundary"),
    )
    return float(fd.errornorm(exact, solution))


def find_solve(purpose: Purpose) -> Iterator[Finding]:
    """Report whether Firedrake solves a problem with a known solution.

    The solve runs in a separate process: MPI ends the whole process on some
    errors, and the report must survive this.
    """
    if util.find_spec("firedrake") is None:
        text = "not tried, Firedrake is not installed; the finite-element models need it"
        yield Finding("Poisson solve", f"{text}: {mending(purpose)}", ok=False)
        return
    command = [sys.executable, "-c", SOLVE_PROGRAM]
    start = time.perf_counter()
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=SOLVE_SECONDS,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        yield Finding("Poisson solve", f"no answer within {SOLVE_SECONDS} s", ok=False)
        return
    seconds = time.perf_counter() - start
    yield _judge_solve(done, seconds)


def _judge_solve(done: subprocess.CompletedProcess[str], seconds: float) -> Finding:
    """Turn the outcome of the solving process into a finding."""
    topic = "Poisson solve"
    answer = re.search(r"^error (\S+)$", done.stdout, re.MULTILINE)
    if done.returncode != 0 or answer is None:
        said = done.stderr.strip().splitlines()[-STDERR_LINES:] or ["no output"]
        text = "\n      ".join([f"failed (status {done.returncode}):", *said])
        return Finding(topic, text, ok=False)
    error = float(answer[1])
    # The comparison is written so that a NaN is a failure.
    if not error < SOLVE_TOLERANCE:
        text = f"wrong answer: error {error:.1e}, at most {SOLVE_TOLERANCE:.0e} expected"
        return Finding(topic, text, ok=False)
    return Finding(topic, f"OK, error {error:.1e}, {seconds:.1f} s with start and compilation")
