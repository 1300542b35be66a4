"""The machine of the measurements, and the restriction of the process to one thread."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

__all__ = ["ROOT", "by_rscript", "confine", "cpu_model", "load_average", "missing", "versions"]

ROOT = Path(__file__).resolve().parents[1]


def confine() -> None:
    """Hold the process to one core, and the numerical libraries to one thread.

    To be called before they are imported. JAX can be held to one thread in no other way.
    """
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def cpu_model() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def load_average() -> float:
    """Return the number of processes that wanted to run in the last minute, on average."""
    return round(os.getloadavg()[0], 2)


def missing(packages: tuple[str, ...]) -> list[str]:
    """Return the distributions that are not installed."""
    absent = []
    for package in packages:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            absent.append(package)
    return absent


def by_rscript(*arguments: str) -> str:
    """Return what R prints for these arguments of ``Rscript``."""
    if shutil.which("Rscript") is None:
        packages = "r-base-core, r-cran-nlme and r-cran-lme4"
        sys.exit(f"this measurement needs R with nlme and lme4 (Debian: {packages}).")
    command = ["Rscript", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def versions(packages: tuple[str, ...]) -> str:
    """Return names and versions of installed distributions, such as ``"numpy 2.4.6"``."""
    return ", ".join(f"{package} {metadata.version(package)}" for package in packages)
