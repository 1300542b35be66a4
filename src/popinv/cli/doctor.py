"""Check the environment, and whether it can solve a PDE.

Run it as ``python -m popinv.cli.doctor`` (or ``make doctor``). It prints one line per finding,
marks problems and their remedy, and ends with status 1 if something that the installation needs is
missing or does not work. Its own process imports little but the standard library, so it also runs
in a broken environment and explains the problem.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from popinv.forward.firedrake import FINITE_ELEMENT_KINDS, HOW_TO_GET_IT
from popinv.workflow.processor import ONE_THREAD

PYTHON_AT_LEAST = (3, 11)
# These are not dependencies of the base package, but its finite-element models need them.
FINITE_ELEMENT_STACK = ("firedrake", "petsc4py", "mpi4py")
# Extras that add to what users can do.
USER_EXTRAS = (
    "arviz",
    "bayes",
    "cluster",
    "downstream",
    "gaussian-process",
    "netcdf",
    "parquet",
    "slurm",
)
# The mark of an environment that `make setup` has made.
STAMP = ".popinv-setup"
# The kernels are compiled on first use, which takes time on a slow or busy machine.
SOLVE_SECONDS = 600
# On the mesh of `poisson_error` the discretisation error is 7e-5.
SOLVE_TOLERANCE = 1e-3
# Number of lines shown of a failed solve's output. MPI takes a dozen lines to give a reason.
STDERR_LINES = 15
# Command-line options cannot be used, as PETSc reads the command line for its own.
SOLVE_PROGRAM = "from popinv.cli.doctor import poisson_error; print('error', poisson_error())"
GPU_PROGRAM = "from popinv.cli.doctor import gpu; print(gpu())"


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Parameters
    ----------
    topic : str
        The subject of the check.
    text : str
        The result; for a problem also its remedy.
    ok : bool
        False if the package cannot work in this state.
    """

    topic: str
    text: str
    ok: bool = True


@dataclass(frozen=True)
class Purpose:
    """What an installation is for.

    Parameters
    ----------
    finite_elements : bool
        Whether Firedrake is wanted: it is there in part, `make setup` was to install it, or a
        configuration solves by it.
    of_checkout : bool
        Whether `make setup` has made the environment.
    """

    finite_elements: bool
    of_checkout: bool

    @property
    def mending(self) -> str:
        """What mends a package that is missing."""
        return "run `make setup`" if self.of_checkout else "run `pip install --upgrade popinv`"

    @property
    def firedrake_mending(self) -> str:
        """What mends Firedrake, or what it needs."""
        return "run `make setup`" if self.of_checkout else HOW_TO_GET_IT


def purpose_of(kinds: Sequence[str] = ()) -> Purpose:
    """Return what this installation is for.

    Parameters
    ----------
    kinds : sequence of str
        Kinds of forward models that are to be run.
    """
    of_checkout = Path(sys.prefix, STAMP).is_file()
    there = any(util.find_spec(name) for name in ("firedrake", "petsc4py"))
    wanted = bool(set(kinds) & set(FINITE_ELEMENT_KINDS))
    return Purpose(of_checkout or there or wanted, of_checkout)


