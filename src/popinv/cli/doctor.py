"""Check the environment, and whether its solvers work.

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
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module, metadata
from pathlib import Path

from popinv.errors import ConfigError
from popinv.findings import Finding, Purpose, first_line, version_of
from popinv.workflow.processor import ONE_THREAD

PYTHON_AT_LEAST = (3, 11)
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
GPU_PROGRAM = "from popinv.cli.doctor import gpu; print(gpu())"


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
        yield version_of(name, purpose.mending)
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
    said = first_line([sys.executable, "-c", GPU_PROGRAM])
    yield Finding("GPU", said or "unknown, since torch does not answer")


def find_models(purpose: Purpose) -> Iterator[Finding]:
    """Report whether the solvers of the installed packages of models work."""
    try:
        from popinv.forward.registry import HOUSES
    except ConfigError as error:
        yield Finding("forward models", str(error), ok=False)
        return
    for house in HOUSES:
        if house.doctor:
            yield from import_module(house.doctor).examine(purpose)


EXAMINATIONS: tuple[Callable[[Purpose], Iterator[Finding]], ...] = (
    find_python,
    find_packages,
    find_hardware,
    find_gpu,
    find_models,
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
    purpose = Purpose(frozenset(options.kinds), Path(sys.prefix, STAMP).is_file())
    for finding in examine(purpose):
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
