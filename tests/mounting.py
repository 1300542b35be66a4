"""A file system that is mounted for a test, where that is allowed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(source: str, folder: Path, *options: str) -> Iterator[None]:
    """Mount a source on a folder, with options of ``mount``."""
    folder.mkdir(exist_ok=True)
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    command = ["mount", *options, source, str(folder)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here, as in some containers")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