def _first_line(command: Sequence[str]) -> str | None:
    """Return the first line that a command prints, or None if it does not run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0] if done.returncode == 0 and lines else None


def find_python(purpose: Purpose) -> Iterator[Finding]:
    """Report the interpreter and the platform."""
    wanted = ".".join(map(str, PYTHON_AT_LEAST))
    ok = sys.version_info >= PYTHON_AT_LEAST
    text = f"{platform.python_version()} at {sys.executable}"
    yield Finding("Python", text if ok else f"{text}: {wanted} or newer is needed", ok)
    yield Finding("platform", platform.platform())


def _requirements() -> list[str]:
    try:
        return metadata.requires("popinv") or []
    except metadata.PackageNotFoundError:
        return []


def _name(requirement: str) -> str:
    return re.split(r"[\s<>=!~;\[(]", requirement, maxsplit=1)[0]


def required_packages() -> list[str]:
    """Return the names of the base dependencies, as stated by the installed package."""
    return [_name(line) for line in _requirements() if "extra ==" not in line]


def optional_packages() -> dict[str, list[str]]:
    """Return the packages of each extra that a user may want."""
    extras: dict[str, list[str]] = {}
    for line in _requirements():
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if extra and extra[1] in USER_EXTRAS:
            extras.setdefault(extra[1], []).append(_name(line))
    return extras


def find_packages(purpose: Purpose) -> Iterator[Finding]:
    """Report the versions of the package and its dependencies, and the extras that are there."""
    for name in ["popinv", *sorted(required_packages(), key=str.lower)]:
        yield _version(name, purpose.mending)
    if purpose.finite_elements:
        for name in FINITE_ELEMENT_STACK:
            yield _version(name, purpose.firedrake_mending)
    else:
        kinds = " and ".join(FINITE_ELEMENT_KINDS)
        yield Finding("firedrake", f"not installed; only {kinds} need it. {HOW_TO_GET_IT}")
    for extra, names in optional_packages().items():
        missing = [name for name in names if not _is_installed(name)]
        if missing:
            text = f"without {', '.join(missing)} (pip install 'popinv[{extra}]')"
            yield Finding(f"extra {extra}", text)
        else:
            yield Finding(f"extra {extra}", "installed")


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _version(name: str, mending: str) -> Finding:
    try:
        return Finding(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, f"not installed: {mending}", ok=False)


def find_programs(purpose: Purpose) -> Iterator[Finding]:
    """Report the compilers and MPI; Firedrake compiles its kernels at run time."""
    if not purpose.finite_elements:
        return
    for topic, program, needed in (
        ("C compiler", "cc", True),
        ("C++ compiler", "c++", False),
        ("MPI compiler", "mpicc", True),
        ("MPI launcher", "mpiexec", False),
    ):
        path = shutil.which(program)
        version = _first_line([path, "--version"]) if path else None
        if path:
            yield Finding(topic, f"{version or 'version unknown'} at {path}")
        elif needed:
            text = f"no {program} on the path: {purpose.firedrake_mending}"
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
    if not purpose.finite_elements:
        return
    folder = petsc_folder()
    if folder is None:
        yield Finding("PETSc", f"petsc4py names none: {purpose.firedrake_mending}", ok=False)
        return
    variables = folder / "lib" / "petsc" / "conf" / "petscvariables"
    if not variables.is_file():
        text = f"petsc4py was built against {folder}, which is gone: {purpose.firedrake_mending}"
        yield Finding("PETSc", text, ok=False)
        return
    asked = os.environ.get("PETSC_DIR")
    if asked and Path(asked) != folder:
        text = f"PETSC_DIR is {asked}, but petsc4py was built against {folder}: unset PETSC_DIR"
        yield Finding("PETSc", text, ok=False)
    match = re.search(r"^CONFIGURE_OPTIONS\s*=\s*(.*)$", variables.read_text(), re.MULTILINE)
    yield Finding("PETSc", str(folder))
    yield Finding("PETSc options", match[1].strip() if match else "unknown")


def find_hardware(purpose: Purpose) -> Iterator[Finding]:
    """Report cores, memory and the thread settings of BLAS."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("cores", f"{allowed} usable of {os.cpu_count()}")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding("memory", f"{memory / 2**30:.1f} GiB")
    for name in ONE_THREAD:
        yield Finding(name, os.environ.get(name, f"not set: up to {allowed} threads"))


def gpu() -> str:
    """Return whether torch was built for GPUs, finds one, and can compute on it."""
    import torch

    if not torch.backends.cuda.is_built():
        return f"none: torch {torch.__version__} was built without support for one (not needed)"
    if not torch.cuda.is_available():
        return f"none found by torch {torch.__version__} (not needed)"
    name = torch.cuda.get_device_name()
    try:
        # A GPU can be too old for the programs in this torch, or in use by another process.
        torch.ones(2, device="cuda").sum().item()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        return f"{name}, but it does not compute ({reason}): set 'device: cpu' in configurations"
    return f"{name}, found by torch {torch.__version__}"


def find_gpu(purpose: Purpose) -> Iterator[Finding]:
    """Report the GPU, if any, from a separate process, as torch is imported for it."""
    said = _first_line([sys.executable, "-c", GPU_PROGRAM])
    yield Finding("GPU", said or "unknown, since torch does not answer")


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
    if not purpose.finite_elements:
        return
    if util.find_spec("firedrake") is None:
        text = "not tried, Firedrake is not installed; the finite-element models need it"
        yield Finding("Poisson solve", f"{text}: {purpose.firedrake_mending}", ok=False)
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


EXAMINATIONS: tuple[Callable[[Purpose], Iterator[Finding]], ...] = (
    find_python,
    find_packages,
    find_programs,
    find_petsc,
    find_hardware,
    find_gpu,
    find_solve,
)


def examine(purpose: Purpose) -> Iterator[Finding]:
    """Yield every finding, in the order of the report."""
    for examination in EXAMINATIONS:
        yield from examination(purpose)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line; by default the command line of the process.

    Returns
    -------
    int
        0 if everything needed works, 1 otherwise.
    """
    parser = argparse.ArgumentParser(prog="python -m popinv.cli.doctor", description=__doc__)
    parser.add_argument("--quiet", action="store_true", help="print only what is wrong")
    parser.add_argument("kinds", nargs="*", help="kinds of forward models that are to be run")
    options = parser.parse_args(arguments)
    problems = 0
    for finding in examine(purpose_of(options.kinds)):
        problems += not finding.ok
        if not (options.quiet and finding.ok):
            mark = "  " if finding.ok else "! "
            print(f"{mark}{finding.topic + ':':26s}{finding.text}", flush=True)
    if problems:
        print(f"{problems} problem{'s' if problems > 1 else ''} found (marked !)")
    elif not options.quiet:
        print("everything needed is there and works")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
