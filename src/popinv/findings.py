"""What `popinv doctor` finds, and how it finds the versions of programs and packages.

It runs in broken environments, so it imports nothing that is not of the standard library.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata


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
    kinds : frozenset of str
        Kinds of forward models that are to be run.
    of_checkout : bool
        Whether `make setup` has made the environment.
    """

    kinds: frozenset[str]
    of_checkout: bool

    @property
    def mending(self) -> str:
        """What mends a package that is missing."""
        return "run `make setup`" if self.of_checkout else "run `pip install --upgrade popinv`"


def first_line(command: Sequence[str]) -> str | None:
    """Return the first line that a command prints, or None if it does not run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0] if done.returncode == 0 and lines else None


def version_of(name: str, mending: str) -> Finding:
    """Return the version of an installed package, or what mends that it is not installed."""
    try:
        return Finding(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, f"not installed: {mending}", ok=False)
