"""Results that several tests share: made once for a version of the code, and kept.

The first process that needs one makes it, and the others wait. It is found again by whichever file
of tests asks for the same, and by the next run of the tests, unless the code has changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import reach
from filelock import FileLock

import popinv
from popinv.store.cache import cache_folder

ROOT = Path(__file__).parents[1]
CODE = ("src/**/*.py", "workflow/**/*", "Snakefile", "setup/constraints.txt")
# Versions of a result that stay, for other checkouts.
_VERSIONS = 4


@cache
def code() -> str:
    """Return a digest of all code, and of the versions of what it imports."""
    content = hashlib.sha256(sys.version.encode())
    for file in sorted(
        file
        for pattern in CODE
        for file in ROOT.glob(pattern)
        if file.suffix not in ("", ".pyc") or file.name == "Snakefile"
    ):
        content.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    return content.hexdigest()


def kept(name: str, make: Callable[[Path], object], *given: object) -> Path:
    """Return the folder that ``make`` fills, which tests only read.

    Parameters
    ----------
    make : callable
        Gets the path of a folder that does not exist.
    *given
        What the result depends on besides the code; its ``repr`` says all.
    """
    # What a test enters through it is recorded in each process.
    own = os.environ.get(reach.FOLDER) and f"{os.environ[reach.FOLDER]} {os.getpid()}"
    digest = hashlib.sha256(f"{code()}{given!r}{own}".encode()).hexdigest()[:16]
    path = cache_folder("tests") / f"{name}-{digest}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path.parent / name}.lock"):
        if not path.exists():
            # One that was killed leaves a part, which nobody takes for the whole.
            part = path.with_name(f"{name}.part")
            shutil.rmtree(part, ignore_errors=True)
            make(part)
            part.rename(path)
            versions = sorted(path.parent.glob(f"{name}-{'?' * 16}"), key=os.path.getmtime)
            for old in versions[:-_VERSIONS]:
                shutil.rmtree(old, ignore_errors=True)
    return path


def fitted(name: str, fit: Callable[[], popinv.Result], simulator: Any) -> popinv.Result:
    """Return a fit that is made once, with the function that it was made through."""
    source = hashlib.sha256(Path(fit.__code__.co_filename).read_bytes()).hexdigest()
    folder = kept(name, lambda path: fit().save(path), source)
    return popinv.load(folder, simulator=simulator)
